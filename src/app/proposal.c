/* All scalars of all records, and their headers, are gathered by path: how many of them could be
 * the value of a dimension, the key, or a time in some format. Then each setting that does not fit
 * is given the path that fits most records, among those whose names look right. */
#include "app/proposal.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "app/likeness.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "config_private.h"
#include "core/event_time.h"
#include "core/parse.h"
#include "core/path.h"

enum { FRAME_BYTES = 5 };

/* One path, over all records. */
struct column {
    char *path;                    /* as a setting has it */
    size_t texts, scalars, others; /* what a dimension could make of it */
    size_t empty;                  /* null or "" */
    size_t keys;
    size_t times[INSTANT_FORMAT_COUNT];
    size_t seen_in; /* the record it was seen in last, from 1 */
};

struct profile {
    struct column columns[PROPOSAL_PATHS_MAX];
    size_t count;
    size_t records; /* JSON objects */
    size_t keyless;
    size_t framed, gzip, many; /* values that are framed, compressed, or hold several objects */
    int64_t max_future_s;
    const struct sample_record *record; /* under way */
    size_t number;
};

/* --- what the records hold -------------------------------------------------------------------- */

static struct column *column_of(struct profile *profile, const char *path) {
    for (size_t i = 0; i < profile->count; i++) {
        if (strcmp(profile->columns[i].path, path) == 0) return &profile->columns[i];
    }
    if (profile->count == PROPOSAL_PATHS_MAX) return NULL;
    struct column *column = &profile->columns[profile->count++];
    column->path = memory_text(path);
    return column;
}

/* Whether a number of this unit is of our age: near the record's time, or if there is none from
 * 2001 to 2100. */
static bool is_plausible(struct instant instant, int64_t kafka_ms) {
    const int64_t day_ms = INT64_C(86400000);
    if (kafka_ms < 0)
        return instant.ms > INT64_C(978307200000) && instant.ms < INT64_C(4102444800000);
    return instant.ms >= kafka_ms - EVENT_TIME_DAYS_BACK * day_ms;
}

static void note_times(struct profile *profile, struct column *column, const struct field *field) {
    const int64_t kafka_ms = profile->record->timestamp_ms;
    for (unsigned format = 0; format <= INSTANT_RFC3339; format++) {
        const struct event_time_rules rules = {format, profile->max_future_s};
        struct instant instant;
        char detail[EVENT_TIME_DETAIL_BYTES];
        if (!event_time_read(&rules, field, kafka_ms, &instant, detail)) continue;
        column->times[format] += format == INSTANT_RFC3339 || is_plausible(instant, kafka_ms);
    }
}

/* No line of a configuration can hold a path with another character, nor a terminal show it. */
static bool is_printable(const char *path) {
    for (size_t length; *path != '\0'; path += length) {
        length = utf8_length(path, strlen(path));
        if (length == 0 || utf8_is_control(path, length)) return false;
    }
    return true;
}

static void note_field(struct profile *profile, const char *path, const struct field *field) {
    struct column *column = is_printable(path) ? column_of(profile, path) : NULL;
    if (column == NULL || column->seen_in == profile->number)
        return; /* of a repeated key the first */
    column->seen_in = profile->number;
    const bool is_number = field->kind == FIELD_NUMBER;
    const bool is_text = field->kind == FIELD_TEXT;
    const bool is_sized = field->text.length > 0 && field->text.length <= LOGIN_VALUE_BYTES_MAX;
    if (is_text && is_sized)
        column->texts++;
    else if ((is_number && is_sized) || field->kind == FIELD_TRUE || field->kind == FIELD_FALSE)
        column->scalars++;
    else if (field->kind == FIELD_NULL || (is_text && field->text.length == 0))
        column->empty++;
    else
        column->others++;
    column->keys += (is_number || is_text) && field->text.length > 0;
    if (is_number || is_text) note_times(profile, column, field);
}

/* A top-level member is a name, unless that would mean something else. */
static void note_member(void *context, const char *path, const struct field *field) {
    const char *name = path + 1;
    const bool is_plain =
        strpbrk(name, "/~") == NULL && *name != '\0' && path_kind_of_time(name) == PATH_MEMBER;
    note_field(context, is_plain ? name : path, field);
}

static void note_headers(struct profile *profile, const struct sample_record *record) {
    const char *name;
    struct slice value;
    for (size_t i = 0; kafka_headers_at(record->headers, i, &name, &value); i++) {
        char path[PATH_BYTES_MAX + 1];
        snprintf(path, sizeof path, "header:%s", name);
        const struct field field = {value.bytes == NULL ? FIELD_NULL : FIELD_TEXT, value};
        if (path_is_field(path)) note_field(profile, path, &field);
    }
}

static struct slice without_frame(struct slice value) {
    return (struct slice){value.bytes + FRAME_BYTES, value.length - FRAME_BYTES};
}

static void note_nothing(void *context, const char *path, const struct field *field) {
    (void)context;
    (void)path;
    (void)field;
}

/* One object behind the other, or within an array. */
static bool holds_many(struct slice value, enum login_reason reason) {
    enum { TRIES = 16 };
    char detail[PARSE_DETAIL_BYTES];
    const char *end = value.bytes + value.length, *p = value.bytes;
    if (reason == LOGIN_NOT_OBJECT) return *p == '[';
    for (int i = 0; i < TRIES && (p = memchr(p, '}', (size_t)(end - p))) != NULL;) {
        const char *next = ++p;
        while (next < end && isspace((unsigned char)*next))
            next++;
        if (next == end || *next != '{') continue;
        i++;
        if (parse_visit(value.bytes, (size_t)(p - value.bytes), note_nothing, NULL, detail) ==
            LOGIN_ACCEPTED)
            return true;
    }
    return false;
}

static void note_record(struct profile *profile, const struct sample_record *record) {
    char detail[PARSE_DETAIL_BYTES];
    struct slice value = record->value;
    profile->record = record;
    profile->number++;
    if (value.bytes == NULL || value.length == 0) return;
    if (value.length >= 2 && memcmp(value.bytes, "\x1f\x8b", 2) == 0) {
        profile->gzip++;
        return;
    }
    if (value.bytes[0] == '\0' && value.length > FRAME_BYTES) {
        profile->framed++;
        value = without_frame(value);
    }
    if (value.length >= 3 && memcmp(value.bytes, "\xEF\xBB\xBF", 3) == 0)
        value = (struct slice){value.bytes + 3, value.length - 3};
    const enum login_reason reason =
        parse_visit(value.bytes, value.length, note_member, profile, detail);
    profile->many += reason != LOGIN_ACCEPTED && value.length > 0 && holds_many(value, reason);
    if (reason != LOGIN_ACCEPTED) return;
    profile->records++;
    profile->keyless += !record->has_key;
    note_headers(profile, record);
}

/* --- choices ---------------------------------------------------------------------------------- */

static size_t steps_of(const char *path) {
    size_t steps = 0;
    for (const char *p = path; *p != '\0'; p++)
        steps += *p == '/';
    return steps;
}

/* The column of a path, which may be written as a name or as a pointer; NULL: no record has it. */
static const struct column *find(const struct profile *profile, const char *path) {
    for (size_t i = 0; i < profile->count; i++) {
        const char *own = profile->columns[i].path;
        if (strcmp(own, path) == 0 || (path[0] == '/' && strcmp(own, path + 1) == 0))
            return &profile->columns[i];
    }
    return NULL;
}

/* Whether what is set does nearly as well as the best: then the rest is not its fault. */
static bool is_good(size_t count, size_t best) {
    return count > 0 && count * 10 >= best * 9;
}

static size_t times_of(const struct column *column, enum instant_format format) {
    size_t most = 0;
    if (column == NULL) return 0;
    if (format != INSTANT_AUTO) return column->times[format];
    for (unsigned i = 0; i <= INSTANT_RFC3339; i++)
        most = column->times[i] > most ? column->times[i] : most;
    return most;
}

static void choose_time(struct proposal *proposal) {
    const struct profile *profile = proposal->profile;
    struct login_rules *rules = &proposal->rules;
    const struct column *best = NULL;
    size_t best_points = 0;
    enum instant_format best_format = INSTANT_S;
    for (size_t i = 0; i < profile->count; i++) {
        const struct column *column = &profile->columns[i];
        for (unsigned format = 0; format <= INSTANT_RFC3339; format++) {
            const size_t points = column->times[format] * likeness_to_time(column->path);
            if (points < best_points || points == 0) continue;
            if (points == best_points && steps_of(column->path) >= steps_of(best->path)) continue;
            best = column;
            best_points = points;
            best_format = (enum instant_format)format;
        }
    }
    const size_t most = best == NULL ? 0 : best->times[best_format];
    if (path_kind_of_time(rules->timestamp) == PATH_KAFKA ||
        is_good(times_of(find(profile, rules->timestamp), rules->timestamp_format), most))
        return;
    proposal->changes_time = true;
    if (best == NULL || most * 2 < profile->records) {
        rules->timestamp = "kafka";
        rules->timestamp_format = INSTANT_S;
        proposal->time_note = "no member holds a time with its offset in most of the records";
        return;
    }
    rules->timestamp = best->path;
    rules->timestamp_format = best_format;
}

static size_t values_of(const struct column *column) {
    return column == NULL ? 0 : column->texts + column->scalars;
}

/* A path that some records have, and none with a value. */
static size_t empty_of(const struct column *column) {
    return values_of(column) + column->others > 0 ? 0 : column->empty;
}

static size_t points_as_dimension(const struct column *column, const char *name) {
    return values_of(column) * likeness_of(column->path, name);
}

static size_t points_as_empty_dimension(const struct column *column, const char *name) {
    return empty_of(column) * likeness_of(column->path, name);
}

static size_t points_as_key(const struct column *column, const char *name) {
    (void)name;
    return path_is_member(column->path) ? column->keys * likeness_to_user(column->path) : 0;
}

/* The path with the most points, of equals the one nearest to the top; NULL: none has any. */
static const struct column *best_of(const struct profile *profile,
                                    size_t (*points_of)(const struct column *, const char *),
                                    const char *name) {
    const struct column *best = NULL;
    size_t best_points = 0;
    for (size_t i = 0; i < profile->count; i++) {
        const struct column *column = &profile->columns[i];
        const size_t points = points_of(column, name);
        if (points < best_points || points == 0) continue;
        if (points == best_points && best != NULL && steps_of(column->path) >= steps_of(best->path))
            continue;
        best = column;
        best_points = points;
    }
    return best;
}

static void choose_dimension(struct proposal *proposal, size_t d) {
    const struct profile *profile = proposal->profile;
    struct login_dimension *dimension = &proposal->rules.dimensions[d];
    const struct column *best = best_of(profile, points_as_dimension, dimension->name);
    const struct column *now = find(profile, dimension->from);
    if (best == NULL && now == NULL)
        best = best_of(profile, points_as_empty_dimension, dimension->name);
    if (best != NULL && !is_good(values_of(now), values_of(best))) {
        dimension->from = best->path;
        proposal->dimensions[d].changes = true;
        now = best;
    }
    if (now != NULL && dimension->accept == LOGIN_ACCEPT_STRING &&
        now->scalars * 10 >= now->texts + now->scalars && now->scalars > 0) {
        dimension->accept = LOGIN_ACCEPT_SCALAR;
        proposal->dimensions[d].changes = true;
    }
    const size_t others = now == NULL ? 0 : now->others;
    if (dimension->fallback == NULL && values_of(now) + others < profile->records) {
        dimension->fallback = "unknown";
        proposal->dimensions[d].changes = true;
        if (values_of(now) == 0) {
            proposal->dimensions[d].note = now != NULL && empty_of(now) > 0
                                               ? "no record has a value there that can be counted"
                                               : "no member with a value is named like it";
        }
    }
}

static void choose_key(struct proposal *proposal) {
    const struct profile *profile = proposal->profile;
    const struct column *now = find(profile, proposal->rules.key);
    if (profile->keyless == 0 || (now != NULL && now->keys > 0)) return;
    const struct column *best = best_of(profile, points_as_key, NULL);
    proposal->keyless = best == NULL ? profile->keyless : 0;
    if (best == NULL) return;
    proposal->rules.key = best->path;
    proposal->changes_key = true;
}

void proposal_init(struct proposal *proposal, const struct login_rules *rules,
                   const struct sample *sample) {
    static const struct wanted none = {0};
    struct parse parse;
    *proposal =
        (struct proposal){.rules = *rules, .profile = memory_create(sizeof(struct profile))};
    parse_init(&parse, &none); /* sets jansson up */
    struct profile *profile = proposal->profile;
    profile->max_future_s = rules->max_future_s;
    for (size_t i = 0; i < sample->count; i++)
        note_record(profile, &sample->records[i]);
    if (profile->records == 0) return;
    if (profile->framed > 0 && rules->framing == LOGIN_FRAMING_NONE) {
        proposal->rules.framing = LOGIN_FRAMING_CONFLUENT;
        proposal->changes_framing = true;
    }
    choose_time(proposal);
    choose_key(proposal);
    for (size_t d = 0; d < rules->dimension_count; d++) {
        struct login_dimension *dimension = &proposal->rules.dimensions[d];
        if (dimension->from == NULL) dimension->from = dimension->name;
        choose_dimension(proposal, d);
    }
}

void proposal_release(struct proposal *proposal) {
    for (size_t i = 0; proposal->profile != NULL && i < proposal->profile->count; i++)
        free(proposal->profile->columns[i].path);
    free(proposal->profile);
    proposal->profile = NULL;
}

bool proposal_is_any(const struct proposal *proposal) {
    bool is_any = proposal->changes_time || proposal->changes_key || proposal->changes_framing;
    for (size_t d = 0; d < proposal->rules.dimension_count; d++)
        is_any = is_any || proposal->dimensions[d].changes;
    return is_any;
}

static void print_setting(const char *name, const char *value, FILE *out) {
    fprintf(out, "%s = ", name);
    config_print_text(value, out);
    fputc('\n', out);
}

void proposal_print(const struct proposal *proposal, FILE *out) {
    const struct login_rules *rules = &proposal->rules;
    if (proposal->keyless > 0) {
        fprintf(out,
                "; %zu records have no key, and no member is named like a user: they stay without "
                "one\n",
                proposal->keyless);
    }
    if (proposal->changes_time || proposal->changes_key || proposal->changes_framing)
        fputs("\n[input]\n", out);
    if (proposal->changes_time) {
        if (proposal->time_note != NULL) fprintf(out, "; %s\n", proposal->time_note);
        print_setting("timestamp", rules->timestamp, out);
        print_setting("timestamp_format", instant_format_names[rules->timestamp_format], out);
    }
    if (proposal->changes_key) print_setting("key", rules->key, out);
    if (proposal->changes_framing) print_setting("framing", "confluent", out);
    for (size_t d = 0; d < rules->dimension_count; d++) {
        const struct login_dimension *dimension = &rules->dimensions[d];
        if (!proposal->dimensions[d].changes) continue;
        fprintf(out, "\n[dimension.%s]\n", dimension->name);
        if (proposal->dimensions[d].note != NULL)
            fprintf(out, "; %s\n", proposal->dimensions[d].note);
        print_setting("from", dimension->from, out);
        if (dimension->fallback != NULL) print_setting("default", dimension->fallback, out);
        if (dimension->accept == LOGIN_ACCEPT_SCALAR) print_setting("accept", "scalar", out);
    }
}

void proposal_explain(const struct proposal *proposal, FILE *out) {
    const struct profile *profile = proposal->profile;
    if (profile->gzip > 0) {
        fprintf(out,
                "bad %zu records hold gzip as their value, which rollcall does not unpack: let the "
                "producer compress instead (compression.type), and send plain JSON\n",
                profile->gzip);
    }
    if (profile->many > 0) {
        fprintf(out,
                "bad %zu records hold several objects, and rollcall counts one event a record: "
                "send each in a record of its own\n",
                profile->many);
    }
}
