#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "flow/expose.h"

struct harness {
    struct metric_cell *depth;
    struct metrics *metrics;
    struct expose *expose;
    bool is_fine;
    char replica[32];
    char answer[64 * 1024];
};

static void refresh(void *context) {
    metric_add(((struct harness *)context)->depth, 1);
}

static bool is_fine(void *context, struct text *why) {
    text_add(why, "shard 2 is stuck\033");
    return ((struct harness *)context)->is_fine;
}

static bool counts(void *context, struct expose_counts *counts) {
    struct harness *harness = context;
    snprintf(counts->replica, EXPOSE_REPLICA_BYTES, "%s", harness->replica);
    text_format(counts->json, "{\"scope\": %d, \"days\": \"%s..%s\"}", (int)counts->scope,
                counts->days.from, counts->days.to);
    text_add(&counts->why, "Redis said \"no\"");
    return harness->is_fine;
}

static void status(void *context, struct text *json) {
    (void)context;
    text_add(json, "{\"version\": \"1\"}\n");
}

static void page(void *context, struct text *html) {
    (void)context;
    text_add(html, "<!DOCTYPE html>\n");
}

static int set_up(void **state) {
    struct harness *harness = calloc(1, sizeof *harness);
    harness->metrics = metrics_create();
    harness->depth = metric_cell(
        metrics_add(harness->metrics, METRIC_GAUGE, "rollcall_depth", "Depth.", NULL), NULL);
    const struct expose_view view = {.metrics = harness->metrics,
                                     .context = harness,
                                     .refresh = refresh,
                                     .is_alive = is_fine,
                                     .is_ready = is_fine,
                                     .counts = counts,
                                     .status = status,
                                     .page = page,
                                     .style = "p {}\n",
                                     .script = "show();\n"};
    struct error error = {0};
    harness->expose = expose_create("127.0.0.1:0", &view, &error);
    if (harness->expose == NULL) print_error("%s\n", error.text);
    *state = harness;
    return harness->expose == NULL;
}

static int tear_down(void **state) {
    struct harness *harness = *state;
    expose_destroy(&harness->expose);
    expose_destroy(&harness->expose);
    metrics_destroy(&harness->metrics);
    free(harness);
    return 0;
}

static const char *get(struct harness *harness, const char *path) {
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons(expose_port(harness->expose)),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(descriptor, (const struct sockaddr *)&address, sizeof address), 0);
    dprintf(descriptor, "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", path);
    size_t length = 0;
    ssize_t got = 0;
    do {
        length += (size_t)got;
        got = recv(descriptor, harness->answer + length, sizeof harness->answer - 1 - length, 0);
    } while (got > 0);
    harness->answer[length] = '\0';
    close(descriptor);
    return harness->answer;
}

static void assert_page(struct harness *harness, const char *path, int status, const char *type,
                        const char *body) {
    char expected[256];
    const char *answer = get(harness, path);
    snprintf(expected, sizeof expected, "HTTP/1.1 %d ", status);
    assert_memory_equal(answer, expected, strlen(expected));
    snprintf(expected, sizeof expected, "\r\nContent-Type: %s\r\n", type);
    if (strstr(answer, expected) == NULL) fail_msg("no %s in %s", expected, answer);
    assert_string_equal(strstr(answer, "\r\n\r\n") + 4, body);
}

static const char plain[] = "text/plain; charset=utf-8";
static const char json[] = "application/json";

static void metrics_are_refreshed_before_each_scrape(void **state) {
    static const char type[] = "text/plain; version=0.0.4; charset=utf-8";
    static const char head[] = "# HELP rollcall_depth Depth.\n# TYPE rollcall_depth gauge\n";
    char body[256];
    for (int i = 1; i <= 2; i++) {
        snprintf(body, sizeof body, "%srollcall_depth %d\n", head, i);
        assert_page(*state, "/metrics", 200, type, body);
    }
}

static void health_is_ok_or_503_and_why(void **state) {
    static const char *const paths[] = {"/healthz", "/readyz"};
    struct harness *harness = *state;
    for (size_t i = 0; i < 2; i++) {
        harness->is_fine = true;
        assert_page(harness, paths[i], 200, plain, "ok\n");
        harness->is_fine = false;
        assert_page(harness, paths[i], 503, plain, "shard 2 is stuck\\x1b\n");
    }
}

static void counts_are_json_of_the_scope_or_503_and_why(void **state) {
    struct harness *harness = *state;
    harness->is_fine = true;
    assert_page(harness, "/counts", 200, json, "{\"scope\": 0, \"days\": \"..\"}");
    assert_page(harness, "/counts?scope=instance", 200, json, "{\"scope\": 1, \"days\": \"..\"}");
    assert_page(harness, "/counts?scope=moon", 400, json,
                "{\"error\": \"the only scope to ask for is \\\"instance\\\"\"}\n");
    harness->is_fine = false;
    assert_page(harness, "/counts", 503, json, "{\"error\": \"Redis said \\\"no\\\"\"}\n");
}

static void counts_are_of_the_days_that_are_asked_for(void **state) {
    static const struct {
        const char *query, *error;
    } wrong[] = {
        {"from=2024-7-1", "from: \\\"2024-7-1\\\" is not a day; write it as YYYY-MM-DD"},
        {"to=", "to: \\\"\\\" is not a day; write it as YYYY-MM-DD"},
        {"from=2024-02-30", "from: \\\"2024-02-30\\\" is not a day; write it as YYYY-MM-DD"},
        {"from=2024-07-02&to=2024-07-01", "from: 2024-07-02 is later than to: 2024-07-01"},
        {"foo=1", "\\\"foo\\\" is not a parameter; there are: from, to, scope"},
        {"FROM=2024-07-01", "\\\"FROM\\\" is not a parameter; there are: from, to, scope"},
        {"from=2024-07-01&x", "\\\"x\\\" is not a parameter; there are: from, to, scope"},
        {"from=2024-07-01&from=2024-07-01",
         "from is given twice; the parameters are: from, to, scope"},
        {"scope=instance&scope", "scope is given twice; the parameters are: from, to, scope"},
    };
    struct harness *harness = *state;
    harness->is_fine = true;
    assert_page(harness, "/counts?from=2024-02-29", 200, json,
                "{\"scope\": 0, \"days\": \"2024-02-29..\"}");
    assert_page(harness, "/counts?to=2024-07-01&from=2024-07-01&scope=instance", 200, json,
                "{\"scope\": 1, \"days\": \"2024-07-01..2024-07-01\"}");
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char path[64], body[128];
        snprintf(path, sizeof path, "/counts?%s", wrong[i].query);
        snprintf(body, sizeof body, "{\"error\": \"%s\"}\n", wrong[i].error);
        assert_page(harness, path, 400, json, body);
    }
}

static void a_replica_is_named_in_a_header(void **state) {
    struct harness *harness = *state;
    harness->is_fine = true;
    assert_null(strstr(get(harness, "/counts"), "Rollcall-Replica"));
    strcpy(harness->replica, "redis://there");
    assert_non_null(strstr(get(harness, "/counts"), "\r\nRollcall-Replica: redis://there\r\n"));
}

static void the_root_is_the_status_page_and_loads_what_is_there(void **state) {
    assert_page(*state, "/", 200, "text/html; charset=utf-8", "<!DOCTYPE html>\n");
    assert_page(*state, "/status.css", 200, "text/css; charset=utf-8", "p {}\n");
    assert_page(*state, "/status.js", 200, "text/javascript; charset=utf-8", "show();\n");
    assert_page(*state, "/status.json", 200, json, "{\"version\": \"1\"}\n");
}

static void a_404_lists_all_pages(void **state) {
    static const char *const wrong[] = {"/count", "/counts/", "/counts/../counts", "/Counts"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_page(*state, wrong[i], 404, plain,
                    "there is no such page; there are:\n/\n/status.css\n/status.js\n/metrics\n"
                    "/healthz\n/readyz\n/counts\n/status.json\n");
    }
}

static void what_cannot_be_listened_on_is_an_error(void **state) {
    (void)state;
    struct error error = {0};
    const struct expose_view view = {0};
    assert_null(expose_create("nowhere", &view, &error));
    assert_non_null(strstr(error.text, "http.listen: \"nowhere\" is not HOST:PORT"));
}

static void an_address_has_a_host_and_a_port(void **state) {
    (void)state;
    static const char *const right[] = {"", "h:0", "h:65535", "[::1]:9464"};
    static const char *const wrong[] = {"h",    ":1",      "h:",    "h:x",
                                        "h:1x", "h:65536", "a b:1", "h:000001"};
    for (size_t i = 0; i < sizeof right / sizeof *right; i++)
        assert_true(expose_setting_table[0].is_right(right[i]));
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(expose_setting_table[0].is_right(wrong[i]));
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(metrics_are_refreshed_before_each_scrape),
        TEST(health_is_ok_or_503_and_why),
        TEST(counts_are_json_of_the_scope_or_503_and_why),
        TEST(counts_are_of_the_days_that_are_asked_for),
        TEST(a_replica_is_named_in_a_header),
        TEST(the_root_is_the_status_page_and_loads_what_is_there),
        TEST(a_404_lists_all_pages),
        cmocka_unit_test(what_cannot_be_listened_on_is_an_error),
        cmocka_unit_test(an_address_has_a_host_and_a_port),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
