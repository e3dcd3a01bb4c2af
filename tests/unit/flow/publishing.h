/* publishing: a publish whose steps the test takes, with stand-ins for the sink, the group and the
 * time. They note in `done` what was called, in order. Include once. */
#ifndef TESTS_UNIT_FLOW_PUBLISHING_H
#define TESTS_UNIT_FLOW_PUBLISHING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"
#include "flow/batch.h"
#include "flow/publish.h"
#include "noted.h"

enum { COMMIT_MS = 1000, HOUR_MS = 3600000 };

static int64_t now_ms;

int clock_gettime(clockid_t clock, struct timespec *now) {
    (void)clock;
    *now = (struct timespec){now_ms / 1000, now_ms % 1000 * 1000000};
    return 0;
}

enum call { OPEN, REPLACE, BEGIN, SEND, COMMIT, ABORT, COUNTS, CALLS };

static const char *const names[] = {"open", "replace", "begin", "send", "commit", "abort", "count"};
static enum sink_verdict answers[CALLS]; /* of the next calls */
static int times[CALLS];                 /* so many; then it is SINK_OK */
static bool is_silent, has_new_certificates;
static enum sink_renewal renewal;
static struct kafka_committed committed; /* the first of the last commit */

static void answer(enum call call, enum sink_verdict verdict, int count) {
    answers[call] = verdict;
    times[call] = count;
}

static enum sink_verdict called(enum call call, struct error *error) {
    note("%s, ", names[call]);
    if (times[call] == 0) return SINK_OK;
    times[call]--;
    error_set(error, "%s fails", names[call]);
    return answers[call];
}

enum sink_verdict kafka_sink_open(struct kafka_sink *sink, int timeout_ms, struct error *error) {
    (void)sink;
    assert_int_equal(timeout_ms, 5000);
    return called(OPEN, error);
}

enum sink_verdict kafka_sink_replace(struct kafka_sink *sink, struct error *error) {
    (void)sink;
    return called(REPLACE, error);
}

enum sink_verdict kafka_sink_begin(struct kafka_sink *sink, struct error *error) {
    (void)sink;
    return called(BEGIN, error);
}

enum sink_verdict kafka_sink_send(struct kafka_sink *sink, const struct sink_record *record,
                                  struct error *error) {
    (void)sink;
    const enum sink_verdict verdict = called(SEND, error);
    note("%d@%d, ", (int)record->partition, (int)record->offset);
    return verdict;
}

enum sink_verdict kafka_sink_commit(struct kafka_sink *sink, struct kafka_source *source,
                                    const struct kafka_committed *offsets, size_t count,
                                    bool (*may_commit)(void *), void *context, int timeout_ms,
                                    struct error *error) {
    (void)sink, (void)source;
    assert_int_equal(timeout_ms, 5000);
    if (count > 0) committed = offsets[0];
    for (size_t i = 0; i < count; i++)
        note("%d:%d(%d) ", (int)offsets[i].partition, (int)offsets[i].offset,
             (int)offsets[i].origin);
    const enum sink_verdict verdict = called(COMMIT, error);
    if (may_commit(context)) return verdict;
    error_set(error, "given away");
    return SINK_ABORT;
}

enum sink_verdict kafka_sink_abort(struct kafka_sink *sink, int timeout_ms, struct error *error) {
    (void)sink;
    assert_int_equal(timeout_ms, 5000);
    return called(ABORT, error);
}

enum sink_verdict kafka_sink_count_partitions(struct kafka_sink *sink, struct kafka_source *source,
                                              int timeout_ms, struct error *error) {
    (void)sink, (void)source;
    assert_int_equal(timeout_ms, 5000);
    return called(COUNTS, error);
}

void kafka_sink_make_room(struct kafka_sink *sink, int timeout_ms) {
    (void)sink;
    note("room %d, ", timeout_ms);
}

static int64_t throttled_ms;

int64_t kafka_sink_throttled_ms(const struct kafka_sink *sink) {
    (void)sink;
    return throttled_ms;
}

static int served, steps; /* each step serves */

void kafka_sink_serve(struct kafka_sink *sink) {
    (void)sink;
    served++;
}

bool kafka_sink_renew(struct kafka_sink *sink) {
    (void)sink;
    note("renew, ");
    return has_new_certificates;
}

enum sink_renewal kafka_sink_renewal(struct kafka_sink *sink) {
    (void)sink;
    const enum sink_renewal found = renewal;
    if (renewal == SINK_RENEWAL_DUE) renewal = SINK_RENEWAL_NONE;
    return found;
}

bool kafka_source_committed(struct kafka_source *source, struct kafka_committed *items,
                            size_t count, int timeout_ms, struct error *error) {
    (void)source;
    assert_int_equal(timeout_ms, 5000);
    note("ask, ");
    if (is_silent) return error_set(error, "no coordinator");
    for (size_t i = 0; i < count; i++)
        items[i].offset = 3;
    return true;
}

/* --- around a test ---------------------------------------------------------------------------- */

static struct publish_settings settings;
static struct publish_metrics cells;
static struct metrics *metrics;
static struct fence fence;
static struct stop stop;
static struct alarm bell;
static struct inbox home; /* of both partitions */
static atomic_size_t pending_bytes;
static struct batch *batches[2];
static struct publish *publish;

static int begin(void **state) {
    (void)state;
    served = steps = 0;
    throttled_ms = 0;
    now_ms += HOUR_MS; /* what was before is long past */
    memset(&fence, 0, sizeof fence);
    memset(times, 0, sizeof times);
    is_silent = has_new_certificates = false;
    renewal = SINK_RENEWAL_NONE;
    done[0] = '\0';
    settings.commit_ms = COMMIT_MS;
    stop_init(&stop, &bell);
    inbox_init(&home, &bell);
    metrics = metrics_create();
    metrics_add_table(metrics, publish_metric_table, &cells);
    for (int i = 0; i < 2; i++)
        batches[i] = batch_create(5 + i, 1, 4096, &home, &pending_bytes);
    publish = publish_create(&(struct publish_options){.instance = "one",
                                                       .fence = &fence,
                                                       .settings = &settings,
                                                       .metrics = &cells,
                                                       .stop = &stop});
    return 0;
}

static void drain_home(void) {
    struct inbox_item *item;
    while ((item = inbox_take(&home)) != NULL) {
        if (item->kind == ITEM_HOME) {
            note("home %d, ", (int)inbox_entry(item, struct batch, home_item)->partition);
            continue;
        }
        struct notice *notice = inbox_entry(item, struct notice, item);
        note("%s %d of %d, ", notice->kind == NOTICE_PUBLISHED ? "published" : "unpublished",
             (int)notice->offset, (int)notice->generation);
        free(notice);
    }
}

static int end(void **state) {
    (void)state;
    publish_destroy(&publish);
    assert_null(publish);
    publish_destroy(&publish); /* none is fine */
    drain_home();
    for (int i = 0; i < 2; i++)
        batch_destroy(&batches[i]);
    metrics_destroy(&metrics);
    inbox_fini(&home);
    stop_fini(&stop);
    return 0;
}

/* Takes steps until it waits; the time until which it does. */
static int64_t run(void) {
    int64_t until_ms;
    done[0] = '\0';
    for (int i = 0; (until_ms = publish_step(publish, now_ms)) <= now_ms; i++, steps++)
        assert_true(i < 50);
    steps++;
    drain_home();
    return until_ms;
}

/* With the producer ready. */
static int begin_ready(void **state) {
    begin(state);
    assert_true(run() == CLOCK_NEVER_MS);
    assert_string_equal(done, "open, ");
    return 0;
}

/* Posts so many records of partition 5 or 6, from offset 10 on, the last one with this value. */
static void post_records(int which, uint64_t generation, bool is_urgent, int count,
                         struct slice value) {
    static const struct login login = {.reason = LOGIN_EMPTY, .detail = ""};
    struct inbox *none = NULL;
    struct batch *batch = batches[which];
    batch_clear(batch);
    for (int i = 1; i <= count; i++) {
        const struct slice own = i == count ? value : (struct slice){NULL, 0};
        batch_keep(batch, &(struct kafka_record){.offset = 9 + i, .value = own}, &login);
    }
    batch->has_publish = true;
    batch->published_generation = generation;
    batch->publish_end = 10 + count;
    batch->origin = 1;
    batch->lineage.count = 1;
    batch->is_urgent = is_urgent;
    assert_true(batch_send(batch, &none, publish_inbox(publish)));
}

/* Records 10 and 11, so that the watermark moves to 12. */
static void post(int which, uint64_t generation, bool is_urgent) {
    post_records(which, generation, is_urgent, 2, (struct slice){NULL, 0});
}

static inline double metric(const char *name) {
    char line[128];
    struct text text = {0};
    metrics_render(metrics, &text);
    snprintf(line, sizeof line, "\n%s ", name);
    const char *found = strstr(text_string(&text), line);
    const double value = found == NULL ? -1 : strtod(found + strlen(line), NULL);
    text_release(&text);
    return value;
}

static void runs(const char *expected) {
    run();
    assert_string_equal(done, expected);
}

static bool is_ready(const char *expected) {
    char why[256] = "";
    struct text text = text_within(why, sizeof why);
    const bool found = publish_is_ready(publish, &text);
    assert_string_equal(why, expected);
    return found;
}

static void failure_is(const char *why) {
    struct error error = {""};
    assert_true(stop_has_failed(&stop, &error));
    if (strstr(error.text, why) == NULL) fail_msg("%s", error.text);
}

#endif
