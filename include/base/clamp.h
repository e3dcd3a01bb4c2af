/* clamp: the larger and the smaller of two numbers, and a number held between two others. */
#ifndef BASE_CLAMP_H
#define BASE_CLAMP_H

#include <stdint.h>

static inline int64_t larger(int64_t a, int64_t b) {
    return a > b ? a : b;
}

static inline int64_t smaller(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static inline int64_t clamp(int64_t value, int64_t low, int64_t high) {
    return value < low ? low : value > high ? high : value;
}

#endif
