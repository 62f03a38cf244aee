"""Rows in columns, given away without a copy through the Arrow C data interface.

Who takes them (Delta Lake, polars, DuckDB, pyarrow) keeps the rows alive until it has released
every part. Layout and ownership: https://arrow.apache.org/docs/format/CDataInterface.html
"""

from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_New
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport INT32_MAX, int32_t, int64_t, uint8_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy, memset, strlen

cdef extern from *:
    """
    #include <stdint.h>
    struct ArrowSchema {
        const char *format, *name, *metadata;
        int64_t flags, n_children;
        struct ArrowSchema **children, *dictionary;
        void (*release)(struct ArrowSchema *);
        void *private_data;
    };
    struct ArrowArray {
        int64_t length, null_count, offset, n_buffers, n_children;
        const void **buffers;
        struct ArrowArray **children, *dictionary;
        void (*release)(struct ArrowArray *);
        void *private_data;
    };
    """
    cdef struct ArrowSchema:
        const char *format
        const char *name
        int64_t flags, n_children
        ArrowSchema **children
        void (*release)(ArrowSchema *) noexcept
        void *private_data
    cdef struct ArrowArray:
        int64_t length, null_count, n_buffers, n_children
        const void **buffers
        ArrowArray **children
        void (*release)(ArrowArray *) noexcept
        void *private_data

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL

cdef enum:
    ARROW_FLAG_NULLABLE = 2
    FIRST_ROWS = 1 << 10
    FIRST_BYTES = 1 << 14

# Arrow's format strings, and how their values are held.
FORMATS = {
    "integer": (b"l", TYPE_INTEGER), "timestamp": (b"tsu:UTC", TYPE_INTEGER),
    "number": (b"g", TYPE_NUMBER), "boolean": (b"b", TYPE_BOOLEAN), "string": (b"u", TYPE_STRING),
    "date": (b"tdD", TYPE_DAY),
}


cdef void *grown(void *old, size_t old_bytes, size_t new_bytes) except NULL nogil:
    """Reallocated, what is new cleared."""
    cdef void *new = realloc(old, new_bytes)
    if new == NULL:
        with gil:
            raise MemoryError("no memory for rows of the store")
    memset(<uint8_t *>new + old_bytes, 0, new_bytes - old_bytes)
    return new


cdef int put_string(column_t *c, size_t row, const char *text) except -1 nogil:
    return put_text(c, row, text, strlen(text))


cdef int put_text(column_t *c, size_t row, const char *text, size_t size) except -1 nogil:
    if c.used_bytes + size > INT32_MAX:
        with gil:
            raise MemoryError("more than 2 GiB of text in one batch of the store")
    if c.used_bytes + size > c.data_bytes:
        c.data = <uint8_t *>grown(c.data, c.data_bytes, 2 * c.data_bytes + size)
        c.data_bytes = 2 * c.data_bytes + size
    memcpy(c.data + c.used_bytes, text, size)
    c.used_bytes += size
    c.offsets[row + 1] = <int32_t>c.used_bytes
    c.valid[row >> 3] |= 1 << (row & 7)
    return 0


cdef void put_null(column_t *c, size_t row) noexcept nogil:
    c.nulls += 1
    if c.type == TYPE_STRING:
        c.offsets[row + 1] = <int32_t>c.used_bytes


cdef class Rows:
    """Columns of (name, type); types: the keys of FORMATS. `count` rows are whole.

    more: as so many further rows these count, for their long texts; who adds them says so.
    """

    def __cinit__(self, columns):
        self._names = tuple(name.encode() for name, _ in columns)
        self._formats = tuple(FORMATS[kind][0] for _, kind in columns)
        self.width = len(self._names)
        self.columns = <column_t *>calloc(max(self.width, 1), sizeof(column_t))
        if self.columns == NULL:
            raise MemoryError("no memory for columns of the store")
        for i, (_, kind) in enumerate(columns):
            self.columns[i].type = FORMATS[kind][1]
            if kind == "string":
                self.columns[i].data = <uint8_t *>grown(NULL, 0, FIRST_BYTES)
                self.columns[i].data_bytes = FIRST_BYTES
        self._grow(FIRST_ROWS)

    def __dealloc__(self):
        cdef int i
        if self.columns == NULL:
            return
        for i in range(self.width):
            free(self.columns[i].valid)
            free(self.columns[i].data)
            free(self.columns[i].offsets)
        free(self.columns)

    def __len__(self):
        return self.count

    cdef int room(self, size_t more) except -1 nogil:
        """Make room for so many more rows."""
        cdef size_t capacity = self.capacity
        while capacity < self.count + more:
            capacity *= 2
        if capacity > self.capacity:
            self._grow(capacity)
        return 0

    cdef int _grow(self, size_t to) except -1 nogil:
        cdef size_t old = self.capacity
        cdef column_t *c
        cdef int i
        for i in range(self.width):
            c = &self.columns[i]
            c.valid = <uint8_t *>grown(c.valid, old // 8, to // 8)
            if c.type == TYPE_STRING:
                c.offsets = <int32_t *>grown(c.offsets, (old + 1) * 4 if old else 0, (to + 1) * 4)
            elif c.type == TYPE_BOOLEAN:
                c.data = <uint8_t *>grown(c.data, old // 8, to // 8)
            else:
                c.data = <uint8_t *>grown(
                    c.data, old * (4 if c.type == TYPE_DAY else 8),
                    to * (4 if c.type == TYPE_DAY else 8),
                )
        self.capacity = to
        return 0

    def append(self, tuple values):
        """One row from Python: a value or None for each column; numbers of days and us for times.

        TypeError, ValueError or OverflowError, and no row, if they do not fit.
        """
        cdef list fitting = []
        cdef column_t *c
        cdef Py_ssize_t size
        cdef const char *text
        cdef int i
        if len(values) != self.width:
            raise ValueError(f"a row has {self.width} values, not {len(values)}")
        for i in range(self.width):
            value = values[i]
            if value is not None and self.columns[i].type == TYPE_STRING:
                PyUnicode_AsUTF8AndSize(value, &size)
            elif value is not None and self.columns[i].type == TYPE_NUMBER:
                value = <double>value
            elif value is not None:
                if not isinstance(value, int):
                    raise TypeError(f"{value!r} is no integer")
                value = <int64_t>value          # OverflowError beyond 64 bits
            fitting.append(value)
        self.room(1)
        for i in range(self.width):
            c = &self.columns[i]
            value = fitting[i]
            if value is None:
                put_null(c, self.count)
            elif c.type == TYPE_STRING:
                text = PyUnicode_AsUTF8AndSize(value, &size)
                put_text(c, self.count, text, size)
            elif c.type == TYPE_BOOLEAN:
                put_boolean(c, self.count, <int64_t>value != 0)
            elif c.type == TYPE_DAY:
                put_day(c, self.count, <int32_t>value)
            elif c.type == TYPE_NUMBER:
                put_number(c, self.count, value)
            else:
                put_integer(c, self.count, value)
        self.count += 1

    def __arrow_c_schema__(self):
        """The columns' names and types."""
        cdef ArrowSchema *schema = <ArrowSchema *>taken(calloc(1, sizeof(ArrowSchema)))
        describe(schema, self, b"+s", b"", self.width)
        for i in range(self.width):
            schema.children[i] = <ArrowSchema *>taken(calloc(1, sizeof(ArrowSchema)))
            describe(schema.children[i], self, self._formats[i], self._names[i], 0)
        return PyCapsule_New(schema, b"arrow_schema", drop_schema)

    def __arrow_c_array__(self, requested_schema=None):
        """(schema, array): the rows as one Arrow struct array; no row may be added after this."""
        cdef ArrowArray *array = <ArrowArray *>taken(calloc(1, sizeof(ArrowArray)))
        cdef ArrowArray *child
        cdef column_t *c
        lend(array, self, 1, self.width)
        for i in range(self.width):
            c = &self.columns[i]
            child = array.children[i] = <ArrowArray *>taken(calloc(1, sizeof(ArrowArray)))
            lend(child, self, 3 if c.type == TYPE_STRING else 2, 0)
            child.null_count = c.nulls
            child.buffers[0] = c.valid
            child.buffers[1] = c.offsets if c.type == TYPE_STRING else <void *>c.data
            if c.type == TYPE_STRING:
                child.buffers[2] = c.data
        return self.__arrow_c_schema__(), PyCapsule_New(array, b"arrow_array", drop_array)


cdef void *taken(void *memory) except NULL:
    if memory == NULL:
        raise MemoryError("no memory to hand rows to the store")
    return memory


cdef int describe(
    ArrowSchema *schema, Rows rows, bytes format, bytes name, int children
) except -1:
    """One part of a schema. Both texts belong to the module or to the rows, which it keeps."""
    schema.format = format
    schema.name = name
    schema.flags = ARROW_FLAG_NULLABLE
    schema.children = <ArrowSchema **>taken(calloc(children + 1, sizeof(ArrowSchema *)))
    schema.n_children = children
    schema.release = release_schema
    schema.private_data = <void *>rows
    Py_INCREF(rows)
    return 0


cdef int lend(ArrowArray *array, Rows rows, int buffers, int children) except -1:
    """One part of an array, which keeps the rows."""
    array.length = rows.count
    array.buffers = <const void **>taken(calloc(buffers, sizeof(void *)))
    array.n_buffers = buffers
    array.children = <ArrowArray **>taken(calloc(children + 1, sizeof(ArrowArray *)))
    array.n_children = children
    array.release = release_array
    array.private_data = <void *>rows
    Py_INCREF(rows)
    return 0


cdef void release_schema(ArrowSchema *schema) noexcept with gil:
    """A part that somebody has moved elsewhere has no release function left here."""
    cdef int64_t i
    for i in range(schema.n_children):
        if schema.children[i] != NULL:
            if schema.children[i].release != NULL:
                schema.children[i].release(schema.children[i])
            free(schema.children[i])
    free(schema.children)
    schema.release = NULL
    Py_DECREF(<object>schema.private_data)


cdef void release_array(ArrowArray *array) noexcept with gil:
    cdef int64_t i
    for i in range(array.n_children):
        if array.children[i] != NULL:
            if array.children[i].release != NULL:
                array.children[i].release(array.children[i])
            free(array.children[i])
    free(array.children)
    free(array.buffers)
    array.release = NULL
    Py_DECREF(<object>array.private_data)


cdef void drop_schema(object capsule) noexcept:
    cdef ArrowSchema *schema = <ArrowSchema *>PyCapsule_GetPointer(capsule, b"arrow_schema")
    if schema.release != NULL:
        schema.release(schema)
    free(schema)


cdef void drop_array(object capsule) noexcept:
    cdef ArrowArray *array = <ArrowArray *>PyCapsule_GetPointer(capsule, b"arrow_array")
    if array.release != NULL:
        array.release(array)
    free(array)
