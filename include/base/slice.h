/* slice: bytes that belong to someone else. */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stddef.h>

/* May hold NUL, and is not a C string. */
struct slice {
    const char *bytes; /* NULL is null, where that is something else than no bytes */
    size_t length;
};

#endif
