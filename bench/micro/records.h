/* records: made-up logins in memory, one behind the other as in a fetched message set. */
#ifndef BENCH_MICRO_RECORDS_H
#define BENCH_MICRO_RECORDS_H

#include <stddef.h>
#include <stdint.h>

#include "core/login.h"

enum { RECORDS_COUNT = 1024 };

struct records {
    char *bytes;
    struct slice values[RECORDS_COUNT];
    int64_t timestamp_ms[RECORDS_COUNT];
};

extern const struct login_rules records_rules;

/* RECORDS_COUNT accepted logins, or as many that core/event made to be rejected. In each the bytes
 * `from`, if any, are replaced by `to`; both may be NULL. */
struct records *records_create(double invalid_percent, const char *from, const char *to);
void records_destroy(struct records *records);

#endif
