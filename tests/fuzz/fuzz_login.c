/* For every input, the judge with the fast decoder and the judge without it must give the same
 * verdict, values, reason and detail. If the fast decoder is sure, the fields must be equal too.
 *
 * An input begins with the settings: SETTING_BYTES that choose among a few words, the rest of the
 * line, then a line for each path: of the time, the key, and the dimensions, which may also be what
 * is counted distinctly. Behind the RECORD_END of it there are records separated by RECORD_END:
 * several, because the fast decoder remembers the previous one. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "../decoders.h"
#include "arena.h"
#include "core/login.h"
#include "core/parse.h"
#include "core/path.h"
#include "core/scan.h"
#include "login_mutator.h"

void scan_portable_init(struct scan *scan, const struct wanted *wanted);
bool scan_portable_record(struct scan *scan, const char *value, size_t bytes,
                          struct fields *fields);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const int64_t kafka_timestamps_ms[] = {-1, 0, INT64_C(1720622216000), INT64_MAX};
static const int64_t max_futures_s[] = {0, 3600, INT64_C(315360000), INT64_MAX};

enum {
    SETTING_BYTES = 4,
    LINE_BYTES = 64,
    TIMES = 4,
    SLOW_SHARE = 4,           /* one in this many inputs goes to both judges */
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
    if (!text_is_same(a->key, b->key)) fail("key");
    for (size_t i = 0; a->reason == LOGIN_ACCEPTED && i < rules->dimension_count; i++) {
        if (!text_is_same(a->values[i], b->values[i])) fail("value");
    }
    for (size_t i = 0; a->reason == LOGIN_ACCEPTED && i < rules->unique_count; i++) {
        if (!text_is_same(a->uniques[i], b->uniques[i])) fail("distinct value");
    }
}

static void compare_fields(const struct wanted *wanted, const char *value, size_t bytes,
                           const struct fields *scanned) {
    struct parse parse;
    struct fields parsed;
    char detail[PARSE_DETAIL_BYTES];
    parse_init(&parse, wanted);
    if (parse_record(&parse, value, bytes, &parsed, detail) != LOGIN_ACCEPTED) {
        fail("scan is sure of a record that parse rejects");
    }
    if (!fields_are_same(wanted, scanned, &parsed)) fail("fields");
    parse_release(&parse);
}

/* Settings, as an input begins with them. */
struct settings {
    struct login_rules rules;
    int64_t kafka_timestamp_ms;
    char lines[LOGIN_DIMENSIONS_MAX + 2][LINE_BYTES];
    char names[LOGIN_DIMENSIONS_MAX][2];
    struct login_header headers[LOGIN_HEADERS_MAX];
};

/* All decoders of an input, each with its own memory of the previous record. */
struct bench {
    const struct settings *settings;
    struct wanted wanted;
    struct login_judge *fast, *slow; /* slow is NULL for most inputs */
    struct scan scan, portable, fresh;
};

/* The line at *p, without what no setting may hold; false: it is no path of the kind. */
static bool take_line(const uint8_t **p, const uint8_t *end, char line[LINE_BYTES],
                      bool (*is_right)(const char *text)) {
    size_t length = 0;
    while (*p < end && **p != '\n') {
        if (length < LINE_BYTES - 1 && **p != '\0') line[length++] = (char)**p;
        (*p)++;
    }
    *p += *p < end;
    line[length] = '\0';
    return length > 0 && is_right(line);
}

/* Any bytes are some settings. */
static void read_settings(struct settings *settings, const uint8_t *p, const uint8_t *end) {
    uint8_t choices[SETTING_BYTES] = {0};
    struct login_rules *rules = &settings->rules;
    size_t place = 0;
    memset(settings, 0, sizeof *settings);
    for (size_t i = 0; i < SETTING_BYTES && p < end && *p != '\n'; i++)
        choices[i] = *p++;
    while (p < end && *p++ != '\n') {
    }
    rules->timestamp_format = (enum instant_format)(choices[0] % INSTANT_FORMAT_COUNT);
    rules->framing = (enum login_framing)(choices[1] % 2);
    rules->max_future_s = max_futures_s[choices[1] / 2 % TIMES];
    settings->kafka_timestamp_ms = kafka_timestamps_ms[choices[1] / 8 % TIMES];
    if (take_line(&p, end, settings->lines[place], path_is_field))
        rules->timestamp = settings->lines[place];
    place++;
    if (take_line(&p, end, settings->lines[place], path_is_member))
        rules->key = settings->lines[place];
    place++;
    while (p < end && rules->dimension_count < LOGIN_DIMENSIONS_MAX) {
        const size_t d = rules->dimension_count++;
        char *line = settings->lines[place + d];
        settings->names[d][0] = (char)('a' + d);
        rules->dimensions[d] = (struct login_dimension){
            .name = settings->names[d],
            .from = take_line(&p, end, line, path_is_field) ? line : "device_type",
            .fallback = (choices[2] >> d & 1) != 0 ? "__default__" : NULL,
            .accept = (enum login_accept)(choices[3] >> d & 1),
        };
        if (choices[0] / INSTANT_FORMAT_COUNT % 2 == 1)
            rules->uniques[rules->unique_count++] = rules->dimensions[d].from;
    }
    for (size_t i = 0; i < LOGIN_HEADERS_MAX; i++) {
        static const struct login_header some[] = {
            {true, {"1720622216", 10}}, {true, {"2024-07-10 14:36:60.1+02:00", 27}},
            {false, {NULL, 0}},         {true, {NULL, 0}},
            {true, {"\xff", 1}},        {true, {"", 0}}};
        settings->headers[i] = some[(choices[3] + i) % (sizeof some / sizeof *some)];
    }
}

/* The rules see only the fields, so equal fields imply equal verdicts. Therefore most inputs go to
 * one judge only, for the sanitizers to check it. */
static void compare_judges(struct bench *bench, const char *value, size_t bytes) {
    struct login fast, slow;
    const struct settings *settings = bench->settings;
    const struct login_record record = {
        {value, bytes}, settings->kafka_timestamp_ms, settings->headers};
    login_judge_record(bench->fast, &record, &fast);
    if (bench->slow == NULL) return;
    login_judge_record(bench->slow, &record, &slow);
    compare_logins(&settings->rules, &fast, &slow);
}

static void compare(struct bench *bench, const char *value, size_t bytes) {
    struct fields fields, others;
    struct scan fresh = bench->fresh;
    const bool is_sure = scan_record(&bench->scan, value, bytes, &fields);
    sure_records += is_sure;
    if (++records % REPORT_RECORDS == 0) report_share();
    if (is_sure) compare_fields(&bench->wanted, value, bytes, &fields);
    if (scan_record(&fresh, value, bytes, &others) != is_sure) fail("effect of the memory");
    if (scan_portable_record(&bench->portable, value, bytes, &others) != is_sure) fail("portable");
    if (is_sure && !fields_are_same(&bench->wanted, &fields, &others)) fail("portable fields");
    compare_judges(bench, value, bytes);
}

/* What a judge of these rules wants, made once more. */
static void want(struct wanted *wanted, const struct login_rules *rules) {
    wanted_init(wanted);
    for (size_t d = 0; d < rules->dimension_count; d++) {
        if (path_kind_of_field(rules->dimensions[d].from) == PATH_MEMBER)
            wanted_add(wanted, rules->dimensions[d].from);
    }
    wanted_add(wanted, rules->key == NULL ? "user_id" : rules->key);
    const char *time = rules->timestamp == NULL ? "timestamp" : rules->timestamp;
    if (path_kind_of_time(time) == PATH_MEMBER) wanted_add(wanted, time);
    wanted_number(wanted);
}

static void set_up(void) {
    struct parse parse;
    parse_init(&parse, NULL); /* sets jansson's allocator once, which is then replaced */
    json_set_alloc_funcs(arena_take, arena_give);
    atexit(report_share);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (records == 0) set_up();
    if (size == 0) return 0;
    const uint8_t *end = data + size;
    const uint8_t *head_end = memchr(data, RECORD_END, size);
    if (head_end == NULL) head_end = end;
    struct settings settings;
    read_settings(&settings, data, head_end);
    struct bench bench = {.settings = &settings};
    want(&bench.wanted, &settings.rules);
    bench.fast = login_judge_create(&settings.rules);
    if (size % SLOW_SHARE == 0) {
        bench.slow = login_judge_create(&settings.rules);
        login_judge_distrust_scan(bench.slow);
    }
    scan_init(&bench.fresh, &bench.wanted);
    bench.scan = bench.fresh;
    scan_portable_init(&bench.portable, &bench.wanted);

    for (const uint8_t *begin = head_end + 1; begin <= end;) {
        const uint8_t *next = memchr(begin, RECORD_END, (size_t)(end - begin));
        if (next == NULL) next = end;
        const size_t bytes = (size_t)(next - begin);
        char *value = arena_take(bytes > 0 ? bytes : 1); /* a copy, so that ASan sees overreads */
        memcpy(value, begin, bytes);
        compare(&bench, value, bytes);
        arena_give(value);
        begin = next + 1;
    }
    wanted_release(&bench.wanted);
    login_judge_destroy(&bench.fast);
    login_judge_destroy(&bench.slow);
    arena_reset();
    return 0;
}
