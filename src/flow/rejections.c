#include "flow/rejections.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"

void rejections_init(struct rejections *rejections) {
    *rejections = (struct rejections){0};
    pthread_mutex_init(&rejections->lock, NULL);
}

void rejections_fini(struct rejections *rejections) {
    pthread_mutex_destroy(&rejections->lock);
}

void rejections_note(struct rejections_noted *noted, const struct login *login, int32_t partition,
                     int64_t offset) {
    struct rejections_example *example = &noted->reasons[login->reason];
    noted->has_rejected = true;
    if (example->count++ > 0) return;
    example->partition = partition;
    example->offset = offset;
    snprintf(example->detail, sizeof example->detail, "%s", login->detail);
}

void rejections_add(struct rejections *rejections, struct rejections_noted *noted) {
    if (noted->judged == 0) return;
    struct rejections_noted *sum = &rejections->sum;
    pthread_mutex_lock(&rejections->lock);
    sum->judged += noted->judged;
    for (int r = 0; noted->has_rejected && r < LOGIN_REASON_COUNT; r++) {
        if (noted->reasons[r].count == 0) continue;
        const int64_t before = sum->reasons[r].count;
        if (before == 0) sum->reasons[r] = noted->reasons[r];
        sum->reasons[r].count = before + noted->reasons[r].count;
        rejections->last[r] = noted->reasons[r];
        noted->reasons[r].count = 0;
    }
    pthread_mutex_unlock(&rejections->lock);
    noted->judged = 0;
    noted->has_rejected = false;
    atomic_store_explicit(&rejections->has_noted, true, memory_order_relaxed);
}

void rejections_last(struct rejections *rejections,
                     struct rejections_example last[LOGIN_REASON_COUNT]) {
    pthread_mutex_lock(&rejections->lock);
    memcpy(last, rejections->last, sizeof rejections->last);
    pthread_mutex_unlock(&rejections->lock);
}

static int64_t count_rejected(const struct rejections_noted *sum) {
    int64_t rejected = 0;
    for (int r = 0; r < LOGIN_REASON_COUNT; r++)
        rejected += sum->reasons[r].count;
    return rejected;
}

static bool is_nearly_all(const struct rejections_noted *sum) {
    return count_rejected(sum) * 10 >= sum->judged * 9;
}

/* With the lock held: false if it is too early. */
static bool is_time(struct rejections *rejections, int64_t now_ms) {
    if (rejections->begin_ms == 0) rejections->begin_ms = now_ms;
    if (rejections->next_ms == 0) rejections->next_ms = now_ms + REJECTIONS_FIRST_MS;
    if (now_ms < rejections->next_ms) return false;
    return rejections->sum.judged >= REJECTIONS_RECORDS ||
           now_ms - rejections->begin_ms >= REJECTIONS_LINE_MS;
}

bool rejections_due(struct rejections *rejections, int64_t now_ms, struct rejections_noted *sum) {
    if (!atomic_load_explicit(&rejections->has_noted, memory_order_relaxed)) return false;
    bool is_due = false;
    pthread_mutex_lock(&rejections->lock);
    if (rejections->sum.judged > 0 && is_time(rejections, now_ms)) {
        is_due = is_nearly_all(&rejections->sum);
        *sum = rejections->sum;
        rejections->sum = (struct rejections_noted){0};
        rejections->begin_ms = 0;
        rejections->next_ms = now_ms + (is_due ? REJECTIONS_LINE_MS : REJECTIONS_SPAN_MS);
        atomic_store_explicit(&rejections->has_noted, false, memory_order_relaxed);
    }
    pthread_mutex_unlock(&rejections->lock);
    return is_due;
}

enum login_reason rejections_worst(const struct rejections_noted *sum) {
    int worst = LOGIN_ACCEPTED + 1;
    for (int r = worst + 1; r < LOGIN_REASON_COUNT; r++) {
        if (sum->reasons[r].count > sum->reasons[worst].count) worst = r;
    }
    return (enum login_reason)worst;
}

void rejections_report(struct rejections *rejections, int64_t now_ms) {
    struct rejections_noted sum;
    if (!rejections_due(rejections, now_ms, &sum)) return;
    const enum login_reason worst = rejections_worst(&sum);
    const struct rejections_example *example = &sum.reasons[worst];
    log_warn("Nearly all records are rejected; an example of the most frequent reason",
             log_int("rejected", count_rejected(&sum)), log_int("of", sum.judged),
             log_text("reason", login_reason_name(worst)),
             log_int("for_this_reason", example->count), log_text("detail", example->detail),
             log_int("partition", example->partition), log_int("offset", example->offset));
}
