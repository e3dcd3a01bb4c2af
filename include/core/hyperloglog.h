/* hyperloglog: how many different values there were, in at most 16 KB, as Redis counts them.
 *
 * The HyperLogLog of Redis: MurmurHash64A names one of 16,384 registers for each value, and a rank;
 * a register keeps the highest rank. So adding is idempotent and merging commutes, and a value that
 * is added here or by PFADD leaves the same registers. The standard error is 1.04 / sqrt(16384),
 * 0.81 %.
 *
 * Place:    the distinct counts of a delta; compared with what Redis holds by the audit.
 * Threads:  one owner at a time; handed over whole.
 * Owns:     memory for its registers.
 * Limits:   HYPERLOGLOG_FEW_MAX registers are a table of pairs (at most 4 KB), more an array (16
 *           KB). Up to three need no memory besides the struct.
 */
#ifndef CORE_HYPERLOGLOG_H
#define CORE_HYPERLOGLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

enum {
    HYPERLOGLOG_REGISTERS = 16384,
    HYPERLOGLOG_RANK_MAX = 51, /* 50 bits of hash are left for the rank */
    HYPERLOGLOG_FEW_MAX = 512,
    HYPERLOGLOG_ELEMENT_BYTES = 8,
    HYPERLOGLOG_HEADER_BYTES = 16,
    HYPERLOGLOG_DENSE_BYTES = HYPERLOGLOG_HEADER_BYTES + HYPERLOGLOG_REGISTERS * 6 / 8,
    HYPERLOGLOG_INLINE = 4,
};

/* All zero is an empty one. */
struct hyperloglog {
    union {
        uint32_t inlined[HYPERLOGLOG_INLINE];
        uint32_t *pairs;    /* if capacity > HYPERLOGLOG_INLINE */
        uint8_t *registers; /* if is_dense: the rank of each, or 0 */
    } at;
    uint16_t count;    /* of the registers that have a rank, while it is not dense */
    uint16_t capacity; /* of the table of pairs; 0: HYPERLOGLOG_INLINE */
    bool is_dense;
};

void hyperloglog_release(struct hyperloglog *hyperloglog);

/* What Redis computes of a value. Borrows the value. */
uint64_t hyperloglog_hash(struct slice value);

/* Adds a value by its hash. Ends the process when there is no memory. */
void hyperloglog_add(struct hyperloglog *hyperloglog, uint64_t hash);

/* Adds all of `from`: as if each of its values had been added. */
void hyperloglog_merge(struct hyperloglog *into, const struct hyperloglog *from);

/* The number that PFCOUNT answers for the same registers. */
uint64_t hyperloglog_estimate(const struct hyperloglog *hyperloglog);

/* Whether both have the same registers. */
bool hyperloglog_is_same(const struct hyperloglog *a, const struct hyperloglog *b);

/* The memory that it has besides the struct. */
size_t hyperloglog_bytes(const struct hyperloglog *hyperloglog);

/* How Redis is told. A few registers are a list of elements of HYPERLOGLOG_ELEMENT_BYTES each, made
 * up so that PFADD of them sets these registers. Many are a string that Redis takes for a
 * HyperLogLog, HYPERLOGLOG_DENSE_BYTES long, for SET and PFMERGE. Lists are shorter than that, so
 * the length tells which it is. Returns the length, 0 for an empty one. */
size_t hyperloglog_write(const struct hyperloglog *hyperloglog, char out[HYPERLOGLOG_DENSE_BYTES]);

/* Adds the registers of a string that Redis holds, dense or sparse. False if it is no HyperLogLog
 * or a damaged one; then nothing is added. Borrows the string. */
bool hyperloglog_read(struct hyperloglog *hyperloglog, struct slice stored);

#endif
