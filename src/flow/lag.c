#include "flow/lag.h"

#include <stdio.h>

#include "base/clamp.h"
#include "base/clock.h"
#include "edge/kafka_topics.h"

enum {
    LOOK_MS = 200,       /* each look takes a lock that all partitions share */
    IDLE_LOOK_MS = 950,  /* once nothing is under way */
    AGE_MAX_MS = 100000, /* a sum of larger ones would overflow, after a long backlog */
};

static const char *const watermark_names[] = {"published", "counted", NULL};
static const char *const *const watermarks = watermark_names;

const struct metric_row lag_metric_table[] = {
    METRIC_LABELLED_ROW(struct lag_metrics, age, METRIC_HISTOGRAM, "rollcall_record_age_seconds",
                        "Age of records, by their Kafka timestamp, when a watermark passed them: "
                        "that of the oldest of a batch for all of it, and at most 100 s.",
                        "watermark", &watermarks),
    METRIC_LABELLED_ROW(struct lag_metrics, records, METRIC_GAUGE, "rollcall_lag_records",
                        "Offsets between the end of the log and the published watermark.",
                        "partition", NULL),
    METRIC_LABELLED_ROW(
        struct lag_metrics, counted_records, METRIC_GAUGE, "rollcall_counted_lag_records",
        "Offsets between the end of the log and the counted watermark.", "partition", NULL),
    METRIC_LABELLED_ROW(struct lag_metrics, seconds, METRIC_AGE, "rollcall_lag_seconds",
                        "Age of the oldest record that is not published yet, by its Kafka "
                        "timestamp; 0: all are.",
                        "partition", NULL),
    METRIC_LABELLED_ROW(struct lag_metrics, counted_seconds, METRIC_AGE,
                        "rollcall_counted_lag_seconds",
                        "Age of the oldest record that is not counted yet, by its Kafka "
                        "timestamp; 0: all are.",
                        "partition", NULL),
    METRIC_LABELLED_ROW(struct lag_metrics, headroom, METRIC_TIME_LEFT,
                        "rollcall_retention_headroom_seconds",
                        "Time until Kafka may delete, by age, the oldest record that is not yet "
                        "published or counted.",
                        "partition", NULL),
    METRIC_END,
};

void lag_init(struct lag *lag, int32_t partition, const struct lag_metrics *metrics,
              const atomic_int_fast64_t *retention_ms) {
    lag->retention_ms = retention_ms;
    char label[16];
    snprintf(label, sizeof label, "%d", partition);
    lag->headroom = metric_cell_hidden(metrics->headroom, label);
    lag->published.records = metric_cell_hidden(metrics->records, label);
    lag->published.seconds = metric_cell_hidden(metrics->seconds, label);
    lag->published.age = metric_cell(metrics->age, "published");
    lag->counted.records = metric_cell_hidden(metrics->counted_records, label);
    lag->counted.seconds = metric_cell_hidden(metrics->counted_seconds, label);
    lag->counted.age = metric_cell(metrics->age, "counted");
}

static void begin_track(struct lag_track *track) {
    backlog_clear(&track->backlog);
    track->unread_since_ms = 0;
}

static void publish(atomic_int_fast64_t *shown, int64_t value) {
    atomic_store_explicit(shown, value, memory_order_relaxed);
}

static void forget(struct lag *lag) {
    publish(&lag->shown.end, -1);
    publish(&lag->shown.published, -1);
    publish(&lag->shown.counted, -1);
    publish(&lag->shown.published_oldest_ms, BACKLOG_NONE);
    publish(&lag->shown.counted_oldest_ms, BACKLOG_NONE);
}

void lag_begin(struct lag *lag) {
    begin_track(&lag->published);
    begin_track(&lag->counted);
    lag->end = lag->told_end = -1;
    lag->next_ms = 0;
    forget(lag);
}

void lag_end(struct lag *lag) {
    metric_cell_show(lag->headroom, false);
    metric_cell_show(lag->published.records, false);
    metric_cell_show(lag->published.seconds, false);
    metric_cell_show(lag->counted.records, false);
    metric_cell_show(lag->counted.seconds, false);
    forget(lag);
}

/* --- what is handed over ---------------------------------------------------------------------- */

void lag_before(struct lag *lag, const struct cursor *cursor) {
    lag->gate = cursor->counted.next;
    lag->first_unkept_ms = BACKLOG_NONE;
}

/* Of the first record at or above the gate that the batch keeps. Only a gate that opens within the
 * batch is far from the first one. */
static const struct batch_record *first_kept(const struct batch *batch, int64_t gate) {
    const struct batch_record *record = batch_next(batch, NULL);
    while (record != NULL && record->offset < gate)
        record = batch_next(batch, record);
    return record;
}

/* A record without a time of its own was written just now, as far as anybody knows. */
static int64_t time_of(const struct batch_record *record) {
    return record->timestamp_ms >= 0 ? record->timestamp_ms : clock_common_ms();
}

void lag_after(struct lag *lag, const struct cursor *cursor, const struct batch *batch) {
    const struct batch_record *record = batch->record_count > 0 ? batch_next(batch, NULL) : NULL;
    if (record != NULL)
        backlog_add(&lag->published.backlog, cursor->published.next, time_of(record));
    if (cursor->counted.next == lag->gate) return;
    int64_t written_at_ms = lag->first_unkept_ms;
    if (written_at_ms == BACKLOG_NONE && record != NULL) {
        record = first_kept(batch, lag->gate);
        if (record != NULL) written_at_ms = time_of(record);
    }
    if (written_at_ms != BACKLOG_NONE)
        backlog_add(&lag->counted.backlog, cursor->counted.next, written_at_ms);
}

/* Where a track's watermark is. Before there is one: where counting is, as publishing begins there,
 * or where the group began; below 0: not known. */
static int64_t watermark(const struct cursor *cursor, const struct cursor_track *track) {
    if (track->stored != CURSOR_ABSENT) return track->stored;
    return cursor->counted.stored >= 0 ? cursor->counted.stored : cursor->origin;
}

/* One that was not rewound, but has nothing under way, loses nothing by it. */
static void rewind_track(struct lag_track *lag, const struct cursor *cursor,
                         const struct cursor_track *track) {
    if (track->next == track->stored) backlog_rewind(&lag->backlog, watermark(cursor, track));
}

void lag_rewind(struct lag *lag, const struct cursor *cursor) {
    rewind_track(&lag->published, cursor, &cursor->published);
    rewind_track(&lag->counted, cursor, &cursor->counted);
}

/* --- what is shown ---------------------------------------------------------------------------- */

/* What the watermark has passed is done, and as old as it is now. */
static void observe(const struct lag_track *lag, int64_t stored) {
    const struct backlog *backlog = &lag->backlog;
    int64_t now_ms = 0;
    for (unsigned i = 0; i < backlog->count; i++) {
        const int64_t count = backlog_passes(backlog, i, stored);
        if (count == 0) continue;
        if (now_ms == 0) now_ms = clock_common_ms();
        const int64_t age_ms = clamp(now_ms - backlog->runs[i].written_at_ms, 0, AGE_MAX_MS);
        metric_observe_times(lag->age, age_ms * 1000, count);
    }
}

static int64_t oldest_ms(struct lag_track *lag, const struct cursor_track *track, int64_t from,
                         int64_t end) {
    observe(lag, from);
    backlog_finish(&lag->backlog, from);
    const int64_t known_ms = backlog_oldest_ms(&lag->backlog);
    const bool is_unread =
        known_ms == BACKLOG_NONE && end > from && (track->next < 0 || end > track->next);
    if (!is_unread) {
        lag->unread_since_ms = 0;
        return known_ms;
    }
    const int64_t now_ms = clock_common_ms();
    if (lag->unread_since_ms == 0) lag->unread_since_ms = now_ms;
    return now_ms - lag->unread_since_ms >= LAG_UNREAD_MS ? lag->unread_since_ms : BACKLOG_NONE;
}

static void show(struct metric_cell *cell, int64_t value) {
    metric_set(cell, value);
    metric_cell_show(cell, true);
}

/* Nothing is shown while Redis could not be asked, and before the begin is known: 0 would be a
 * wrong answer. Returns the time of the oldest record, or BACKLOG_NONE. */
static int64_t show_track(const struct lag *lag, struct lag_track *track, int64_t from,
                          const struct cursor_track *cursor_track) {
    if (from < 0) return BACKLOG_NONE;
    const int64_t oldest = oldest_ms(track, cursor_track, from, lag->end);
    if (lag->end >= 0) show(track->records, lag->end > from ? lag->end - from : 0);
    show(track->seconds, oldest);
    return oldest;
}

static void show_headroom(const struct lag *lag, int64_t oldest) {
    const int64_t retention_ms = atomic_load_explicit(lag->retention_ms, memory_order_relaxed);
    if (retention_ms == TOPICS_KEEP_UNKNOWN) return;
    const bool is_bounded = oldest != BACKLOG_NONE && retention_ms != TOPICS_KEEP_ALWAYS;
    show(lag->headroom, is_bounded ? oldest + retention_ms : 0);
}

static void look(struct lag *lag, const struct cursor *cursor, const struct kafka_stream *stream,
                 int64_t now_ms) {
    if (now_ms < lag->next_ms) return;
    lag->next_ms = now_ms + (cursor_is_settled(cursor) ? IDLE_LOOK_MS : LOOK_MS);
    const int64_t end = larger(kafka_stream_end(stream), lag->told_end);
    if (end >= 0) lag->end = end;
}

void lag_show(struct lag *lag, const struct cursor *cursor, const struct kafka_stream *stream,
              int64_t now_ms) {
    const int64_t published = watermark(cursor, &cursor->published);
    const int64_t counted = watermark(cursor, &cursor->counted);
    look(lag, cursor, stream, now_ms);
    if (cursor->position > lag->end) lag->end = cursor->position; /* read since that look */
    const int64_t to_publish = show_track(lag, &lag->published, published, &cursor->published);
    const int64_t to_count = show_track(lag, &lag->counted, counted, &cursor->counted);
    const bool is_count_older =
        to_publish == BACKLOG_NONE || (to_count != BACKLOG_NONE && to_count < to_publish);
    show_headroom(lag, is_count_older ? to_count : to_publish);
    publish(&lag->shown.end, lag->end);
    publish(&lag->shown.published, published);
    publish(&lag->shown.counted, counted);
    publish(&lag->shown.published_oldest_ms, to_publish);
    publish(&lag->shown.counted_oldest_ms, to_count);
}

static int64_t seen(const atomic_int_fast64_t *shown) {
    return atomic_load_explicit(shown, memory_order_relaxed);
}

struct lag_figures lag_read(const struct lag *lag) {
    return (struct lag_figures){
        .end = seen(&lag->shown.end),
        .published = seen(&lag->shown.published),
        .counted = seen(&lag->shown.counted),
        .published_oldest_ms = seen(&lag->shown.published_oldest_ms),
        .counted_oldest_ms = seen(&lag->shown.counted_oldest_ms),
    };
}
