/* A record is judged in two steps: a decoder turns its bytes into struct fields, then the rules are
 * applied to these. The rules never see JSON, so the verdict on a record does not depend on which
 * decoder read it: core/scan, when it is sure, fills the same fields as core/parse does. */
#include "core/login.h"

#include <assert.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/utf8.h"
#include "core/event_time.h"
#include "core/fields.h"
#include "core/parse.h"
#include "core/path.h"
#include "core/scan.h"

/* The longest that a detail says of a name or a path. */
enum { LABEL_BYTES = 160 };

/* A field that the rules look at. */
struct source {
    enum path_kind kind;
    uint16_t slot;           /* of struct fields; headers are behind what is wanted of the value */
    char label[LABEL_BYTES]; /* its name, and where it is if that is elsewhere */
};

struct login_judge {
    struct login_rules rules;
    struct wanted wanted;
    struct source dimensions[LOGIN_DIMENSIONS_MAX], key, uniques[LOGIN_UNIQUES_MAX], time;
    const char *headers[LOGIN_HEADERS_MAX];
    size_t header_count;
    struct scan scan;
    bool is_scan_off;
    struct parse parse;
    char detail[PARSE_DETAIL_BYTES];
    char why[EVENT_TIME_DETAIL_BYTES]; /* no time: it is not on the stack of the common path */
};

static_assert(LOGIN_DIMENSIONS_MAX + LOGIN_UNIQUES_MAX + LOGIN_HEADERS_MAX + 2 <= WANTED_MAX,
              "each has a slot");

static enum login_reason decode(struct login_judge *judge, const struct login_record *record,
                                struct fields *fields);
static enum login_reason apply_rules(struct login_judge *judge, const struct fields *fields,
                                     int64_t kafka_timestamp_ms, struct login *login);
static enum login_reason reject(struct login_judge *judge, enum login_reason reason,
                                const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Two dimensions may be of the same header. */
static uint16_t add_header(struct login_judge *judge, const char *name) {
    size_t i = 0;
    while (i < judge->header_count && strcmp(judge->headers[i], name) != 0)
        i++;
    if (i == judge->header_count) judge->headers[judge->header_count++] = name;
    return (uint16_t)i;
}

/* A slot is a node, or a header's number, until number_slots. */
static void add_source(struct login_judge *judge, struct source *source, const char *name,
                       const char *from, enum path_kind kind) {
    source->kind = kind;
    if (kind == PATH_MEMBER) source->slot = wanted_add(&judge->wanted, from);
    if (kind == PATH_HEADER) source->slot = add_header(judge, path_header(from));
    snprintf(source->label, LABEL_BYTES, strcmp(name, from) == 0 ? "%s" : "%s (%s)", name, from);
}

static void number_slot(const struct login_judge *judge, struct source *source) {
    if (source->kind == PATH_MEMBER) source->slot = judge->wanted.nodes[source->slot].slot;
    if (source->kind == PATH_HEADER)
        source->slot = (uint16_t)(judge->wanted.slot_count + source->slot);
}

struct login_judge *login_judge_create(const struct login_rules *rules) {
    assert(rules->dimension_count <= LOGIN_DIMENSIONS_MAX);
    assert(rules->max_future_s >= 0);

    struct login_judge *judge = memory_create(sizeof *judge);
    const char *key = rules->key == NULL ? "user_id" : rules->key;
    const char *time = rules->timestamp == NULL ? "timestamp" : rules->timestamp;
    judge->rules = *rules;
    wanted_init(&judge->wanted);
    for (size_t i = 0; i < rules->dimension_count; i++) {
        const struct login_dimension *dimension = &rules->dimensions[i];
        const char *from = dimension->from == NULL ? dimension->name : dimension->from;
        add_source(judge, &judge->dimensions[i], dimension->name, from, path_kind_of_field(from));
    }
    add_source(judge, &judge->key, strcmp(key, "user_id") == 0 ? key : "key", key, PATH_MEMBER);
    for (size_t i = 0; i < rules->unique_count; i++) {
        const char *unique = rules->uniques[i];
        add_source(judge, &judge->uniques[i], unique, unique, path_kind_of_field(unique));
    }
    add_source(judge, &judge->time, "timestamp", time, path_kind_of_time(time));
    wanted_number(&judge->wanted);
    for (size_t i = 0; i < rules->dimension_count; i++)
        number_slot(judge, &judge->dimensions[i]);
    number_slot(judge, &judge->key);
    for (size_t i = 0; i < rules->unique_count; i++)
        number_slot(judge, &judge->uniques[i]);
    number_slot(judge, &judge->time);
    scan_init(&judge->scan, &judge->wanted);
    parse_init(&judge->parse, &judge->wanted);
    return judge;
}

void login_judge_destroy(struct login_judge **judge) {
    if (*judge == NULL) return;
    parse_release(&(*judge)->parse);
    wanted_release(&(*judge)->wanted);
    free(*judge);
    *judge = NULL;
}

void login_judge_distrust_scan(struct login_judge *judge) {
    judge->is_scan_off = true;
}

size_t login_judge_headers(const struct login_judge *judge, const char *const **names) {
    *names = judge->headers;
    return judge->header_count;
}

void login_judge_record(struct login_judge *judge, const struct login_record *record,
                        struct login *login) {
    struct fields fields;
    judge->detail[0] = '\0';
    enum login_reason reason = decode(judge, record, &fields);
    if (reason == LOGIN_ACCEPTED) reason = apply_rules(judge, &fields, record->timestamp_ms, login);
    if (reason != LOGIN_ACCEPTED) *login = (struct login){0};
    login->reason = reason;
    login->detail = judge->detail;
}

const struct setting login_setting_table[] = {
    SETTING_TEXT(struct login_settings, timestamp, "input", "timestamp", 1, PATH_BYTES_MAX,
                 "timestamp", path_is_field, PATH_TIME_RULE, 0, "where an event's time is"),
    SETTING_CHOICE(struct login_settings, timestamp_format, "input", "timestamp_format",
                   SETTING_WORDS("s", "ms", "us", "ns", "rfc3339", "auto"), "s", 0,
                   "how it is written: units since 1970, RFC 3339, or the one of these that fits "
                   "the record's Kafka timestamp"),
    SETTING_TEXT(struct login_settings, key, "input", "key", 1, PATH_BYTES_MAX, "user_id",
                 path_is_member, PATH_MEMBER_RULE, 0,
                 "what becomes the key of a record without one: a string, or a number"),
    SETTING_CHOICE(struct login_settings, framing, "input", "framing",
                   SETTING_WORDS("none", "confluent"), "none", 0,
                   "what may stand before a value: confluent is byte 0 and four of a schema id"),
    SETTING_NUMBER(struct login_settings, max_future_s, "aggregate", "max_future_s", 0, 315360000,
                   "3600", 0,
                   "how many seconds a login may be ahead of its record's Kafka timestamp"),
    SETTING_END,
};

static bool is_utf8(struct slice text) {
    size_t length = 0;
    for (size_t i = 0; i < text.length; i += length) {
        length = utf8_length(text.bytes + i, text.length - i);
        if (length == 0) return false;
    }
    return true;
}

static bool is_utf8_text(const char *text) {
    return is_utf8((struct slice){text, strlen(text)});
}

const struct setting login_dimension_setting_table[] = {
    SETTING_TEXT(struct login_dimension_settings, from, "dimension", "from", 1, PATH_BYTES_MAX,
                 NULL, path_is_field, PATH_FIELD_RULE, 0,
                 "where the dimension's value is; by default the member of its name"),
    SETTING_TEXT(struct login_dimension_settings, fallback, "dimension", "default", 0,
                 LOGIN_VALUE_BYTES_MAX, "", is_utf8_text, "text in UTF-8", 0,
                 "counted where the value is missing, null or empty; empty: such a record is "
                 "rejected"),
    SETTING_CHOICE(struct login_dimension_settings, accept, "dimension", "accept",
                   SETTING_WORDS("string", "scalar"), "string", 0,
                   "scalar: also numbers as they are written, true and false"),
    SETTING_END,
};

void login_rules_init(struct login_rules *rules, const struct login_settings *settings,
                      const struct setting_names *dimensions) {
    *rules = (struct login_rules){
        .dimension_count = (size_t)dimensions->count,
        .timestamp = settings->timestamp,
        .key = settings->key,
        .timestamp_format = settings->timestamp_format,
        .framing = settings->framing,
        .max_future_s = settings->max_future_s,
    };
    for (int d = 0; d < dimensions->count; d++) {
        rules->dimensions[d].name = dimensions->items[d];
        for (int i = 0; i < settings->dimension_count; i++) {
            const struct login_dimension_settings *own = &settings->dimensions[i];
            if (strcmp(own->name, dimensions->items[d]) != 0) continue;
            rules->dimensions[d].from = own->from;
            rules->dimensions[d].fallback = own->fallback[0] == '\0' ? NULL : own->fallback;
            rules->dimensions[d].accept = own->accept;
        }
    }
}

static const char *const reason_names[LOGIN_REASON_COUNT + 1] = {
    [LOGIN_ACCEPTED] = "accepted",           [LOGIN_EMPTY] = "empty",
    [LOGIN_NOT_JSON] = "not_json",           [LOGIN_NOT_OBJECT] = "not_object",
    [LOGIN_MISSING_FIELD] = "missing_field", [LOGIN_BAD_VALUE] = "bad_value",
    [LOGIN_BAD_TIMESTAMP] = "bad_timestamp",
};

const char *const *const login_rejection_names = &reason_names[LOGIN_ACCEPTED + 1];

const char *login_reason_name(enum login_reason reason) {
    assert((unsigned)reason < LOGIN_REASON_COUNT);
    return reason_names[reason];
}

/* Days to a date of the Gregorian calendar by Howard Hinnant, "chrono-Compatible Low-Level Date
 * Algorithms" (civil_from_days): years begin in March, so that the leap day is the last of its
 * year; an era is 400 years, 146097 days. */
void login_day_format(int64_t minute, char day[LOGIN_DAY_BYTES]) {
    assert(minute >= 0 && minute <= LOGIN_MINUTE_MAX);
    const unsigned days = (unsigned)(minute / (24 * 60)) + 719468; /* since 0000-03-01 */
    const unsigned era = days / 146097;
    const unsigned day_of_era = days % 146097;
    const unsigned year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    const unsigned day_of_year =
        day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    const unsigned month_from_march = (5 * day_of_year + 2) / 153;
    const unsigned day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    const unsigned month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
    const unsigned year = era * 400 + year_of_era + (month <= 2 ? 1 : 0);

    char text[40]; /* as long as the compiler believes that three numbers could be */
    snprintf(text, sizeof text, "%04u-%02u-%02u", year, month, day_of_month);
    memcpy(day, text, LOGIN_DAY_BYTES);
}

void login_minute_format(int64_t minute, char time[LOGIN_MINUTE_BYTES]) {
    assert(minute >= 0 && minute <= LOGIN_MINUTE_MAX);
    const int of_day = (int)(minute % (24 * 60));
    const int hour = of_day / 60;
    time[0] = (char)('0' + hour / 10);
    time[1] = (char)('0' + hour % 10);
    time[2] = ':';
    time[3] = (char)('0' + of_day % 60 / 10);
    time[4] = (char)('0' + of_day % 10);
    time[5] = '\0';
}

/* --- what is decoded --- */

enum { FRAME_BYTES = 5, BOM_BYTES = 3 };

static struct slice behind(struct slice value, size_t bytes) {
    return (struct slice){value.bytes + bytes, value.length - bytes};
}

/* The header of each slot behind those of the value. */
static void put_headers(const struct login_judge *judge, const struct login_header *headers,
                        struct fields *fields) {
    for (size_t i = 0; i < judge->header_count; i++) {
        struct field *field = &fields->at[judge->wanted.slot_count + i];
        *field = (struct field){FIELD_TEXT, headers[i].value};
        if (!headers[i].is_there)
            field->kind = FIELD_ABSENT;
        else if (headers[i].value.bytes == NULL)
            field->kind = FIELD_NULL;
        else if (!is_utf8(headers[i].value))
            field->kind = FIELD_BROKEN;
    }
}

static enum login_reason decode(struct login_judge *judge, const struct login_record *record,
                                struct fields *fields) {
    struct slice value = record->value;
    if (value.bytes == NULL || value.length == 0)
        return reject(judge, LOGIN_EMPTY, "the record has no value");
    if (judge->rules.framing == LOGIN_FRAMING_CONFLUENT && value.bytes[0] == '\0') {
        if (value.length < FRAME_BYTES) {
            return reject(judge, LOGIN_NOT_JSON,
                          "Confluent framing cut short: %zu bytes, and a frame has %d",
                          value.length, FRAME_BYTES);
        }
        value = behind(value, FRAME_BYTES);
        if (value.length == 0)
            return reject(judge, LOGIN_EMPTY, "the record has no value behind its framing");
    }
    if (value.length >= BOM_BYTES && memcmp(value.bytes, "\xEF\xBB\xBF", BOM_BYTES) == 0)
        value = behind(value, BOM_BYTES);
    if (judge->is_scan_off || !scan_record(&judge->scan, value.bytes, value.length, fields)) {
        const enum login_reason reason =
            parse_record(&judge->parse, value.bytes, value.length, fields, judge->detail);
        if (reason != LOGIN_ACCEPTED) return reason;
    }
    put_headers(judge, record->headers, fields);
    return LOGIN_ACCEPTED;
}

/* --- rules --- */

static bool is_empty(const struct field *field) {
    return field->kind == FIELD_ABSENT || field->kind == FIELD_NULL ||
           (field->kind == FIELD_TEXT && field->text.length == 0);
}

static enum login_reason reject_broken(struct login_judge *judge, enum login_reason reason,
                                       const struct source *source) {
    return reject(judge, reason, "%s: %s", source->label,
                  source->kind == PATH_HEADER
                      ? "a header that is not in UTF-8"
                      : "half of a surrogate pair, or a number beyond a double");
}

/* Sets the value if the answer is LOGIN_ACCEPTED. */
static enum login_reason read_dimension(struct login_judge *judge, size_t i,
                                        const struct fields *fields, struct slice *value) {
    const struct login_dimension *rule = &judge->rules.dimensions[i];
    const struct source *source = &judge->dimensions[i];
    const struct field *field = &fields->at[source->slot];
    const bool is_scalar = rule->accept == LOGIN_ACCEPT_SCALAR;
    *value = field->text;
    if (rule->fallback != NULL && is_empty(field)) {
        *value = (struct slice){rule->fallback, strlen(rule->fallback)};
    } else if (is_scalar && (field->kind == FIELD_TRUE || field->kind == FIELD_FALSE)) {
        *value = field->kind == FIELD_TRUE ? (struct slice){"true", 4} : (struct slice){"false", 5};
    } else if (field->kind == FIELD_BROKEN) {
        return reject_broken(judge, LOGIN_BAD_VALUE, source);
    } else if (field->kind == FIELD_NULL && source->kind == PATH_HEADER) {
        return reject(judge, LOGIN_BAD_VALUE, "%s: a null header", source->label);
    } else if (field->kind != FIELD_TEXT && !(is_scalar && field->kind == FIELD_NUMBER)) {
        return reject(judge, LOGIN_BAD_VALUE, "%s: not a string%s", source->label,
                      is_scalar ? ", a number, true or false" : "");
    }
    if (value->length == 0) return reject(judge, LOGIN_BAD_VALUE, "%s: empty", source->label);
    if (value->length > LOGIN_VALUE_BYTES_MAX) {
        return reject(judge, LOGIN_BAD_VALUE, "%s: %zu bytes, more than %d", source->label,
                      value->length, LOGIN_VALUE_BYTES_MAX);
    }
    return LOGIN_ACCEPTED;
}

static enum login_reason reject_missing(struct login_judge *judge, size_t i) {
    const struct login_dimension *rule = &judge->rules.dimensions[i];
    const bool is_dotted = strchr(rule->name, '.') != NULL &&
                           (rule->from == NULL || strcmp(rule->from, rule->name) == 0);
    return reject(judge, LOGIN_MISSING_FIELD, "%s: missing%s", judge->dimensions[i].label,
                  is_dotted ? "; it is looked for as one name, its dots do not lead into objects: "
                              "dimension.NAME.from takes a path such as /a/b"
                            : "");
}

/* The same for all dimensions, of which some is not just a text, or the time is missing. */
static enum login_reason read_dimensions(struct login_judge *judge, const struct fields *fields,
                                         struct login *login) {
    const struct login_rules *rules = &judge->rules;
    for (size_t i = 0; i < rules->dimension_count; i++) {
        if (fields->at[judge->dimensions[i].slot].kind == FIELD_ABSENT &&
            rules->dimensions[i].fallback == NULL) {
            return reject_missing(judge, i);
        }
    }
    if (judge->time.kind != PATH_KAFKA && fields->at[judge->time.slot].kind == FIELD_ABSENT)
        return reject(judge, LOGIN_MISSING_FIELD, "%s: missing", judge->time.label);
    for (size_t i = 0; i < rules->dimension_count; i++) {
        const enum login_reason reason = read_dimension(judge, i, fields, &login->values[i]);
        if (reason != LOGIN_ACCEPTED) return reason;
    }
    return LOGIN_ACCEPTED;
}

/* A value to count distinctly, where there is one. */
static struct slice unique_of(const struct field *field) {
    switch (field->kind) {
    case FIELD_TEXT:
        return field->text.length > 0 ? field->text : (struct slice){NULL, 0};
    case FIELD_NUMBER:
        return field->text;
    case FIELD_TRUE:
        return (struct slice){"true", 4};
    case FIELD_FALSE:
        return (struct slice){"false", 5};
    case FIELD_ABSENT:
    case FIELD_NULL:
    case FIELD_OTHER:
    case FIELD_BROKEN:
        break;
    }
    return (struct slice){NULL, 0};
}

/* Sets the rest of login if the answer is LOGIN_ACCEPTED. A decoder that has decoded has set every
 * slot that is wanted (I2 of scan.h, parse.h). */
static enum login_reason apply_rules(struct login_judge *judge, const struct fields *fields,
                                     int64_t kafka_timestamp_ms, struct login *login) {
    const struct login_rules *rules = &judge->rules;
    const struct source *time = &judge->time;
    bool are_plain = true;
    for (size_t i = 0; i < rules->dimension_count; i++) {
        const struct field *field = &fields->at[judge->dimensions[i].slot];
        are_plain &= field->kind == FIELD_TEXT && field->text.length - 1 < LOGIN_VALUE_BYTES_MAX;
        login->values[i] = field->text;
    }
    if (!are_plain || (time->kind != PATH_KAFKA && fields->at[time->slot].kind == FIELD_ABSENT)) {
        const enum login_reason reason = read_dimensions(judge, fields, login);
        if (reason != LOGIN_ACCEPTED) return reason;
    }
    const struct field *key = &fields->at[judge->key.slot];
    if (key->kind == FIELD_BROKEN) return reject_broken(judge, LOGIN_BAD_VALUE, &judge->key);
    const bool is_key = key->kind == FIELD_TEXT || key->kind == FIELD_NUMBER;
    login->key = is_key ? key->text : (struct slice){NULL, 0};

    for (size_t i = 0; i < rules->unique_count; i++) {
        const struct field *unique = &fields->at[judge->uniques[i].slot];
        if (unique->kind == FIELD_BROKEN)
            return reject_broken(judge, LOGIN_BAD_VALUE, &judge->uniques[i]);
        login->uniques[i] = unique_of(unique);
    }

    const struct event_time_rules time_rules = {rules->timestamp_format, rules->max_future_s};
    struct instant instant;
    const bool is_time = time->kind == PATH_KAFKA
                             ? event_time_of_kafka(kafka_timestamp_ms, &instant, judge->why)
                             : event_time_read(&time_rules, &fields->at[time->slot],
                                               kafka_timestamp_ms, &instant, judge->why);
    if (!is_time) return reject(judge, LOGIN_BAD_TIMESTAMP, "%s: %s", time->label, judge->why);
    login->minute = instant.ms / 60000;
    return LOGIN_ACCEPTED;
}

static enum login_reason reject(struct login_judge *judge, enum login_reason reason,
                                const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(judge->detail, sizeof judge->detail, format, args);
    va_end(args);
    return reason;
}
