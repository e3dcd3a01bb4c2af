#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pthread.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/metric.h"
#include "locks.h"

struct harness {
    struct metrics *metrics;
    struct text page;
};

static int set_up(void **state) {
    struct harness *harness = calloc(1, sizeof *harness);
    harness->metrics = metrics_create();
    *state = harness;
    return harness->metrics == NULL;
}

static int tear_down(void **state) {
    struct harness *harness = *state;
    metrics_destroy(&harness->metrics);
    metrics_destroy(&harness->metrics);
    text_release(&harness->page);
    free(harness);
    return 0;
}

static const char *render(struct harness *harness) {
    text_clear(&harness->page);
    metrics_render(harness->metrics, &harness->page);
    assert_false(harness->page.is_broken);
    return text_string(&harness->page);
}

static void one_without_label_shows_0_at_once_one_with_a_label_nothing(void **state) {
    struct harness *harness = *state;
    metrics_add(harness->metrics, METRIC_COUNTER, "a_total", "Some.", NULL);
    metrics_add(harness->metrics, METRIC_GAUGE, "b", "Others.", "partition");
    assert_string_equal(render(harness), "# HELP a_total Some.\n"
                                         "# TYPE a_total counter\n"
                                         "a_total 0\n"
                                         "# HELP b Others.\n"
                                         "# TYPE b gauge\n");
}

static void counters_add_and_gauges_are_set(void **state) {
    struct harness *harness = *state;
    struct metric_cell *records =
        metric_cell(metrics_add(harness->metrics, METRIC_COUNTER, "a_total", "Some.", NULL), NULL);
    struct metric_cell *depth =
        metric_cell(metrics_add(harness->metrics, METRIC_GAUGE, "b", "Others.", NULL), NULL);
    metric_add(records, 5);
    metric_add(records, INT64_C(1) << 40);
    metric_set(depth, 7);
    metric_add(depth, -9);
    assert_int_equal(metric_get(depth), -2);
    assert_string_equal(render(harness), "# HELP a_total Some.\n"
                                         "# TYPE a_total counter\n"
                                         "a_total 1099511627781\n"
                                         "# HELP b Others.\n"
                                         "# TYPE b gauge\n"
                                         "b -2\n");
}

static void series_are_in_the_order_of_their_labels_numbers_by_value(void **state) {
    struct harness *harness = *state;
    struct metric *lag = metrics_add(harness->metrics, METRIC_GAUGE, "lag", "Lag.", "partition");
    metric_set(metric_cell(lag, "10"), 10);
    metric_set(metric_cell(lag, "2"), 2);
    metric_set(metric_cell(lag, "0"), 0);
    metric_set(metric_cell(lag, "100"), 100);
    assert_string_equal(render(harness), "# HELP lag Lag.\n"
                                         "# TYPE lag gauge\n"
                                         "lag{partition=\"0\"} 0\n"
                                         "lag{partition=\"2\"} 2\n"
                                         "lag{partition=\"10\"} 10\n"
                                         "lag{partition=\"100\"} 100\n");
}

static void a_hidden_series_is_not_shown_and_comes_back_as_it_was(void **state) {
    struct harness *harness = *state;
    struct metric *lag = metrics_add(harness->metrics, METRIC_GAUGE, "lag", "Lag.", "partition");
    struct metric_cell *cell = metric_cell(lag, "3");
    metric_set(cell, 5);
    metric_cell_show(cell, false);
    assert_ptr_equal(metric_cell_hidden(lag, "3"), cell);
    metric_set(metric_cell_hidden(lag, "4"), 1);
    assert_null(strstr(render(harness), "lag{"));
    metric_add(cell, 1);
    assert_ptr_equal(metric_cell(lag, "3"), cell);
    assert_non_null(strstr(render(harness), "lag{partition=\"3\"} 6\n"));
}

static void help_and_labels_are_escaped(void **state) {
    struct harness *harness = *state;
    struct metric *m =
        metrics_add(harness->metrics, METRIC_GAUGE, "g", "One\\\nline of \"help\".", "value");
    metric_set(metric_cell(m, "a\\b\"c\nd"), 1);
    assert_string_equal(render(harness), "# HELP g One\\\\\\nline of \"help\".\n"
                                         "# TYPE g gauge\n"
                                         "g{value=\"a\\\\b\\\"c\\nd\"} 1\n");
}

static void info_is_1_and_tells_by_its_labels(void **state) {
    struct harness *harness = *state;
    struct text labels = {0};
    metric_add_label(&labels, "version", "1");
    metric_add_label(&labels, "os", "a \"\\\"\n");
    metrics_add_info(harness->metrics, "x_build_info", "Build.", text_string(&labels));
    text_release(&labels);
    assert_non_null(
        strstr(render(harness), "\nx_build_info{version=\"1\",os=\"a \\\"\\\\\\\"\\n\"} 1\n"));
}

static void a_histogram_counts_up_to_and_with_each_bound(void **state) {
    struct harness *harness = *state;
    struct metric *m =
        metrics_add(harness->metrics, METRIC_HISTOGRAM, "took_seconds", "Took.", "kind");
    struct metric_cell *cell = metric_cell(m, "x");
    metric_observe_us(cell, -5); /* a clock that was set back */
    metric_observe_us(cell, 1000);
    metric_observe_us(cell, 1001);
    metric_observe_us(cell, 60000000);
    metric_observe_times(cell, 60000001, 3);
    const char *page = render(harness);
    static const char *const lines[] = {
        "# TYPE took_seconds histogram\n",
        "\ntook_seconds_bucket{kind=\"x\",le=\"0.001\"} 2\n",
        "\ntook_seconds_bucket{kind=\"x\",le=\"0.0025\"} 3\n",
        "\ntook_seconds_bucket{kind=\"x\",le=\"30\"} 3\n",
        "\ntook_seconds_bucket{kind=\"x\",le=\"60\"} 4\n",
        "\ntook_seconds_bucket{kind=\"x\",le=\"+Inf\"} 7\n",
        "\ntook_seconds_sum{kind=\"x\"} 240.002004\n",
        "\ntook_seconds_count{kind=\"x\"} 7\n",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        if (strstr(page, lines[i]) == NULL) fail_msg("no %s in\n%s", lines[i], page);
    }
}

/* Each bound takes what is equal to it and leaves what is one more to the next. */
static void each_bucket_ends_with_its_bound(void **state) {
    struct harness *harness = *state;
    static const struct {
        int64_t us;
        const char *name;
    } bounds[] = {{1000, "0.001"},  {2500, "0.0025"}, {5000, "0.005"},  {10000, "0.01"},
                  {25000, "0.025"}, {50000, "0.05"},  {100000, "0.1"},  {250000, "0.25"},
                  {500000, "0.5"},  {1000000, "1"},   {2500000, "2.5"}, {5000000, "5"},
                  {10000000, "10"}, {30000000, "30"}, {60000000, "60"}};
    enum { BOUNDS = sizeof bounds / sizeof *bounds };
    struct metric_cell *cell =
        metric_cell(metrics_add(harness->metrics, METRIC_HISTOGRAM, "s", "S.", NULL), NULL);
    for (int i = 0; i < BOUNDS; i++) {
        metric_observe_us(cell, bounds[i].us);
        metric_observe_us(cell, bounds[i].us + 1);
    }
    const char *page = render(harness);
    char line[64];
    for (int i = 0; i < BOUNDS; i++) {
        snprintf(line, sizeof line, "\ns_bucket{le=\"%s\"} %d\n", bounds[i].name, 2 * i + 1);
        if (strstr(page, line) == NULL) fail_msg("no %s in\n%s", line, page);
    }
    snprintf(line, sizeof line, "\ns_bucket{le=\"+Inf\"} %d\n", 2 * BOUNDS);
    assert_non_null(strstr(page, line));
}

enum { THREADS = 4, ROUNDS = 50000 };

struct race {
    struct metric *counter;
    struct metric *histogram;
    atomic_int running;
};

static void *count_along(void *argument) {
    struct race *race = argument;
    struct metric_cell *shared = metric_cell(race->counter, "shared");
    struct metric_cell *took = metric_cell(race->histogram, NULL);
    for (int i = 0; i < ROUNDS; i++) {
        metric_add(shared, 1);
        metric_observe_us(took, i);
        if (i % 1000 == 0) {
            metric_add(metric_cell(race->counter, i % 2000 == 0 ? "even" : "odd"), 1);
            metric_cell_show(metric_cell(race->counter, "odd"), false);
        }
    }
    atomic_fetch_sub(&race->running, 1);
    return NULL;
}

static void times_are_in_ms_and_rendered_in_seconds(void **state) {
    struct harness *harness = *state;
    struct metrics *metrics = harness->metrics;
    metric_set(metric_cell(metrics_add(metrics, METRIC_TIME, "cpu_total", "C.", NULL), NULL), 1234);
    metric_set(metric_cell(metrics_add(metrics, METRIC_TIME, "start", "S.", NULL), NULL), -5);
    assert_string_equal(render(harness), "# HELP cpu_total C.\n# TYPE cpu_total counter\n"
                                         "cpu_total 1.234\n"
                                         "# HELP start S.\n# TYPE start gauge\nstart -0.005\n");
}

/* The number behind a name on the page. */
static double number_of(struct harness *harness, const char *name) {
    const char *line = strstr(render(harness), name);
    assert_non_null(line);
    return strtod(line + strlen(name), NULL);
}

static void an_age_and_what_is_left_are_those_of_the_scrape(void **state) {
    struct harness *harness = *state;
    struct metrics *metrics = harness->metrics;
    struct metric_cell *age =
        metric_cell(metrics_add(metrics, METRIC_AGE, "age", "A.", NULL), NULL);
    struct metric_cell *left =
        metric_cell(metrics_add(metrics, METRIC_TIME_LEFT, "left", "L.", NULL), NULL);
    assert_non_null(strstr(render(harness), "# TYPE age gauge\nage 0\n"));
    assert_non_null(strstr(render(harness), "# TYPE left gauge\nleft +Inf\n"));
    const int64_t now_ms = clock_wall_ms();
    metric_set(age, now_ms - 90000);
    metric_set(left, now_ms + 90000);
    assert_float_equal(number_of(harness, "\nage "), 90, 5);
    assert_float_equal(number_of(harness, "\nleft "), 90, 5);
    metric_set(age, now_ms + 90000); /* a record from the future is no younger than now */
    metric_set(left, now_ms - 90000);
    assert_float_equal(number_of(harness, "\nage "), 0, 0);
    assert_float_equal(number_of(harness, "\nleft "), -90, 5);
}

static void nothing_is_lost_while_threads_count_and_a_page_is_rendered(void **state) {
    struct harness *harness = *state;
    struct race race = {.running = THREADS};
    race.counter = metrics_add(harness->metrics, METRIC_COUNTER, "a_total", "A.", "value");
    race.histogram = metrics_add(harness->metrics, METRIC_HISTOGRAM, "b_seconds", "B.", NULL);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, count_along, &race), 0);
    }
    while (atomic_load(&race.running) > 0)
        render(harness);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    const char *page = render(harness);
    assert_non_null(strstr(page, "a_total{value=\"shared\"} 200000\n"));
    assert_non_null(strstr(page, "a_total{value=\"even\"} 100\n"));
    assert_null(strstr(page, "odd"));
    assert_non_null(strstr(page, "b_seconds_count 200000\n"));
    assert_int_equal(metric_get(metric_cell(race.counter, "odd")), 100);
}

static void promtool_accepts_the_page(void **state) {
    struct harness *harness = *state;
    if (system("command -v promtool >/dev/null") != 0) skip();
    struct metric *counter = metrics_add(harness->metrics, METRIC_COUNTER,
                                         "rollcall_rejected_total", "Rejected records.", "reason");
    metric_add(metric_cell(counter, "not_json"), 3);
    metric_add(metric_cell(counter, "odd \"\\\n é"), 3);
    metrics_add(harness->metrics, METRIC_GAUGE, "rollcall_lag_records", "No series.", "partition");
    struct metric *took = metrics_add(harness->metrics, METRIC_HISTOGRAM,
                                      "rollcall_checkpoint_seconds", "A \\ in the help.", NULL);
    metric_observe_us(metric_cell(took, NULL), 1234);
    metrics_add_info(harness->metrics, "rollcall_build_info", "Build.", "version=\"0.1.0\"");

    FILE *promtool = popen("promtool check metrics", "w");
    assert_non_null(promtool);
    fputs(render(harness), promtool);
    assert_int_equal(pclose(promtool), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(one_without_label_shows_0_at_once_one_with_a_label_nothing),
        TEST(counters_add_and_gauges_are_set),
        TEST(series_are_in_the_order_of_their_labels_numbers_by_value),
        TEST(a_hidden_series_is_not_shown_and_comes_back_as_it_was),
        TEST(help_and_labels_are_escaped),
        TEST(info_is_1_and_tells_by_its_labels),
        TEST(a_histogram_counts_up_to_and_with_each_bound),
        TEST(times_are_in_ms_and_rendered_in_seconds),
        TEST(an_age_and_what_is_left_are_those_of_the_scrape),
        TEST(each_bucket_ends_with_its_bound),
        TEST(nothing_is_lost_while_threads_count_and_a_page_is_rendered),
        TEST(promtool_accepts_the_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
