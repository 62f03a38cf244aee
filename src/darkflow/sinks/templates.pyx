"""JSON lines from rows of values: the text between the values is there before the first row."""

from json.encoder import encode_basestring_ascii

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy
from darkflow.sinks.derived cimport number

cdef extern from "Python.h":
    bint PyUnicode_IS_ASCII(object text)
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL

cdef enum:
    NUMBER_BYTES = 24               # no number, true, false or null takes more


cdef bytes pieces_of(dict tree, list pieces, bytes text):
    """Append the texts before each leaf of `tree`; what comes behind the last one is given back.

    A leaf is the number of its value.
    """
    between = b"{"
    for name, value in tree.items():
        text += between + b'"' + name.encode() + b'":'
        between = b","
        if isinstance(value, dict):
            text = pieces_of(value, pieces, text)
        elif value != len(pieces):
            raise ValueError("names of a template that are not in the order of their values")
        else:
            pieces.append(text)
            text = b""
    return text + b"}"


cdef inline char *copied(char *p, object piece) noexcept:
    memcpy(p, PyBytes_AS_STRING(piece), PyBytes_GET_SIZE(piece))
    return p + PyBytes_GET_SIZE(piece)


cdef bint is_plain(const char *text, Py_ssize_t size) noexcept nogil:
    """Only what json.dumps writes as it is, but for quotes and backslashes."""
    cdef Py_ssize_t i
    for i in range(size):
        if text[i] < 32 or text[i] == 127:
            return False
    return True


cdef char *quoted(char *p, const char *text, Py_ssize_t size) noexcept nogil:
    cdef Py_ssize_t i
    p[0] = c'"'
    p += 1
    for i in range(size):
        if text[i] == c'"' or text[i] == c"\\":
            p[0] = c"\\"
            p += 1
        p[0] = text[i]
        p += 1
    p[0] = c'"'
    return p + 1


cdef class Template:
    """A JSON object of fixed names, given as dotted paths in the order of their values."""

    cdef list pieces
    cdef bytes end
    cdef Py_ssize_t fixed_bytes

    def __init__(self, names):
        tree = {}
        for number, name in enumerate(names):
            *parents, leaf = name.split(".")
            inner = tree
            for parent in parents:
                inner = inner.setdefault(parent, {})
            inner[leaf] = number
        self.pieces = []
        self.end = pieces_of(tree, self.pieces, b"")
        self.fixed_bytes = sum(len(piece) for piece in self.pieces) + len(self.end)

    def line(self, tuple values, bytes more=b""):
        """The line with these values: str, int, finite float, bool or None; `more` goes before its last brace.

        Strings are escaped as json.dumps does; ints have 64 bits.
        """
        cdef Py_ssize_t room = self.fixed_bytes + len(more) + 1
        cdef Py_ssize_t size, i
        cdef list texts = [None] * len(self.pieces)
        cdef char *buffer
        cdef char *p
        cdef const char *text
        if len(values) != len(self.pieces):
            raise ValueError(f"a line has {len(self.pieces)} values, not {len(values)}")
        for i, value in enumerate(values):
            if type(value) is float:
                texts[i] = repr(value).encode()
                room += len(texts[i])
                continue
            if type(value) is not str:
                if value is not None and not isinstance(value, int):
                    raise TypeError(f"a line has no place for {value!r}")
                room += NUMBER_BYTES
                continue
            text = NULL
            if PyUnicode_IS_ASCII(value):
                text = PyUnicode_AsUTF8AndSize(value, &size)
                room += 2 * size + 2
            if text == NULL or not is_plain(text, size):
                texts[i] = encode_basestring_ascii(value).encode()
                room += len(texts[i])
        buffer = <char *>malloc(room)
        if buffer == NULL:
            raise MemoryError("no memory for an event line")
        try:
            p = self._fill(buffer, values, texts)
            p = copied(p, more)
            p = copied(p, b"}\n")
            return PyBytes_FromStringAndSize(buffer, p - buffer)
        finally:
            free(buffer)

    cdef char *_fill(self, char *p, tuple values, list texts) except NULL:
        """Everything but the last brace."""
        cdef Py_ssize_t size, i
        cdef const char *text
        for i, value in enumerate(values):
            p = copied(p, self.pieces[i])
            if texts[i] is not None:
                p = copied(p, texts[i])
            elif type(value) is str:
                text = PyUnicode_AsUTF8AndSize(value, &size)
                p = quoted(p, text, size)
            elif value is None:
                p = copied(p, b"null")
            elif value is True:
                p = copied(p, b"true")
            elif value is False:
                p = copied(p, b"false")
            else:
                p = number(p, <int64_t>value)
        memcpy(p, PyBytes_AS_STRING(self.end), len(self.end) - 1)
        return p + len(self.end) - 1
