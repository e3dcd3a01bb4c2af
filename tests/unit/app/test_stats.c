/* stats: what /metrics has from the start, and the vitals of the process. */
#include "app/stats.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "app/config.h"
#include "base/clock.h"
#include "edge/kafka_names.h"

static struct stats stats;
static struct text page;

static int set_up(void **state) {
    static char id[] = "i", group[] = "g", topic[] = "t";
    const struct config config = {.instance = {.id = id},
                                  .source = {.group = group, .topic = topic}};
    (void)state;
    stats_create(&stats, &config);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    text_release(&page);
    stats_destroy(&stats);
    return 0;
}

static void render(void) {
    text_clear(&page);
    metrics_render(stats.metrics, &page);
}

static void shows(const char *line) {
    if (strstr(text_string(&page), line) == NULL) fail_msg("no %s", line);
}

/* The value of a series that has no labels. */
static double value_of(const char *name) {
    char begin[64];
    snprintf(begin, sizeof begin, "\n%s ", name);
    const char *found = strstr(text_string(&page), begin);
    if (found == NULL) fail_msg("no %s", name);
    return strtod(found + strlen(begin), NULL);
}

static void build_instance_and_known_series_are_shown_from_the_start(void **state) {
    (void)state;
    char line[128];
    render();
    snprintf(line, sizeof line,
             "\nrollcall_build_info{version=\"" ROLLCALL_VERSION "\",librdkafka=\"%s\"} 1\n",
             kafka_names_version());
    shows(line);
    shows("\nrollcall_instance_info{id=\"i\",group=\"g\",topic=\"t\"} 1\n");
    static const char *const stages[] = {"aggregate", "publish", "checkpoint"};
    for (int i = 0; i < 3; i++) {
        snprintf(line, sizeof line, "\nrollcall_queue_depth{stage=\"%s\"} 0\n", stages[i]);
        shows(line);
    }
    static const char *const modules[] = {"batches", "counts", "totals", "http"};
    for (int i = 0; i < 4; i++) {
        snprintf(line, sizeof line, "\nrollcall_memory_bytes{module=\"%s\"} 0\n", modules[i]);
        shows(line);
    }
    shows("\nrollcall_config_reloads_total{result=\"refused\"} 0\n");
    shows("\nrollcall_input_partitions 0\n");
}

static void vitals_are_those_of_this_process(void **state) {
    (void)state;
    const double page_bytes = (double)sysconf(_SC_PAGESIZE);
    double virtual_pages = 0, resident_pages = 0;
    struct rlimit limit;
    vitals_refresh(&stats.vitals);
    render();
    const double now_s = (double)clock_wall_ms() / 1000,
                 start_s = value_of("process_start_time_seconds");
    assert_true(start_s > now_s - 600 && start_s < now_s + 2); /* the boot is known to a second */
    FILE *file = fopen("/proc/self/statm", "r");
    assert_int_equal(fscanf(file, "%lf %lf", &virtual_pages, &resident_pages), 2);
    fclose(file);
    const double virtual_bytes = value_of("process_virtual_memory_bytes");
    const double resident_bytes = value_of("process_resident_memory_bytes");
    assert_true(virtual_bytes > virtual_pages * page_bytes * 0.9);
    assert_true(virtual_bytes < virtual_pages * page_bytes * 1.1);
    assert_true(resident_bytes > resident_pages * page_bytes * 0.7);
    assert_true(resident_bytes < resident_pages * page_bytes * 1.1);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_true(value_of("process_max_fds") == (double)limit.rlim_cur);
    assert_true(value_of("process_cpu_seconds_total") < 60);
}

static void descriptors_are_counted(void **state) {
    (void)state;
    vitals_refresh(&stats.vitals);
    render();
    const double before = value_of("process_open_fds");
    assert_true(before >= 3);
    const int descriptor = dup(STDOUT_FILENO);
    vitals_refresh(&stats.vitals);
    render();
    assert_true(value_of("process_open_fds") == before + 1);
    close(descriptor);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(build_instance_and_known_series_are_shown_from_the_start),
        TEST(vitals_are_those_of_this_process),
        TEST(descriptors_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
