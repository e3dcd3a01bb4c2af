/* What of base is not the program's own here: the clock, sleep, and the log. The threads are in
 * schedule.c. */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "process.h"
#include "records.h"

int64_t clock_us(void) {
    return world.now_us;
}

int64_t clock_ms(void) {
    return world.now_us / MS_US;
}

int64_t clock_wall_ms(void) {
    return record_clock_ms(roll(UINT32_MAX));
}

int64_t clock_common_ms(void) {
    return clock_wall_ms();
}

void clock_correct(int64_t error_ms) {
    (void)error_ms;
}

void clock_sleep_ms(int ms) {
    call_waits(NULL, NULL, world.now_us + ms * (int64_t)MS_US);
}

/* --- log -------------------------------------------------------------------------------------- */

static bool has_begin(const char *message, const char *begin) {
    return strncmp(message, begin, strlen(begin)) == 0;
}

static const struct log_field *field(const struct log_field *fields, const char *name) {
    for (; fields->name != NULL; fields++) {
        if (strcmp(fields->name, name) == 0) return fields;
    }
    return NULL;
}

/* What the program reports is part of what is judged. */
static void hear(const char *message, const struct log_field *fields) {
    static const struct {
        const char *cause;
        enum event event;
    } causes[] = {
        {"overtaken", EVENT_OVERTAKEN}, {"rolled_back", EVENT_ROLLED_BACK},
        {"vanished", EVENT_VANISHED},   {"first_read", EVENT_FIRST_READ},
        {"aborted", EVENT_UNPUBLISHED},
    };
    const struct log_field *cause = field(fields, "cause"), *lost = field(fields, "lost_records");
    for (size_t i = 0; cause != NULL && i < sizeof causes / sizeof *causes; i++) {
        if (strcmp(cause->as_text, causes[i].cause) == 0) happens(causes[i].event);
    }
    world.is_drain_aborted |= cause != NULL && world.stage >= STAGE_BUSY;
    const struct log_field *cut = field(fields, "truncated_records");
    if (cut != NULL) {
        happens(EVENT_CUT_FOUND);
        world.cut_records += cut->as_int;
    }
    const struct log_field *minute = field(fields, "minute");
    if (minute != NULL &&
        (!has_begin(message, "Anomaly detected: ") || strstr(message, minute->as_text) == NULL))
        broken("an anomaly is reported as \"%s\"", message);
    if (lost != NULL && lost->as_int > 0) {
        happens(EVENT_GAP);
        world.lost_records += lost->as_int;
    }
    simulation_hear(message);
    if (has_begin(message, "Redis holds nothing for this partition")) happens(EVENT_REBUILDS);
    if (has_begin(message, "The group has no committed offset")) happens(EVENT_ADOPTS);
    if (has_begin(message, "Partitions given away before all")) {
        happens(EVENT_DRAIN_LATE);
        if (current->must_drain) broken("everything is settled, and a drain takes too long");
    }
    if (strstr(message, "did not come home") != NULL) broken("%s", message);
}

void log_configure(enum log_level level, enum log_format format) {
    (void)level;
    (void)format;
}

bool log_is_enabled(enum log_level level) {
    return level <= LOG_INFO;
}

void log_write(enum log_level level, const char *message, const struct log_field fields[]) {
    char line[512];
    size_t length = 0;
    (void)level;
    hear(message, fields);
    if (!simulation_options.is_traced) return;
    for (; fields->name != NULL && length < sizeof line; fields++) {
        char *end = line + length;
        const size_t left = sizeof line - length;
        length += (size_t)(fields->kind == LOG_KIND_TEXT
                               ? snprintf(end, left, " %s=\"%s\"", fields->name, fields->as_text)
                               : snprintf(end, left, " %s=%lld", fields->name,
                                          (long long)fields->as_int));
    }
    trace("log: %s%s", message, length > 0 ? line : "");
}

void log_flush(void) {
}

void log_recent(void (*visit)(void *context, const char *line, size_t length), void *context) {
    (void)visit;
    (void)context;
}

const struct setting log_setting_table[] = {SETTING_END};
