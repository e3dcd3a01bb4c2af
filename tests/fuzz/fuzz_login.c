/* For every input, the judge with the fast decoder and the judge without it must give the same
 * verdict, values, reason and detail. If the fast decoder is sure, the fields must be equal too.
 *
 * An input is a byte that chooses the rules and the Kafka timestamp, followed by records separated
 * by RECORD_END. There are several records because the fast decoder remembers the previous one. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "../decoders.h"
#include "arena.h"
#include "core/login.h"
#include "core/parse.h"
#include "core/scan.h"
#include "login_mutator.h"

void scan_portable_init(struct scan *scan, const struct login_rules *rules);
bool scan_portable_record(struct scan *scan, const char *value, size_t bytes,
                          struct fields *fields);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LONG_NAME "a name that is longer than any gap that is remembered"

static const struct login_rules all_rules[] = {
    {.dimensions = {"device_type", "locale"}, .dimension_count = 2, .max_future_s = 3600},
    {.dimensions = {"locale", "a name just within a gap"}, .dimension_count = 2},
    {.dimension_count = 0, .max_future_s = INT64_MAX},
    {.dimensions = {"timestamp", "user_id", "locale", "locale"}, .dimension_count = 4},
    {.dimensions = {"", "\xc3\xa9", "a\"b", "x", LONG_NAME}, .dimension_count = 5},
    {.dimensions = {"a", "b", "c", "d", "e", "f", "g", "locale"}, .dimension_count = 8},
};
static const int64_t kafka_timestamps_ms[] = {-1, 0, INT64_C(1720622216000), INT64_MAX};

enum {
    RULES = sizeof all_rules / sizeof *all_rules,
    TIMES = 4,
    SLOW_SHARE = 8,           /* one in this many inputs goes to both judges */
    REPORT_RECORDS = 1 << 18, /* report this often, since a killed process makes no final report */
};

static uint64_t records, sure_records;

static void report_share(void) {
    fprintf(stderr, "records: %llu, decoded by scan: %llu\n", (unsigned long long)records,
            (unsigned long long)sure_records);
}

static void fail(const char *what) {
    fprintf(stderr, "the decoders differ: %s\n", what);
    abort();
}

static bool text_is_same(struct slice a, struct slice b) {
    return a.length == b.length && (a.bytes == NULL) == (b.bytes == NULL) &&
           (a.length == 0 || memcmp(a.bytes, b.bytes, a.length) == 0);
}

static void compare_logins(const struct login_rules *rules, const struct login *a,
                           const struct login *b) {
    if (a->reason != b->reason) fail("reason");
    if (strcmp(a->detail, b->detail) != 0) fail("detail");
    if (a->minute != b->minute) fail("minute");
    if (!text_is_same(a->user_id, b->user_id)) fail("user_id");
    for (size_t i = 0; a->reason == LOGIN_ACCEPTED && i < rules->dimension_count; i++) {
        if (!text_is_same(a->values[i], b->values[i])) fail("value");
    }
}

static void compare_fields(const struct login_rules *rules, const char *value, size_t bytes,
                           const struct fields *scanned) {
    struct parse parse;
    struct fields parsed;
    char detail[PARSE_DETAIL_BYTES];
    parse_init(&parse);
    if (parse_record(&parse, rules, value, bytes, &parsed, detail) != LOGIN_ACCEPTED) {
        fail("scan is sure of a record that parse rejects");
    }
    if (!fields_are_same(rules, scanned, &parsed)) fail("fields");
    parse_release(&parse);
}

/* All decoders of an input, each with its own memory of the previous record. */
struct bench {
    const struct login_rules *rules;
    int64_t kafka_timestamp_ms;
    struct login_judge *fast, *slow; /* slow is NULL for most inputs */
    struct scan scan, portable, fresh;
};

/* The rules see only the fields, so equal fields imply equal verdicts. Therefore most inputs go to
 * one judge only, for the sanitizers to check it. */
static void compare_judges(struct bench *bench, const char *value, size_t bytes) {
    struct login fast, slow;
    login_judge_record(bench->fast, value, bytes, bench->kafka_timestamp_ms, &fast);
    if (bench->slow == NULL) return;
    login_judge_record(bench->slow, value, bytes, bench->kafka_timestamp_ms, &slow);
    compare_logins(bench->rules, &fast, &slow);
}

static void compare(struct bench *bench, const char *value, size_t bytes) {
    struct fields fields, others;
    struct scan fresh = bench->fresh;
    const bool is_sure = scan_record(&bench->scan, value, bytes, &fields);
    sure_records += is_sure;
    if (++records % REPORT_RECORDS == 0) report_share();
    if (is_sure) compare_fields(bench->rules, value, bytes, &fields);
    if (scan_record(&fresh, value, bytes, &others) != is_sure) fail("effect of the memory");
    if (scan_portable_record(&bench->portable, value, bytes, &others) != is_sure) fail("portable");
    if (is_sure && !fields_are_same(bench->rules, &fields, &others)) fail("portable fields");
    compare_judges(bench, value, bytes);
}

static void set_up(void) {
    struct parse parse;
    parse_init(&parse); /* sets jansson's allocator once, which is then replaced */
    json_set_alloc_funcs(arena_take, arena_give);
    atexit(report_share);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (records == 0) set_up();
    if (size == 0) return 0;
    struct bench bench = {
        .rules = &all_rules[data[0] % RULES],
        .kafka_timestamp_ms = kafka_timestamps_ms[data[0] / RULES % TIMES],
    };
    bench.fast = login_judge_create(bench.rules);
    if (size % SLOW_SHARE == 0) {
        bench.slow = login_judge_create(bench.rules);
        login_judge_distrust_scan(bench.slow);
    }
    scan_init(&bench.fresh, bench.rules);
    bench.scan = bench.fresh;
    scan_portable_init(&bench.portable, bench.rules);

    const uint8_t *end = data + size;
    for (const uint8_t *begin = data + 1; begin <= end;) {
        const uint8_t *next = memchr(begin, RECORD_END, (size_t)(end - begin));
        if (next == NULL) next = end;
        const size_t bytes = (size_t)(next - begin);
        char *value = arena_take(bytes > 0 ? bytes : 1); /* a copy, so that ASan sees overreads */
        memcpy(value, begin, bytes);
        compare(&bench, value, bytes);
        arena_give(value);
        begin = next + 1;
    }
    login_judge_destroy(&bench.fast);
    login_judge_destroy(&bench.slow);
    arena_reset();
    return 0;
}
