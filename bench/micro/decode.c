/* core/login: the verdict on one record. */
#include <stdlib.h>

#include "micro.h"
#include "records.h"

struct decode {
    struct records *records;
    struct login_judge *judge;
};

static struct decode *create(double invalid_percent, const char *from, const char *to) {
    struct decode *decode = calloc(1, sizeof *decode);
    if (decode == NULL) micro_fail("out of memory");
    decode->records = records_create(invalid_percent, from, to);
    decode->judge = login_judge_create(&records_rules);
    if (decode->judge == NULL) micro_fail("out of memory");
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
        const struct slice value = decode->records->values[i % RECORDS_COUNT];
        login_judge_record(decode->judge, value.bytes, value.length,
                           decode->records->timestamp_ms[i % RECORDS_COUNT], &login);
        micro_use(&login);
    }
}

static void tear_down(void *state) {
    struct decode *decode = state;
    login_judge_destroy(&decode->judge);
    records_destroy(decode->records);
    free(decode);
}

const struct micro micro_decode[] = {
    {"decode", "common record (217 bytes) judged", CLOCK_PROCESS_CPUTIME_ID, set_up_common, run,
     tear_down},
    {"decode-utf8", "the same with a non-ASCII letter", CLOCK_PROCESS_CPUTIME_ID, set_up_utf8, run,
     tear_down},
    {"decode-escaped", "the same with that letter escaped", CLOCK_PROCESS_CPUTIME_ID,
     set_up_escaped, run, tear_down},
    {"decode-rejected", "record rejected, any reason", CLOCK_PROCESS_CPUTIME_ID, set_up_rejected,
     run, tear_down},
    {0},
};
