/* records: generated logins in memory, one after another as in a fetched message set. */
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

/* Makes RECORDS_COUNT logins with tools/event, of which invalid_percent are to be rejected. In each
 * record, the bytes `from` are replaced by `to`; both may be NULL. */
struct records *records_create(double invalid_percent, const char *from, const char *to);
void records_destroy(struct records *records);

#endif
