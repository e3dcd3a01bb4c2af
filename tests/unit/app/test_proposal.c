/* proposal: which settings are proposed for which records. */
#include "app/proposal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <librdkafka/rdkafka.h>

/* 2024-07-10 14:36:56 UTC. */
#define NOW_S "1720622216"
#define NOW_MS INT64_C(1720622216000)

enum { RECORDS_MAX = 700, TEXT_BYTES = 4096 };

static struct sample_record records[RECORDS_MAX];
static size_t record_count;
static struct login_rules rules;
static char text[TEXT_BYTES];

static int begin(void **state) {
    (void)state;
    record_count = 0;
    rules = (struct login_rules){.dimensions = {{.name = "device_type"}, {.name = "locale"}},
                                 .dimension_count = 2,
                                 .timestamp = "timestamp",
                                 .key = "user_id",
                                 .max_future_s = 3600};
    return 0;
}

static struct sample_record *add_bytes(const char *value, size_t length) {
    records[record_count] =
        (struct sample_record){.timestamp_ms = NOW_MS, .has_key = true, .value = {value, length}};
    return &records[record_count++];
}

static struct sample_record *add(const char *value) {
    return add_bytes(value, strlen(value));
}

static void add_many(size_t count, const char *value) {
    while (count-- > 0)
        add(value);
}

/* What is explained and then proposed. */
static void proposes(const char *expected) {
    struct proposal proposal;
    const struct sample sample = {.records = records, .count = record_count};
    FILE *out = fmemopen(text, sizeof text, "w");
    proposal_init(&proposal, &rules, &sample);
    proposal_explain(&proposal, out);
    proposal_print(&proposal, out);
    fputc('\0', out);
    fclose(out);
    assert_int_equal(proposal_is_any(&proposal), strstr(text, "\n[") != NULL);
    proposal_release(&proposal);
    assert_string_equal(text, expected);
}

#define GOOD "{\"device_type\":\"tv\",\"locale\":\"PA\",\"timestamp\":" NOW_S "}"
#define WITH(members) "{\"device_type\":\"tv\",\"locale\":\"PA\"," members "}"

static void what_fits_is_not_changed(void **state) {
    (void)state;
    proposes("");
    add(GOOD);
    proposes("");
    add(WITH("\"timestamp\":\"2024-07-10T14:36:56Z\"")); /* a setting that most fit stays */
    add_many(8, GOOD);
    proposes("");
    add(WITH("\"timestamp\":1720622216000"));
    proposes("");
}

static void a_time_has_the_path_and_the_format_that_fit_most(void **state) {
    (void)state;
    static const struct {
        const char *value, *proposed;
    } cases[] = {
        {WITH("\"timestamp\":1720622216000"), "timestamp = timestamp\ntimestamp_format = ms\n"},
        {WITH("\"timestamp\":1720622216000000"), "timestamp = timestamp\ntimestamp_format = us\n"},
        {WITH("\"timestamp\":1720622216000000000"),
         "timestamp = timestamp\ntimestamp_format = ns\n"},
        {WITH("\"timestamp\":\"2024-07-10T14:36:56Z\""),
         "timestamp = timestamp\ntimestamp_format = rfc3339\n"},
        {WITH("\"meta\":{\"ts\":" NOW_S "}"), "timestamp = /meta/ts\ntimestamp_format = s\n"},
        /* of equals the one that is named best, then the one that is nearest to the top */
        {WITH("\"seen\":" NOW_S ",\"created_at\":" NOW_S),
         "timestamp = created_at\ntimestamp_format = s\n"},
        {WITH("\"created_at\":" NOW_S ",\"sent_time\":" NOW_S),
         "timestamp = sent_time\ntimestamp_format = s\n"},
        {WITH("\"sent_time\":" NOW_S ",\"eventTime\":" NOW_S),
         "timestamp = eventTime\ntimestamp_format = s\n"},
        {WITH("\"sent_time\":" NOW_S ",\"a\":{\"time\":" NOW_S "}"),
         "timestamp = /a/time\ntimestamp_format = s\n"},
        {WITH("\"birth_date\":" NOW_S ",\"sum\":" NOW_S),
         "timestamp = birth_date\ntimestamp_format = s\n"},
        {WITH("\"a\":{\"time\":" NOW_S "},\"time\":" NOW_S ",\"b\":{\"time\":" NOW_S "}"),
         "timestamp = time\ntimestamp_format = s\n"},
        {WITH("\"a\":{\"time\":" NOW_S "},\"b\":{\"time\":" NOW_S "}"),
         "timestamp = /a/time\ntimestamp_format = s\n"},
        /* a name that would mean something else */
        {WITH("\"a/time~\":" NOW_S), "timestamp = /a~1time~0\ntimestamp_format = s\n"},
        {WITH("\"kafka\":" NOW_S), "timestamp = /kafka\ntimestamp_format = s\n"},
        {WITH("\"\":" NOW_S), "timestamp = /\ntimestamp_format = s\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char expected[256];
        begin(NULL);
        add(cases[i].value);
        snprintf(expected, sizeof expected, "\n[input]\n%s", cases[i].proposed);
        proposes(expected);
    }
}

static void without_a_time_in_half_of_the_records_it_is_kafkas(void **state) {
    (void)state;
    add_many(3, WITH("\"time\":" NOW_S));
    add_many(3, WITH("\"time\":\"2024-07-10T14:36:56\"")); /* where? */
    proposes("\n[input]\ntimestamp = time\ntimestamp_format = s\n");
    add(WITH("\"time\":null"));
    static const char kafkas[] =
        "\n[input]\n; no member holds a time with its offset in most of the records\n"
        "timestamp = kafka\ntimestamp_format = s\n";
    proposes(kafkas);
    rules.timestamp = "kafka";
    proposes("");
    begin(NULL);
    add(WITH("\"a\":\"b\""));
    proposes(kafkas);
}

/* Where a record has no time of Kafka's, a number is one if it is of this century. */
static void a_number_is_a_time_of_our_age(void **state) {
    (void)state;
    static const struct {
        int64_t kafka_ms;
        const char *value;
        bool is_time;
    } cases[] = {
        {-1, WITH("\"time\":978307200"), false},      {-1, WITH("\"time\":978307201"), true},
        {-1, WITH("\"time\":4102444799"), true},      {-1, WITH("\"time\":4102444800"), false},
        {NOW_MS, WITH("\"time\":" NOW_S), true},      {NOW_MS, WITH("\"time\":7"), false},
        {NOW_MS, WITH("\"time\":1720625817"), false}, /* more than an hour ahead */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        begin(NULL);
        add(cases[i].value)->timestamp_ms = cases[i].kafka_ms;
        struct proposal proposal;
        const struct sample sample = {.records = records, .count = record_count};
        proposal_init(&proposal, &rules, &sample);
        assert_true(proposal.changes_time);
        if ((strcmp(proposal.rules.timestamp, "time") == 0) != cases[i].is_time)
            fail_msg("%s", cases[i].value);
        proposal_release(&proposal);
    }
}

static void a_key_is_proposed_for_records_without_one(void **state) {
    (void)state;
    add(WITH("\"timestamp\":" NOW_S ",\"userId\":\"u\""));
    proposes("");
    records[0].has_key = false;
    proposes("\n[input]\nkey = userId\n");
    rules.key = "/userId";
    proposes("");
    rules.key = "user_id";
    begin(NULL);
    add(WITH("\"timestamp\":" NOW_S ",\"a\":{\"user\":{\"id\":7}},\"b\":{\"userId\":\"u\"},"
             "\"customer_id\":\"c\""))
        ->has_key = false;
    proposes("\n[input]\nkey = /b/userId\n"); /* fewer steps */
    add(WITH("\"timestamp\":" NOW_S ",\"a\":{\"user\":{\"id\":\"v\"}},\"b\":{\"userId\":\"\"}"))
        ->has_key = false;
    proposes("\n[input]\nkey = /a/user/id\n"); /* more records */
    begin(NULL);
    add(WITH("\"timestamp\":" NOW_S ",\"user\":\"\",\"data\":{\"user\":\"u\"}"))->has_key = false;
    proposes("\n[input]\nkey = /data/user\n");
    add(WITH("\"timestamp\":" NOW_S ",\"a\":{\"user\":{\"id\":7}}"))->has_key = false;
    proposes("\n[input]\nkey = /a/user/id\n"); /* an id rather than any name */
    add_many(2, WITH("\"timestamp\":" NOW_S ",\"data\":{\"user\":\"u\"}"));
    proposes("\n[input]\nkey = /data/user\n"); /* but not if few have it */
    begin(NULL);
    add(WITH("\"timestamp\":" NOW_S ",\"user_id\":null,\"a\":{\"user\":\"u\"}"))->has_key = false;
    proposes("\n[input]\nkey = /a/user\n");
}

static void records_that_stay_without_a_key_are_told(void **state) {
    (void)state;
    add(WITH("\"timestamp\":" NOW_S ",\"customer_id\":\"c\",\"UserID\":{}"))->has_key = false;
    add(GOOD)->has_key = false;
    add(GOOD);
    proposes(
        "; 2 records have no key, and no member is named like a user: they stay without one\n");
    rules.key = "customer_id";
    proposes("");
    begin(NULL);
    rd_kafka_headers_t *headers = rd_kafka_headers_new(1);
    rd_kafka_header_add(headers, "user_id", -1, "u", 1); /* no header can be a key */
    add(GOOD)->has_key = false;
    records[0].headers = (struct kafka_headers *)headers;
    proposes(
        "; 1 records have no key, and no member is named like a user: they stay without one\n");
    rd_kafka_headers_destroy(headers);
}

static void a_dimension_has_the_path_that_is_named_best(void **state) {
    (void)state;
    static const struct {
        const char *members, *proposed;
    } cases[] = {
        {"\"device\":{\"type\":\"tv\"},\"locale\":\"PA\"",
         "\n[dimension.device_type]\nfrom = /device/type\n"},
        {"\"deviceType\":\"tv\",\"locale\":\"PA\"",
         "\n[dimension.device_type]\nfrom = deviceType\n"},
        {"\"platform_type\":\"tv\",\"locale\":\"PA\"",
         "\n[dimension.device_type]\nfrom = platform_type\n"},
        {"\"platform_kind\":\"tv\",\"locale\":\"PA\"",
         "\n[dimension.device_type]\n; no member with a value is named like it\n"
         "from = device_type\ndefault = unknown\n"},
        {"\"device_type\":\"tv\",\"lang\":\"PA\"", "\n[dimension.locale]\nfrom = lang\n"},
        {"\"device_type\":\"tv\",\"lang\":\"PA\",\"a\":{\"locale\":\"PA\"}",
         "\n[dimension.locale]\nfrom = /a/locale\n"},
        {"\"device_type\":\"tv\",\"b\":{\"c\":{\"locale\":\"PA\"}},\"a\":{\"locale\":\"PA\"}",
         "\n[dimension.locale]\nfrom = /a/locale\n"},
        {"\"device_type\":\"tv\",\"a\":{\"locale\":\"PA\"},\"b\":{\"locale\":\"PA\",\"c\":{"
         "\"locale\":\"PA\"}}",
         "\n[dimension.locale]\nfrom = /a/locale\n"},
        {"\"device_type\":7,\"locale\":\"PA\"",
         "\n[dimension.device_type]\nfrom = device_type\naccept = scalar\n"},
        {"\"device_type\":true,\"locale\":\"PA\"",
         "\n[dimension.device_type]\nfrom = device_type\naccept = scalar\n"},
        {"\"device_type\":\"\",\"locale\":\"PA\"",
         "\n[dimension.device_type]\n; no record has a value there that can be counted\n"
         "from = device_type\ndefault = unknown\n"},
        {"\"device_type\":null,\"locale\":\"PA\"",
         "\n[dimension.device_type]\n; no record has a value there that can be counted\n"
         "from = device_type\ndefault = unknown\n"},
        {"\"device_type\":\"tv\",\"a\":{\"b\":{\"locale\":null}},\"context\":{\"locale\":null}",
         "\n[dimension.locale]\n; no record has a value there that can be counted\n"
         "from = /context/locale\ndefault = unknown\n"},
        {"\"locale\":\"PA\",\"locale\":7,\"device_type\":\"tv\"", ""}, /* the first counts */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char value[256];
        begin(NULL);
        snprintf(value, sizeof value, "{%s,\"timestamp\":" NOW_S "}", cases[i].members);
        add(value);
        proposes(cases[i].proposed);
    }
}

static void a_dimension_that_some_records_lack_has_a_default(void **state) {
    (void)state;
    add_many(9, GOOD);
    add("{\"locale\":\"PA\",\"timestamp\":" NOW_S "}");
    proposes("\n[dimension.device_type]\nfrom = device_type\ndefault = unknown\n");
    rules.dimensions[0].fallback = "none";
    proposes("");
    begin(NULL);
    add_many(9, GOOD);
    add("{\"device_type\":[],\"locale\":{},\"timestamp\":" NOW_S "}");
    proposes("\n[dimension.device_type]\nfrom = device_type\ndefault = unknown\n"
             "\n[dimension.locale]\nfrom = locale\ndefault = unknown\n");
}

/* Of paths without a value the one is taken that most records have; one of a wrong kind is none. */
static void a_path_that_is_always_empty_is_proposed(void **state) {
    (void)state;
    static const char a[] = "{\"device_type\":\"tv\",\"timestamp\":" NOW_S
                            ",\"a\":{\"locale\":null},\"b\":{\"locale\":\"\"}}";
    static const char b[] =
        "{\"device_type\":\"tv\",\"timestamp\":" NOW_S ",\"b\":{\"locale\":null}}";
    static const char noted[] =
        "\n[dimension.locale]\n; no record has a value there that can be counted\n"
        "from = /b/locale\ndefault = unknown\n";
    add(a);
    add(b);
    proposes(noted);
    rules.dimensions[1].from = "/a/locale"; /* it exists, so it stays */
    proposes("\n[dimension.locale]\n; no record has a value there that can be counted\n"
             "from = /a/locale\ndefault = unknown\n");
    begin(NULL);
    add("{\"device_type\":\"tv\",\"timestamp\":" NOW_S ",\"b\":{\"locale\":[]}}");
    add(b);
    proposes(noted);
    char too_long[LOGIN_VALUE_BYTES_MAX + 128];
    snprintf(too_long, sizeof too_long,
             "{\"device_type\":\"tv\",\"timestamp\":" NOW_S ",\"b\":{\"locale\":\"%0*d\"}}",
             LOGIN_VALUE_BYTES_MAX + 1, 0);
    add(too_long);
    proposes("\n[dimension.locale]\n; no member with a value is named like it\n"
             "from = locale\ndefault = unknown\n");
}

/* A default would not help: it is there, and too long. */
static void a_dimension_of_a_wrong_kind_is_left_alone(void **state) {
    (void)state;
    char value[LOGIN_VALUE_BYTES_MAX + 128];
    for (int length = LOGIN_VALUE_BYTES_MAX; length <= LOGIN_VALUE_BYTES_MAX + 1; length++) {
        begin(NULL);
        snprintf(value, sizeof value,
                 "{\"device_type\":\"%0*d\",\"locale\":\"PA\",\"timestamp\":" NOW_S "}", length, 0);
        add(value);
        proposes("");
        add_many(9, GOOD);
        proposes("");
    }
    record_count = 1;
    add("{\"locale\":\"PA\",\"timestamp\":" NOW_S "}");
    proposes("\n[dimension.device_type]\n; no member with a value is named like it\n"
             "from = device_type\ndefault = unknown\n");
}

static void a_scalar_is_accepted_if_a_tenth_is_one(void **state) {
    (void)state;
    add_many(10, GOOD);
    add("{\"device_type\":1,\"locale\":\"PA\",\"timestamp\":" NOW_S "}");
    proposes("");
    record_count--;
    records[9] = records[10];
    proposes("\n[dimension.device_type]\nfrom = device_type\naccept = scalar\n");
    rules.dimensions[0].accept = LOGIN_ACCEPT_SCALAR;
    proposes("");
}

/* What is set stays if it does nine tenths as well as the best. */
static void what_is_nearly_as_good_stays(void **state) {
    (void)state;
    add_many(9, "{\"device_type\":\"tv\",\"locale\":\"PA\",\"timestamp\":" NOW_S
                ",\"a\":{\"locale\":\"PA\"}}");
    add("{\"device_type\":\"tv\",\"timestamp\":" NOW_S ",\"a\":{\"locale\":\"PA\"}}");
    proposes("\n[dimension.locale]\nfrom = locale\ndefault = unknown\n");
    records[8] = records[9];
    proposes("\n[dimension.locale]\nfrom = /a/locale\n");
}

static void headers_are_looked_at(void **state) {
    (void)state;
    rd_kafka_headers_t *headers = rd_kafka_headers_new(2);
    rd_kafka_header_add(headers, "locale", -1, "PA", 2);
    rd_kafka_header_add(headers, "none", -1, NULL, 0);
    add("{\"device_type\":\"tv\",\"timestamp\":" NOW_S "}")->headers =
        (struct kafka_headers *)headers;
    proposes("\n[dimension.locale]\nfrom = header:locale\n");
    rd_kafka_headers_destroy(headers);
}

/* A configuration cannot hold it, and a terminal must not show it. */
static void a_path_that_steers_a_terminal_is_left_alone(void **state) {
    (void)state;
    rd_kafka_headers_t *headers = rd_kafka_headers_new(1);
    rd_kafka_header_add(headers, "locale\033[2J", -1, "PA", 2);
    add("{\"device_type\":\"tv\",\"locale \\u202e\":\"PA\",\"timestamp\":" NOW_S "}")->headers =
        (struct kafka_headers *)headers;
    proposes("\n[dimension.locale]\n; no member with a value is named like it\nfrom = locale\n"
             "default = unknown\n");
    rd_kafka_headers_destroy(headers);
}

static void a_frame_is_looked_through(void **state) {
    (void)state;
    static const char framed[] = "\0\0\0\0\7" GOOD;
    add_bytes(framed, sizeof framed - 1);
    proposes("\n[input]\nframing = confluent\n");
    rules.framing = LOGIN_FRAMING_CONFLUENT;
    proposes("");
    begin(NULL);
    add("\xEF\xBB\xBF" WITH("\"time\":" NOW_S));
    proposes("\n[input]\ntimestamp = time\ntimestamp_format = s\n");
    begin(NULL);
    add(GOOD);
    add_bytes(framed, 5)->has_key = false;
    add_bytes(NULL, 0);
    proposes("");
}

static void what_no_setting_can_help_is_explained(void **state) {
    (void)state;
    static const char gzip[] = "bad 2 records hold gzip as their value, which rollcall does not "
                               "unpack: let the producer compress instead (compression.type), and "
                               "send plain JSON\n";
    add("\x1f\x8b");
    add("\x1f\x8b\x08");
    add("\x1f");
    proposes(gzip);
    static const char *const many[] = {"{\"a\":1}{\"a\":2}", "{\"a\":{\"b\":1}} \n {\"a\":2}",
                                       "{\"a\":\"} {\"}{\"a\":2}", "[{\"a\":1}]"};
    static const char *const others[] = {" [{\"a\":1}]", "{\"a\":1}}", "{\"a\":1} 7",
                                         "\"{}{}\"",     "7",          "{\"a\":{}"};
    for (size_t i = 0; i < sizeof many / sizeof *many; i++) {
        begin(NULL);
        add(many[i]);
        proposes("bad 1 records hold several objects, and rollcall counts one event a record: send "
                 "each in a record of its own\n");
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        begin(NULL);
        add(others[i]);
        proposes("");
    }
}

/* The first paths are enough; what comes later is not proposed. */
static void paths_past_the_bound_are_not_looked_at(void **state) {
    (void)state;
    static char values[PROPOSAL_PATHS_MAX][64];
    for (int i = 0; i < PROPOSAL_PATHS_MAX; i++) {
        snprintf(values[i], sizeof values[0], "{\"x%d\":null}", i);
        add(values[i]);
    }
    add("{\"timestamp\":" NOW_S "}");
    rules.dimension_count = 0;
    proposes("\n[input]\n; no member holds a time with its offset in most of the records\n"
             "timestamp = kafka\ntimestamp_format = s\n");
    records[0] = records[--record_count]; /* one path less */
    proposes("");
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup(name, begin)
        TEST(what_fits_is_not_changed),
        TEST(a_time_has_the_path_and_the_format_that_fit_most),
        TEST(without_a_time_in_half_of_the_records_it_is_kafkas),
        TEST(a_number_is_a_time_of_our_age),
        TEST(a_key_is_proposed_for_records_without_one),
        TEST(records_that_stay_without_a_key_are_told),
        TEST(a_dimension_has_the_path_that_is_named_best),
        TEST(a_dimension_that_some_records_lack_has_a_default),
        TEST(a_path_that_is_always_empty_is_proposed),
        TEST(a_dimension_of_a_wrong_kind_is_left_alone),
        TEST(a_scalar_is_accepted_if_a_tenth_is_one),
        TEST(what_is_nearly_as_good_stays),
        TEST(headers_are_looked_at),
        TEST(a_path_that_steers_a_terminal_is_left_alone),
        TEST(a_frame_is_looked_through),
        TEST(what_no_setting_can_help_is_explained),
        TEST(paths_past_the_bound_are_not_looked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
