#include "records.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker.h"
#include "core/hyperloglog.h"

enum { INDEXES = PARTITIONS_MAX * EDITIONS * LOG_MAX, VALUE_BYTES = 400 };

#define FIRST_MINUTE INT64_C(28677780) /* from here on each timestamp has its own register */

static struct record table[RECORD_KINDS][INDEXES];
static char values[RECORD_KINDS][INDEXES][VALUE_BYTES];

static const char user_id[] = "5ec2d697";

#define LOGIN(device, locale)                                                                      \
    "{\"user_id\":\"5ec2d697\",\"locale\":\"" locale                                               \
    "\",\"timestamp\":@,\"device_type\":\"" device "\"}"

#define ANDROID LOGIN("android", "PA")
#define WEB LOGIN("web", "N|Y")
#define WEB_SPELLED                                                                                \
    "{ \"device_type\": \"\\u0077eb\", \"more\": [1, {\"a\": null}], \"timestamp\": \"@\", "       \
    "\"locale\": \"N|Y\" }"

/* What is the same for all records of a kind. */
static const struct kind {
    const char *value; /* @ stands for the timestamp in seconds; NULL: none */
    enum { AT_LIMIT, BEFORE_LIMIT, AT_LOGIN, NO_TIME } time; /* of Kafka, by that of the login */
    enum login_reason reason;
    const char *device, *locale, *joined; /* the last: as a declared count has both */
} kinds[RECORD_WIDE] = {
    {ANDROID, AT_LIMIT, LOGIN_ACCEPTED, "android", "PA", "PA|android"},
    {ANDROID, BEFORE_LIMIT, LOGIN_BAD_TIMESTAMP, NULL, NULL, NULL},
    {WEB_SPELLED, AT_LIMIT, LOGIN_ACCEPTED, "web", "N|Y", "N\\|Y|web"},
    {WEB, BEFORE_LIMIT, LOGIN_BAD_TIMESTAMP, NULL, NULL, NULL},
    {ANDROID, AT_LOGIN, LOGIN_ACCEPTED, "android", "PA", "PA|android"},
    {WEB, AT_LOGIN, LOGIN_ACCEPTED, "web", "N|Y", "N\\|Y|web"},
    {WEB_SPELLED, NO_TIME, LOGIN_ACCEPTED, "web", "N|Y", "N\\|Y|web"},
    {NULL, AT_LOGIN, LOGIN_EMPTY, NULL, NULL, NULL},
    {"{\"locale\":\"PA\",", AT_LOGIN, LOGIN_NOT_JSON, NULL, NULL, NULL},
    {"[\"login\", \"android\"]", AT_LOGIN, LOGIN_NOT_OBJECT, NULL, NULL, NULL},
    {"{\"timestamp\":1720622216,\"locale\":\"PA\"}", AT_LOGIN, LOGIN_MISSING_FIELD, NULL, NULL,
     NULL},
    {LOGIN("android", ""), AT_LOGIN, LOGIN_BAD_VALUE, NULL, NULL, NULL},
};

static const char *const narrow_names[] = {"device_type", "locale"};
static const char *const wide_names[LOGIN_DIMENSIONS_MAX] = {"d0", "d1", "d2", "d3",
                                                             "d4", "d5", "d6", "d7"};

unsigned record_dimension_count(bool is_wide) {
    return is_wide ? LOGIN_DIMENSIONS_MAX : 2;
}

const char *record_dimension(bool is_wide, unsigned dimension) {
    return is_wide ? wide_names[dimension] : narrow_names[dimension];
}

int64_t record_weight(const char *bytes, size_t length) {
    uint32_t hash = 2166136261U;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)bytes[i]) * 16777619U;
    return 1 + (hash >> 8);
}

int64_t record_count_weight(int64_t bucket, struct slice value) {
    char text[128];
    const int length =
        snprintf(text, sizeof text, "%lld %.*s", (long long)bucket, (int)value.length, value.bytes);
    assert((size_t)length < sizeof text);
    return record_weight(text, (size_t)length);
}

void record_declare(bool is_wide, int count, struct declared_settings *settings) {
    static char names[COUNTS_MAX][12] = {"both", "total", "minutes", "distinct", "distinct_by"};
    static char none[] = "", timestamp[] = "timestamp";
    static const enum declared_every everies[COUNTS_MAX] = {
        DECLARED_HOUR, DECLARED_TOTAL, DECLARED_MINUTE, DECLARED_HOUR, DECLARED_TOTAL};
    for (int i = 0; i < count; i++) {
        settings[i] = (struct declared_settings){.name = names[i],
                                                 .every = everies[i],
                                                 .retention_days = 400,
                                                 .max_values = 10000,
                                                 .unique = i < DISTINCT ? none : timestamp};
        struct setting_names *by = &settings[i].by;
        if (i == 0) by->items[by->count++] = (char *)record_dimension(is_wide, 1);
        if (i <= 1 || i == DISTINCT + 1)
            by->items[by->count++] = (char *)record_dimension(is_wide, 0);
    }
}

static int64_t login_s(int index) {
    return (FIRST_MINUTE + index) * 60 + index % 60;
}

uint32_t record_distinct(uint64_t hash) {
    const uint64_t rest = hash / HYPERLOGLOG_REGISTERS;
    uint32_t rank = 1;
    while (rank < HYPERLOGLOG_RANK_MAX && (rest >> (rank - 1)) % 2 == 0)
        rank++;
    return (uint32_t)(hash % HYPERLOGLOG_REGISTERS) << 6 | rank;
}

/* What the declared counts are of an accepted record, by hand. */
static void expect_declared(struct record *record, int index, const char *first,
                            const char *joined) {
    const int64_t minute = FIRST_MINUTE + index;
    record->declared[0] =
        record_count_weight(minute / 60 * 60, (struct slice){joined, strlen(joined)});
    record->declared[1] = record_count_weight(0, (struct slice){first, strlen(first)});
    record->declared[2] = record_count_weight(minute, (struct slice){"", 0});
    record->declared[3] = record_count_weight(minute / 60 * 60, (struct slice){"", 0});
    record->declared[4] = record->declared[1];
    char text[24];
    const int length = snprintf(text, sizeof text, "%lld", (long long)login_s(index));
    record->distinct = record_distinct(hyperloglog_hash((struct slice){text, (size_t)length}));
}

int64_t record_first_minute(void) {
    return FIRST_MINUTE;
}

int record_index(int partition, int edition, int64_t offset) {
    return (partition * EDITIONS + edition) * LOG_MAX + (int)offset;
}

static int64_t limit_ms(int index) {
    return (login_s(index) - RECORD_MAX_FUTURE_S) * 1000;
}

int64_t record_clock_ms(uint32_t luck) {
    return limit_ms((int)(luck / 2 % INDEXES)) - luck % 2;
}

static void make(int number, int index) {
    const struct kind *kind = &kinds[number];
    struct record *record = &table[number][index];
    char *value = values[number][index];
    const int64_t times[] = {limit_ms(index), limit_ms(index) - 1, login_s(index) * 1000, -1};
    record->timestamp_ms = times[kind->time];
    record->reason = kind->reason;
    if (kind->value != NULL) {
        const char *mark = strchrnul(kind->value, '@'), *rest = *mark == '\0' ? mark : mark + 1;
        const int length =
            *mark == '\0' ? snprintf(value, VALUE_BYTES, "%s", kind->value)
                          : snprintf(value, VALUE_BYTES, "%.*s%lld%s", (int)(mark - kind->value),
                                     kind->value, (long long)login_s(index), rest);
        record->value = (struct slice){value, (size_t)length};
    }
    if (kind->reason != LOGIN_ACCEPTED) return;
    record->weights[0] = record_weight(kind->device, strlen(kind->device));
    record->weights[1] = record_weight(kind->locale, strlen(kind->locale));
    expect_declared(record, index, kind->device, kind->joined);
    if (strstr(value, user_id) != NULL) record->user_id = (struct slice){user_id, 8};
}

static void make_wide(int index) {
    struct record *record = &table[RECORD_WIDE][index];
    char *value = values[RECORD_WIDE][index];
    int length = snprintf(value, VALUE_BYTES, "{\"timestamp\":%lld", (long long)login_s(index));
    for (unsigned d = 0; d < LOGIN_DIMENSIONS_MAX; d++) {
        char text[16];
        const int bytes = snprintf(text, sizeof text, "v%dd%u", index, d);
        record->weights[d] = record_weight(text, (size_t)bytes);
        length += snprintf(value + length, (size_t)(VALUE_BYTES - length), ",\"%s\":\"%s\"",
                           wide_names[d], text);
    }
    length += snprintf(value + length, (size_t)(VALUE_BYTES - length), "}");
    char first[16], joined[32];
    snprintf(first, sizeof first, "v%dd0", index);
    snprintf(joined, sizeof joined, "v%dd1|v%dd0", index, index);
    expect_declared(record, index, first, joined);
    record->value = (struct slice){value, (size_t)length};
    record->timestamp_ms = login_s(index) * 1000;
}

static void check_registers(void) {
    for (int a = 0; a < INDEXES; a++) {
        for (int b = record_index(a / (EDITIONS * LOG_MAX), 0, 0); b < a; b++)
            assert(table[RECORD_WIDE][a].distinct >> 6 != table[RECORD_WIDE][b].distinct >> 6);
    }
}

void records_init(void) {
    static const char key[] = "key";
    for (int index = 0; index < INDEXES; index++) {
        for (int kind = 0; kind < RECORD_WIDE; kind++)
            make(kind, index);
        make_wide(index);
        for (int kind = 0; kind < RECORD_KINDS; kind++) {
            struct record *record = &table[kind][index];
            record->minute = FIRST_MINUTE + index;
            record->has_headers = index % 5 == 0;
            if (index % 3 != 0) record->key = (struct slice){key, sizeof key - 1};
        }
    }
    check_registers();
}

const struct record *record_of_edition(int partition, int edition, int64_t offset) {
    assert(offset >= 0 && offset < LOG_MAX);
    const int kind = broker.log[partition][edition][offset];
    return kind == RECORD_HOLE ? NULL : &table[kind][record_index(partition, edition, offset)];
}

const struct record *record_at(int partition, int64_t offset) {
    return record_of_edition(partition, broker.edition[partition][offset], offset);
}
