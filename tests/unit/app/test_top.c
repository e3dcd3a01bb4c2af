/* top: pages of instances, by hand and as metric renders them; and views of a page and a Redis. */
#include "app/top.h"

#include <pthread.h>
#include <pty.h>
#include <signal.h>

#include "app/captured.h"
#include "app/commands.h"
#include "app/config.h"
#include "app/stats.h"
#include "base/error.h"
#include "base/text.h"
#include "redis_server.h"

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

/* --- the whole view --------------------------------------------------------------------------- */

static struct redis_server redis;
static int listener;
static pthread_t thread;
static char listen_on[32], page[4096];

/* Answers every request with the page. */
static void *serve(void *context) {
    (void)context;
    for (int client; (client = accept(listener, NULL, NULL)) >= 0;) {
        char request[1024], head[128];
        (void)!read(client, request, sizeof request);
        snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", strlen(page));
        (void)!write(client, head, strlen(head));
        (void)!write(client, page, strlen(page));
        close(client);
    }
    return NULL;
}

static int start(void **state) {
    (void)state;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(listener, 5) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &bytes) != 0) {
        return -1;
    }
    snprintf(listen_on, sizeof listen_on, "127.0.0.1:%d", ntohs(address.sin_port));
    pthread_create(&thread, NULL, serve, NULL);
    return redis_server_start(&redis) ? 0 : -1;
}

static int stop(void **state) {
    (void)state;
    shutdown(listener, SHUT_RDWR);
    pthread_join(thread, NULL);
    close(listener);
    return redis_server_stop(&redis);
}

static void in_redis(const char *command) {
    struct error error = {""};
    struct redis_link *link =
        redis_link_create(&(struct redis_settings){.url = redis.url, .timeout_ms = 5000}, &error);
    assert_true(redis_link_open(link, &error));
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-security"
    struct redis_reply *reply = redis_link_call(link, &error, command);
#pragma GCC diagnostic pop
    assert_non_null(reply);
    redis_reply_destroy(&reply);
    redis_link_destroy(&link);
}

/* The exit status of so many views, a second apart, of an instance and a Redis. */
static int watch(const char *instance, const char *url, int64_t count) {
    char http[64], redis_url[128];
    struct error error = {""};
    const int64_t own[] = {1, count};
    snprintf(http, sizeof http, "http.listen=%s", instance);
    snprintf(redis_url, sizeof redis_url, "redis.url=%s", url);
    struct options options = {.overrides = {http, redis_url}, .override_count = 2};
    memcpy(options.own, own, sizeof own); /* --every, --count */
    char *envp[] = {NULL};
    struct config *config = config_create(&options, envp, &error);
    if (config == NULL) fail_msg("%s", error.text);
    const int status = command_top.run(config, &options);
    config_destroy(&config);
    return status;
}

static void set_page(int64_t consumed, int64_t published) {
    snprintf(page, sizeof page,
             "rollcall_records_consumed_total %lld\nrollcall_records_counted_total 40\n"
             "rollcall_records_published_total %lld\n"
             "rollcall_records_rejected_total{reason=\"empty\"} 3\n"
             "rollcall_records_rejected_total{reason=\"not_json\"} 4\n"
             "rollcall_anomalies_total 2\nrollcall_assigned_partitions 3\n"
             "rollcall_lag_records{partition=\"0\"} 10\n"
             "rollcall_lag_records{partition=\"1\"} 200\n"
             "rollcall_lag_records{partition=\"2\"} 5\n"
             "rollcall_counted_lag_records{partition=\"0\"} 1\n"
             "rollcall_counted_lag_records{partition=\"2\"} 3000\n",
             (long long)consumed, (long long)published);
}

static void a_view_shows_instance_and_redis(void **state) {
    (void)state;
    char head[128];
    set_page(50, 30);
    in_redis("ZADD {user-login}:locale_counts 5 PA 7 US");
    in_redis("XADD {user-login}:anomalies 1-1 kind threshold minute m1 count 11 threshold 10");
    in_redis("XADD {user-login}:anomalies 2-1 kind threshold minute m2 count 12 threshold 10");
    capture_begin();
    const int status = watch(listen_on, redis.url, 1);
    capture_end();
    assert_int_equal(status, 0);
    assert_int_equal(strncmp(captured, "rollcall top  20", 16), 0);
    snprintf(head, sizeof head, " UTC  %s  %s/0 {user-login}\n\n", listen_on, redis.url);
    shows(head);
    shows(" {user-login}\n\n"
          "               consumed       counted     published      rejected     anomalies\n"
          "total                50            40            30             7             2\n"
          "a second              -             -             -             -             -\n"
          "lag      215 to publish, 3001 to count, in 3 partitions\n\n"
          "device_type\n"
          "locale       US 7  PA 5\n"
          "anomalies    kind threshold  minute m2  count 12  threshold 10\n"
          "             kind threshold  minute m1  count 11  threshold 10\n\n"
          "partition    to publish      to count\n"
          "2                     5          3000\n"
          "1                   200             0\n"
          "0                    10             1\n");
    in_redis("FLUSHALL");
}

/* A page that grows while nobody looks. */
static void *grow(void *context) {
    (void)context;
    clock_sleep_ms(300);
    set_page(1050, 30);
    return NULL;
}

static void rates_are_those_since_the_view_before(void **state) {
    (void)state;
    pthread_t grower;
    double consumed = 0, others[4] = {1, 1, 1, 1};
    set_page(50, 30);
    capture_begin();
    pthread_create(&grower, NULL, grow, NULL);
    const int64_t began_ms = clock_ms();
    const int status = watch(listen_on, redis.url, 2);
    const int64_t took_ms = clock_ms() - began_ms;
    pthread_join(grower, NULL);
    capture_end();
    assert_int_equal(status, 0);
    assert_in_range(took_ms, 1000, 10000);
    const char *rates = strstr(captured, "a second ");
    assert_non_null(rates);
    rates = strstr(rates + 1, "a second ");
    assert_non_null(rates);
    assert_int_equal(sscanf(rates, "a second %lf %lf %lf %lf %lf", &consumed, &others[0],
                            &others[1], &others[2], &others[3]),
                     5);
    assert_true(consumed > 100 && consumed < 1010);
    for (int i = 0; i < 4; i++)
        assert_true(others[i] > -0.01 && others[i] < 0.01);
    shows("anomalies    none\n");
}

static void *shrink(void *context) {
    (void)context;
    clock_sleep_ms(300);
    set_page(60, 29);
    return NULL;
}

static void an_instance_that_was_restarted_has_no_rates_yet(void **state) {
    (void)state;
    pthread_t shrinker;
    set_page(50, 30);
    capture_begin();
    pthread_create(&shrinker, NULL, shrink, NULL);
    watch(listen_on, redis.url, 2);
    pthread_join(shrinker, NULL);
    capture_end();
    const char *last = strstr(strstr(captured, "a second ") + 1, "a second ");
    assert_int_equal(strncmp(last, "a second              -  ", 25), 0);
}

static void one_that_is_away_does_not_hide_the_other(void **state) {
    (void)state;
    set_page(50, 30);
    capture_begin();
    assert_int_equal(watch("127.0.0.1:1", redis.url, 1), 0);
    capture_end();
    shows("no figures of the instance: ");
    shows("; start `rollcall run`, or set http.listen as the instance has it\n");
    shows("anomalies    none\n");
    shows_not("total");
    shows_not("partition  ");
    capture_begin();
    assert_int_equal(watch(listen_on, "redis://127.0.0.1:1", 1), 0);
    capture_end();
    shows("total                50");
    shows("no figures of Redis: ");
    shows("; start Redis, or set redis.url\n");
    snprintf(page, sizeof page, "<html>\n");
    in_redis("SET {user-login}:anomalies x");
    capture_begin();
    assert_int_equal(watch(listen_on, redis.url, 1), 0);
    capture_end();
    shows("is not an instance of rollcall");
    shows("no figures of Redis: ");
    shows_not("start Redis");
    in_redis("FLUSHALL");
}

static void an_empty_address_is_a_wrong_setting(void **state) {
    (void)state;
    capture_begin();
    assert_int_equal(watch("", redis.url, 1), 2);
    capture_end();
    assert_string_equal(captured, "");
}

/* A window of so many rows, with as many partitions as it has room for, or fewer. */
static void partitions_fill_the_window_and_no_more(void **state) {
    (void)state;
    static const struct {
        unsigned short rows;
        const char *last, *left_out;
    } cases[] = {{15, "\n0                    10             1", "more"},
                 {14, "\n2 more              210             1", "\n0  "},
                 {13, "\n3 more              215          3001", "\n2  "},
                 {12, "anomalies    none", "to publish  "}};
    set_page(50, 30);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct winsize size = {.ws_row = cases[i].rows, .ws_col = 100};
        int master, slave;
        struct termios raw = {0};
        cfmakeraw(&raw);
        assert_int_equal(openpty(&master, &slave, NULL, &raw, &size), 0);
        capture_on(slave);
        watch(listen_on, redis.url, 1);
        capture_off();
        const ssize_t count = read(master, captured, sizeof captured - 1);
        assert_true(count > 0);
        captured[count] = '\0';
        shows(cases[i].last);
        shows_not(cases[i].left_out);
        close(master);
        close(slave);
    }
}

int main(void) {
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_view_shows_instance_and_redis),
        cmocka_unit_test(rates_are_those_since_the_view_before),
        cmocka_unit_test(an_instance_that_was_restarted_has_no_rates_yet),
        cmocka_unit_test(one_that_is_away_does_not_hide_the_other),
        cmocka_unit_test(an_empty_address_is_a_wrong_setting),
        cmocka_unit_test(partitions_fill_the_window_and_no_more),
        cmocka_unit_test(a_page_of_an_instance_is_read_whole),
        cmocka_unit_test(another_page_is_none),
        cmocka_unit_test(odd_lines_do_no_harm),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
