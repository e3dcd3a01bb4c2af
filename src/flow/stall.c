#include "stall.h"

#include "base/clock.h"
#include "base/log.h"
#include "edge/kafka_probe.h"

/* Together less than a partition has to be drained. */
enum { BOUNDS_TIMEOUT_MS = 2800, PROBE_TIMEOUT_MS = 2000 };

void stall_init(struct stall *stall) {
    *stall = (struct stall){0};
    trouble_init(&stall->trouble);
}

void stall_fini(struct stall *stall) {
    trouble_fini(&stall->trouble);
}

void stall_rest(struct stall *stall, int64_t now_ms) {
    stall->look_ms = now_ms + STALL_LOOK_MS;
    stall->looks = 0;
    trouble_clear(&stall->trouble);
}

bool stall_show(struct stall *stall, struct text *why) {
    return trouble_show(&stall->trouble, clock_ms(), 0, why);
}

/* Whether a quota held reading back lately: what comes late then does come. */
static bool is_throttled(struct kafka_source *source, int64_t now_ms) {
    return now_ms < kafka_source_throttled_ms(source) + STALL_LOOK_MS * STALL_LOOKS;
}

/* Whether Kafka answers another client, and so is not away. */
static bool answers_others(struct kafka_source *source, int32_t partition) {
    struct error error;
    struct kafka_probe *probe = kafka_probe_open(source, partition, &error);
    const bool answers = probe != NULL && kafka_probe_answers(probe, PROBE_TIMEOUT_MS);
    kafka_probe_close(&probe);
    return answers;
}

static enum stall_verdict find(struct stall *stall, int32_t partition, const char *what) {
    struct error why;
    error_set(&why,
              "partition %d makes no progress: %s, and nothing was read for %d s; joining the "
              "group with a new consumer",
              (int)partition, what, STALL_LOOK_MS * STALL_LOOKS / 1000);
    trouble_set(&stall->trouble, clock_ms(), why.text);
    log_error("A partition makes no progress: joining with a new consumer",
              log_int("partition", partition), log_text("reason", what));
    stall->looks = 0;
    return STALL_FOUND;
}

enum stall_verdict stall_look(struct stall *stall, struct kafka_source *source, int32_t partition,
                              int64_t position, int64_t now_ms, int64_t *end) {
    struct error error, what;
    int64_t begin, log_end;
    if (now_ms < stall->look_ms) return STALL_NONE;
    if (position != stall->position) stall->looks = 0;
    stall->position = position;
    const enum source_bounds_verdict verdict =
        kafka_source_ask_bounds(source, partition, &begin, &log_end, BOUNDS_TIMEOUT_MS, &error);
    const bool has_bounds = verdict == SOURCE_BOUNDS_KNOWN;
    stall->look_ms = clock_ms() + STALL_LOOK_MS;
    if (verdict == SOURCE_BOUNDS_BUSY) return STALL_NONE; /* that says nothing of Kafka */
    if (has_bounds) *end = log_end;
    if (has_bounds && (position < 0 || position == log_end)) {
        stall_rest(stall, clock_ms()); /* there is nothing to read */
        return STALL_NONE;
    }
    if (has_bounds && position > log_end) return STALL_BEYOND;
    stall->looks = is_throttled(source, now_ms) ? 0 : stall->looks + 1;
    if (stall->looks < STALL_LOOKS) return STALL_NONE;
    if (has_bounds) {
        error_set(&what, "Kafka holds records up to offset %lld, and reading stands at %lld",
                  (long long)log_end, (long long)position);
        return find(stall, partition, what.text);
    }
    if (!answers_others(source, partition)) return STALL_NONE; /* Kafka is away */
    error_set(&what, "Kafka answers other clients, but not this one (%s)", error.text);
    return find(stall, partition, what.text);
}
