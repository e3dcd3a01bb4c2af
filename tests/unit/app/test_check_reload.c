/* check --reload and ready, which ask a running instance: here a server that shows what it is
 * told. */
#include "app/check_reload.h"

#include "app/captured.h"
#include "app/commands.h"
#include "app/config.h"
#include "app/options.h"
#include "app/status.h"
#include "base/error.h"
#include "edge/http_server.h"

static struct http_server *server;
static char listen_on[64];
static const char *shown; /* what all pages show */
static unsigned status;   /* and with which status */
static char asked[32];    /* the path that was asked for last */

static void show(void *context, const struct http_request *request, struct http_reply *reply) {
    (void)context;
    snprintf(asked, sizeof asked, "%s", request->path);
    reply->status = status;
    text_add(&reply->body, shown);
}

static int start(void **state) {
    static const struct http_page pages[] = {{NULL, HTTP_PLAIN, show}};
    static const struct http_options options = {.pages = pages, .lanes = {"a", "b"}};
    struct error error = {""};
    (void)state;
    server = http_server_create("127.0.0.1:0", &options, &error);
    if (server == NULL) fail_msg("%s", error.text);
    snprintf(listen_on, sizeof listen_on, "http.listen=127.0.0.1:%u", http_server_port(server));
    status = 200;
    return 0;
}

static int stop(void **state) {
    (void)state;
    http_server_destroy(&server);
    return 0;
}

static struct config *config_with(const char *first, const char *second) {
    struct error error = {""};
    struct options options = {.overrides = {listen_on, first, second}};
    options.override_count = first == NULL ? 1 : second == NULL ? 2 : 3;
    char *envp[] = {NULL};
    struct config *config = config_create(&options, envp, &error);
    if (config == NULL) fail_msg("%s", error.text);
    return config;
}

/* What is said of these settings while an instance runs with those that are shown. */
static void says(const char *first, const char *second, int expected_status, const char *expected) {
    struct config *config = config_with(first, second);
    capture_begin();
    assert_int_equal(check_reload(config), expected_status);
    capture_end();
    config_destroy(&config);
    assert_string_equal(asked, "/status.json");
    assert_string_equal(captured, expected);
}

#define SECRETS                                                                                    \
    "ok   passwords and files of certificates are not compared: a reload takes those of Redis "    \
    "and "                                                                                         \
    "Kafka\n"

static void what_differs_is_named(void **state) {
    (void)state;
    char page[1 << 14];
    struct config *running = config_with(NULL, NULL);
    char *settings = status_settings(running);
    config_destroy(&running);
    snprintf(page, sizeof page, "{\"version\": \"x\",\n \"settings\": %s}\n", settings);
    free(settings);
    shown = page;
    says(NULL, NULL, 0, "ok   a reload changes nothing\n" SECRETS);
    says("anomaly.threshold=99", NULL, 0, "ok   a reload changes anomaly.threshold\n" SECRETS);
    says("log.level=warn", "anomaly.threshold=99", 0,
         "ok   a reload changes anomaly.threshold, log.level\n" SECRETS);
    says("output.topic=other", "anomaly.threshold=99", 1,
         "bad  a reload is refused: output.topic cannot change while rollcall runs; restart "
         "it\n" SECRETS);
    says("output.topic=other", "input.topic=another", 1,
         "bad  a reload is refused: input.topic, output.topic cannot change while rollcall runs; "
         "restart it\n" SECRETS);
    says("instance.id=given", NULL, 1,
         "bad  a reload is refused: instance.id cannot change while rollcall runs; restart "
         "it\n" SECRETS);
    says("instance.shards=63", NULL, 1,
         "bad  a reload is refused: instance.shards cannot change while rollcall runs; restart "
         "it\n" SECRETS);
    says("consumer.fetch.min.bytes=2", NULL, 1, /* there is none in the one that runs */
         "bad  a reload is refused: consumer.fetch.min.bytes cannot change while rollcall runs; "
         "restart it\n" SECRETS);
}

/* A property that only the running instance has goes, too. */
static void what_is_gone_is_named(void **state) {
    (void)state;
    char page[1 << 14];
    struct config *running = config_with("consumer.fetch.min.bytes=2", NULL);
    char *settings = status_settings(running);
    config_destroy(&running);
    snprintf(page, sizeof page, "{\"settings\": %s}\n", settings);
    free(settings);
    shown = page;
    says(NULL, NULL, 1,
         "bad  a reload is refused: consumer.fetch.min.bytes cannot change while rollcall runs; "
         "restart it\n" SECRETS);
}

static void an_instance_that_shows_nothing_is_named(void **state) {
    (void)state;
    struct config *config = config_with(NULL, NULL);
    shown = "{}";
    capture_begin();
    assert_int_equal(check_reload(config), 1);
    capture_end();
    shows("does not show its settings: it is another version\n");
    status = 404;
    capture_begin();
    assert_int_equal(check_reload(config), 1);
    capture_end();
    shows("does not show its settings: ");
    shows("404");
    status = 200;
    config_destroy(&config);
}

static int ask(bool is_alive) {
    const bool own = is_alive; /* struct ready_options has nothing else */
    struct options options = {.is_verbose = false};
    memcpy(options.own, &own, sizeof own);
    struct config *config = config_with(NULL, NULL);
    capture_begin();
    const int code = command_ready.run(config, &options);
    capture_end();
    config_destroy(&config);
    return code;
}

static void ready_asks_for_what_it_is_told(void **state) {
    (void)state;
    shown = "ok\n";
    assert_int_equal(ask(false), 0);
    assert_string_equal(asked, "/readyz");
    assert_string_equal(captured, "ok\n");
    assert_int_equal(ask(true), 0);
    assert_string_equal(asked, "/healthz");
    status = 503;
    shown = "Redis is away\n";
    assert_int_equal(ask(false), 1);
    assert_string_equal(captured, "");
    status = 200;
}

static void without_an_address_there_is_nothing_to_ask(void **state) {
    (void)state;
    asked[0] = '\0';
    snprintf(listen_on, sizeof listen_on, "http.listen=");
    assert_int_equal(ask(false), 0);
    assert_string_equal(asked, "");
    shows("http.listen is empty");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_differs_is_named),
        cmocka_unit_test(what_is_gone_is_named),
        cmocka_unit_test(an_instance_that_shows_nothing_is_named),
        cmocka_unit_test(ready_asks_for_what_it_is_told),
        cmocka_unit_test(without_an_address_there_is_nothing_to_ask),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
