/* top: pages of instances, by hand and as metric renders them. */
#include "app/top.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "app/stats.h"
#include "base/text.h"

static struct top_figures figures;

static void a_page_of_an_instance_is_read_whole(void **state) {
    (void)state;
    struct stats stats;
    struct text page = {0};
    static char id[] = "a \"b\"", topic[] = "t", group[] = "g";
    static const struct config config = {.instance.id = id,
                                         .source = {.topic = topic, .group = group}};
    stats_create(&stats, &config);
    metric_add(stats.ingest.consumed, INT64_C(12345678901234));
    metric_add(stats.checkpoint.counted, 2);
    metric_add(stats.publish.published, 3);
    metric_add(metric_cell(stats.checkpoint.rejected, "empty"), 4);
    metric_add(metric_cell(stats.checkpoint.rejected, "not_json"), 5);
    metric_add(stats.checkpoint.anomalies, 6);
    metric_set(stats.assignment.assigned, 3);
    metric_set(metric_cell(stats.lag.records, "11"), 70);
    metric_set(metric_cell(stats.lag.records, "2"), 80);
    metric_set(metric_cell(stats.lag.counted_records, "0"), 90);
    metric_set(metric_cell(stats.lag.counted_records, "2"), 8);
    metrics_render(stats.metrics, &page);
    assert_true(top_read(&figures, text_string(&page)));
    static const int64_t totals[] = {INT64_C(12345678901234), 2, 3, 9, 6};
    assert_memory_equal(figures.totals, totals, sizeof totals);
    assert_int_equal(figures.assigned_count, 3);
    static const struct top_lag lags[] = {{0, 0, 90}, {2, 80, 8}, {11, 70, 0}};
    assert_int_equal(figures.lag_count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(figures.lags[i].partition, lags[i].partition);
        assert_int_equal(figures.lags[i].to_publish, lags[i].to_publish);
        assert_int_equal(figures.lags[i].to_count, lags[i].to_count);
    }
    text_release(&page);
    stats_destroy(&stats);
}

static void another_page_is_none(void **state) {
    (void)state;
    assert_false(top_read(&figures, ""));
    assert_false(top_read(&figures, "<html>\n"));
    assert_false(top_read(&figures, "# HELP rollcall_assigned_partitions x\n"));
    assert_false(top_read(&figures, "rollcall_assigned_partitions_x 5\n"));
    assert_true(top_read(&figures, "rollcall_assigned_partitions 5")); /* no newline */
    assert_int_equal(figures.assigned_count, 5);
}

static void odd_lines_do_no_harm(void **state) {
    (void)state;
    assert_true(top_read(&figures, "\n{\n \"\nrollcall_lag_records\nrollcall_lag_records 7\n"
                                   "rollcall_lag_records{partition=\"-1\"} 7\n"
                                   "rollcall_lag_records{partition=\"4096\"} 7\n"
                                   "rollcall_lag_records{partition=\"99999999999999999999\"} 7\n"
                                   "rollcall_lag_records{partition=\"4095\"} x\n"
                                   "rollcall_lag_records{partition=\"4095\n"
                                   "rollcall_assigned_partitions 1\n"));
    assert_int_equal(figures.lag_count, 1);
    assert_int_equal(figures.lags[0].partition, 4095);
    assert_int_equal(figures.lags[0].to_publish, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_page_of_an_instance_is_read_whole),
        cmocka_unit_test(another_page_is_none),
        cmocka_unit_test(odd_lines_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
