/* noted: what stand-ins were called with, in order, as one text. */
#ifndef TESTS_NOTED_H
#define TESTS_NOTED_H

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static char done[2048];

/* Adds to `done`; what does not fit is left out. */
__attribute__((format(printf, 1, 2))) static inline void note(const char *format, ...) {
    const size_t length = strlen(done);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(done + length, sizeof done - length, format, arguments);
    va_end(arguments);
}

#endif
