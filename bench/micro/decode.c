/* core/login: the verdict on one record. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "micro.h"
#include "records.h"

struct decode {
    struct records *records;
    struct login_judge *judge;
    char *nested;
    bool must_accept;
};

enum { NESTED_BYTES = 512 };

static struct decode *create(double invalid_percent, const char *from, const char *to) {
    struct decode *decode = calloc(1, sizeof *decode);
    if (decode == NULL) micro_fail("out of memory");
    decode->records = records_create(invalid_percent, from, to);
    decode->judge = login_judge_create(&records_rules);
    if (decode->judge == NULL) micro_fail("out of memory");
    return decode;
}

/* An event as Segment's libraries send it: 900 bytes, 3 levels. */
#define SEGMENT_EVENT(user, device, locale, second)                                                \
    "{\"anonymousId\":\"507f191e-810c-4197-29de-860ea" user "\",\"channel\":\"mobile\","           \
    "\"context\":{\"active\":true,\"app\":{\"name\":\"InitechGlobal\",\"version\":\"545\","        \
    "\"build\":\"3.0.1.545\",\"namespace\":\"com.production.segment\"},\"device\":{\"id\":"        \
    "\"B5372DB0-C21E-11E4-8DFC-AA07A5B093DB\",\"manufacturer\":\"Apple\",\"model\":"               \
    "\"iPhone7,2\",\"name\":\"maguro\",\"type\":\"" device "\"},\"ip\":\"8.8.8.8\",\"library\":{"  \
    "\"name\":\"analytics.js\",\"version\":\"2.11.1\"},\"locale\":\"" locale "\",\"network\":{"    \
    "\"bluetooth\":false,\"carrier\":\"T-Mobile US\",\"cellular\":true,\"wifi\":false},\"os\":{"   \
    "\"name\":\"iPhone OS\",\"version\":\"8.1.3\"},\"screen\":{\"density\":2,\"height\":568,"      \
    "\"width\":320},\"timezone\":\"Europe/Amsterdam\"},\"event\":\"Signed In\",\"messageId\":"     \
    "\"022bb90c-bbac-11e4-8dfc-aa07a5b093db\",\"properties\":{\"method\":\"sso\"},"                \
    "\"receivedAt\":\"2024-07-10T14:36:58.101Z\",\"timestamp\":\"2024-07-10T14:36:" second         \
    ".973Z\",\"type\":\"track\",\"userId\":\"97980cfea0067" user "\"}"

static const struct login_rules segment_rules = {
    .dimensions = {{"device_type", "/context/device/type"}, {"locale", "/context/locale"}},
    .dimension_count = 2,
    .timestamp = "/timestamp",
    .timestamp_format = INSTANT_RFC3339,
    .key = "/userId",
    .max_future_s = 3600,
};

static void *set_up_segment(void) {
    static const char *const events[] = {
        SEGMENT_EVENT("1", "ios", "en-US", "51"), SEGMENT_EVENT("22", "android", "nl-NL", "52"),
        SEGMENT_EVENT("3", "web", "de-DE", "53"), SEGMENT_EVENT("44", "ios", "pt-BR", "54")};
    struct decode *decode = create(0, NULL, NULL);
    login_judge_destroy(&decode->judge);
    decode->judge = login_judge_create(&segment_rules);
    for (int i = 0; i < RECORDS_COUNT; i++) {
        decode->records->values[i] = (struct slice){events[i % 4], strlen(events[i % 4])};
        decode->records->timestamp_ms[i] = INT64_C(1720622216000);
    }
    decode->must_accept = true;
    return decode;
}

/* The same as a generated record, with the same values: what rules look at is nested. */
static size_t nest(char *at, size_t bytes, const struct login *login) {
    char day[LOGIN_DAY_BYTES], minute[LOGIN_MINUTE_BYTES];
    login_day_format(login->minute, day);
    login_minute_format(login->minute, minute);
    return (size_t)snprintf(
        at, bytes,
        "{\"version\": \"2.3.0\", \"context\": {\"user\": {\"id\": \"%.*s\"}, \"ip\": "
        "\"149.144.3.2\", \"locale\": \"%.*s\", \"device\": {\"id\": "
        "\"70d46930-7a4c-4d1f-8a55-0d8f6d1c8e3b\", \"type\": \"%.*s\"}, \"time\": "
        "\"%sT%s:56Z\"}}",
        (int)login->key.length, login->key.bytes, (int)login->values[1].length,
        login->values[1].bytes, (int)login->values[0].length, login->values[0].bytes, day, minute);
}

static const struct login_rules nested_rules = {
    .dimensions = {{"device_type", "/context/device/type"}, {"locale", "/context/locale"}},
    .dimension_count = 2,
    .timestamp = "/context/time",
    .timestamp_format = INSTANT_RFC3339,
    .key = "/context/user/id",
    .max_future_s = 3600,
};

static void *set_up_paths(void) {
    struct decode *decode = create(0, NULL, NULL);
    char *at = malloc((size_t)RECORDS_COUNT * NESTED_BYTES);
    if (at == NULL) micro_fail("out of memory");
    decode->nested = at;
    for (int i = 0; i < RECORDS_COUNT; i++) {
        struct login login;
        struct slice *value = &decode->records->values[i];
        const struct login_record record = {*value, decode->records->timestamp_ms[i], NULL};
        login_judge_record(decode->judge, &record, &login);
        if (login.reason != LOGIN_ACCEPTED) micro_fail(login.detail);
        *value = (struct slice){at, nest(at, NESTED_BYTES, &login)};
        decode->records->timestamp_ms[i] += 60000; /* its seconds are other ones */
        at += value->length;
    }
    login_judge_destroy(&decode->judge);
    decode->judge = login_judge_create(&nested_rules);
    decode->must_accept = true;
    return decode;
}

static void *set_up_common(void) {
    return create(0, NULL, NULL);
}

static void *set_up_utf8(void) {
    return create(0, "\"locale\": \"", "\"locale\": \"\xc3\x89");
}

static void *set_up_escaped(void) {
    return create(0, "\"locale\": \"", "\"locale\": \"\\u00c9");
}

static void *set_up_rejected(void) {
    return create(100, NULL, NULL);
}

static void run(void *state, int64_t operations) {
    struct decode *decode = state;
    struct login login;
    for (int64_t i = 0; i < operations; i++) {
        const struct login_record record = {decode->records->values[i % RECORDS_COUNT],
                                            decode->records->timestamp_ms[i % RECORDS_COUNT], NULL};
        login_judge_record(decode->judge, &record, &login);
        if (login.reason != LOGIN_ACCEPTED && decode->must_accept) micro_fail(login.detail);
        micro_use(&login);
    }
}

static void tear_down(void *state) {
    struct decode *decode = state;
    login_judge_destroy(&decode->judge);
    records_destroy(decode->records);
    free(decode->nested);
    free(decode);
}

const struct micro micro_decode[] = {
    {"decode", "common record (217 bytes) judged", CLOCK_PROCESS_CPUTIME_ID, set_up_common, run,
     tear_down},
    {"decode-utf8", "the same with a non-ASCII letter", CLOCK_PROCESS_CPUTIME_ID, set_up_utf8, run,
     tear_down},
    {"decode-escaped", "the same with that letter escaped", CLOCK_PROCESS_CPUTIME_ID,
     set_up_escaped, run, tear_down},
    {"decode-paths", "the same nested, by four paths, in RFC 3339", CLOCK_PROCESS_CPUTIME_ID,
     set_up_paths, run, tear_down},
    {"decode-nested", "event of Segment (900 bytes, depth 3) judged", CLOCK_PROCESS_CPUTIME_ID,
     set_up_segment, run, tear_down},
    {"decode-rejected", "record rejected, any reason", CLOCK_PROCESS_CPUTIME_ID, set_up_rejected,
     run, tear_down},
    {0},
};
