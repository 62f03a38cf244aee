# Rows in columns as Arrow lays them out in memory: values, validity bits, text with its offsets.

from libc.stdint cimport int32_t, int64_t, uint8_t

cdef enum:
    TYPE_INTEGER = 0                # int64, also days and timestamps
    TYPE_BOOLEAN = 1
    TYPE_STRING = 2
    TYPE_DAY = 3                    # int32: days since 1970
    TYPE_NUMBER = 4                 # double

ctypedef struct column_t:
    uint8_t *valid                  # a bit per row
    uint8_t *data                   # int64, double, int32, bits, or the bytes of all strings
    int32_t *offsets                # strings: where each begins in data; one more than rows
    size_t used_bytes               # of strings
    size_t data_bytes
    int64_t nulls
    int type

cdef class Rows:
    cdef column_t *columns
    cdef readonly size_t count
    cdef size_t capacity
    cdef public size_t more         # as so many further rows these count, for their long texts
    cdef readonly int width
    cdef tuple _names, _formats
    cdef int room(self, size_t more) except -1 nogil
    cdef int _grow(self, size_t to) except -1 nogil

cdef int put_string(column_t *c, size_t row, const char *text) except -1 nogil
cdef void put_null(column_t *c, size_t row) noexcept nogil


cdef inline void put_integer(column_t *c, size_t row, int64_t value) noexcept nogil:
    (<int64_t *>c.data)[row] = value
    c.valid[row >> 3] |= 1 << (row & 7)


cdef inline void put_number(column_t *c, size_t row, double value) noexcept nogil:
    (<double *>c.data)[row] = value
    c.valid[row >> 3] |= 1 << (row & 7)


cdef inline void put_day(column_t *c, size_t row, int32_t value) noexcept nogil:
    (<int32_t *>c.data)[row] = value
    c.valid[row >> 3] |= 1 << (row & 7)


cdef inline void put_boolean(column_t *c, size_t row, bint value) noexcept nogil:
    if value:
        c.data[row >> 3] |= 1 << (row & 7)
    c.valid[row >> 3] |= 1 << (row & 7)
