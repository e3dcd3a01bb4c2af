/* JSONTestSuite: each of its texts as a member of a login, first and last, and where what the rules
 * look at is 0, 1 and 3 levels deep also beside that. What the suite says must be accepted is
 * accepted, what it says must be rejected is not_json, without an exception; and with the fast
 * decoder or without, the verdict is the same on all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/login.h"

static const char path[] = "core/json_test_suite.txt";

enum { ACCEPTED_CASES = 95, REJECTED_CASES = 188, OTHER_CASES = 35, LINE_BYTES = 4096 };

/* What is around a text: the rules look for their members at some depth, and it is at another. */
static const struct place {
    const char *name;
    struct login_rules rules;
    const char *head, *tail;
} places[] = {
#define RULES(path)                                                                                \
    {                                                                                              \
        .dimensions = {{"device_type", path "/device_type"}, {"locale", path "/locale"}},          \
        .dimension_count = 2, .max_future_s = 3600, .timestamp = path "/timestamp",                \
        .key = path "/user_id",                                                                    \
    }
    {"the first member", RULES(""),
     "{\"x\": ", ", \"device_type\": \"ios\", \"locale\": \"PA\", \"timestamp\": 1720622216}"},
    {"the last member", RULES(""),
     "{\"device_type\":\"ios\",\"locale\":\"PA\",\"timestamp\":60,\"x\":", "}"},
    {"deeper than what is wanted", RULES(""),
     "{\"device_type\":\"ios\",\"a\":{\"b\":[{\"c\":", "}]},\"locale\":\"PA\",\"timestamp\":60}"},
    {"beside what is at depth 1", RULES("/a"),
     "{\"a\":{\"device_type\":\"ios\",\"locale\":\"PA\",\"x\":", ",\"timestamp\":60}}"},
    {"above what is at depth 1", RULES("/a"),
     "{\"x\":", ",\"a\":{\"device_type\":\"ios\",\"locale\":\"PA\",\"timestamp\":60}}"},
    {"beside what is at depth 3", RULES("/a/0/b"),
     "{\"a\":[{\"b\":{\"device_type\":\"ios\",\"locale\":\"PA\",\"timestamp\":60,\"x\":", "}}]}"},
    {"above what is at depth 3", RULES("/a/1/b"), "{\"a\":[",
     ",{\"b\":{\"device_type\":\"ios\",\"locale\":\"PA\",\"timestamp\":60}}]}"},
    {"where the last of a repeated key is not", RULES("/a"),
     "{\"a\":", ",\"a\":{\"device_type\":\"ios\",\"locale\":\"PA\",\"timestamp\":60}}"},
};

struct record {
    char *bytes;
    size_t length;
};

/* Undoes the escapes of the file in place; answers the length. */
static size_t unescape(char *text) {
    char *to = text;
    for (const char *from = text; *from != '\0'; from++) {
        unsigned byte = (unsigned char)*from;
        if (*from == '\\') {
            from++;
            byte = '\\';
            if (*from == 'x') {
                assert_int_equal(sscanf(from + 1, "%2x", &byte), 1);
                from += 2;
            }
        }
        *to++ = (char)byte;
    }
    return (size_t)(to - text);
}

static struct record embed(const char *head, const char *text, size_t length, size_t times,
                           const char *tail) {
    struct record record = {.length = strlen(head) + length * times + strlen(tail)};
    record.bytes = malloc(record.length);
    assert_non_null(record.bytes);
    char *at = record.bytes;
    memcpy(at, head, strlen(head));
    at += strlen(head);
    for (size_t i = 0; i < times; i++, at += length)
        memcpy(at, text, length);
    memcpy(at, tail, strlen(tail));
    return record;
}

static enum login_reason judge(const struct login_rules *rules, struct record record,
                               bool is_scan_off) {
    struct login_judge *judge = login_judge_create(rules);
    struct login login;
    if (is_scan_off) login_judge_distrust_scan(judge);
    const struct login_record judged = {{record.bytes, record.length}, -1, NULL};
    login_judge_record(judge, &judged, &login);
    login_judge_destroy(&judge);
    return login.reason;
}

/* Answers whether the record got the verdict that the name of its case asks for. */
static bool is_right(const char *name, const struct place *place, struct record record) {
    const enum login_reason reason = judge(&place->rules, record, false);
    const enum login_reason slow_reason = judge(&place->rules, record, true);
    bool right = reason == slow_reason;
    if (name[0] == 'y') right &= reason == LOGIN_ACCEPTED;
    if (name[0] == 'n') right &= reason == LOGIN_NOT_JSON;
    if (!right) {
        print_error("%s, %s: %s, and %s without scan\n", name, place->name,
                    login_reason_name(reason), login_reason_name(slow_reason));
    }
    free(record.bytes);
    return right;
}

static bool case_is_right(const char *name, size_t times, const char *text, size_t length) {
    bool right = true;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const struct place *place = &places[i];
        right &= is_right(name, place, embed(place->head, text, length, times, place->tail));
    }
    return right;
}

static void every_case_has_the_verdict_of_its_name(void **state) {
    (void)state;
    FILE *file = fopen(path, "r");
    if (file == NULL) fail_msg("%s cannot be read", path);
    char line[LINE_BYTES], name[128];
    int accepted = 0, rejected = 0, others = 0, wrong = 0;
    while (fgets(line, sizeof line, file) != NULL) {
        size_t times;
        int text_at = 0;
        if (sscanf(line, "%127s\t%zu%n", name, &times, &text_at) != 2 || name[1] != '_') continue;
        char *text = line + text_at;
        assert_int_equal(*text, '\t');
        text++;
        text[strcspn(text, "\n")] = '\0';
        accepted += name[0] == 'y';
        rejected += name[0] == 'n';
        others += name[0] == 'i';
        wrong += !case_is_right(name, times, text, unescape(text));
    }
    fclose(file);
    assert_int_equal(accepted, ACCEPTED_CASES);
    assert_int_equal(rejected, REJECTED_CASES);
    assert_int_equal(others, OTHER_CASES);
    assert_int_equal(wrong, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_case_has_the_verdict_of_its_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
