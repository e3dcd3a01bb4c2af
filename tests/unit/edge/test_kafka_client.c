/* kafka_client: a password that changes in its file, and what librdkafka says of a rejected one.
 * rd_kafka_conf_set_log_cb is this file's own. */
#include "edge/kafka_private.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"

static char path[] = "/tmp/test_password_XXXXXX";

typedef void log_line(const rd_kafka_t *client, int level, const char *facility, const char *text);

static log_line *take_line; /* the client's */

void rd_kafka_conf_set_log_cb(rd_kafka_conf_t *conf, log_line *take) {
    void (*real)(rd_kafka_conf_t *, log_line *);
    *(void **)&real = dlsym(RTLD_NEXT, "rd_kafka_conf_set_log_cb");
    take_line = take;
    real(conf, take);
}

static void write_password(const char *text) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void password_is(const struct kafka_client *client, const char *password) {
    char text[64];
    size_t bytes = sizeof text;
    assert_int_equal(
        rd_kafka_conf_get(rd_kafka_conf(client->handle), "sasl.password", text, &bytes),
        RD_KAFKA_CONF_OK);
    assert_string_equal(text, password);
}

/* One with a password, which is in a file. */
static struct kafka_client *open_client(struct properties *kafka) {
    struct error error = {""};
    const struct properties own = {0};
    kafka_conf_put(kafka, "security.protocol", "sasl_plaintext");
    kafka_conf_put(kafka, "sasl.mechanism", "PLAIN");
    kafka_conf_put(kafka, "sasl.username", "u");
    kafka_conf_put(kafka, "sasl.password", "old");
    kafka_conf_put_file(kafka, "sasl.password", path);
    write_password("old");
    rd_kafka_conf_t *conf = kafka_conf_build(kafka, &own, KAFKA_PRODUCER, &error);
    struct kafka_client *client =
        kafka_client_create(KAFKA_PRODUCER, conf, kafka, &own, NULL, NULL, &error);
    if (client == NULL) fail_msg("%s", error.text);
    return client;
}

static void a_password_is_read_again_from_its_file(void **state) {
    (void)state;
    struct properties kafka = {0};
    struct kafka_client *client = open_client(&kafka);
    worker_stop(&client->brokers); /* from here on this is the only thread that reads it */
    write_password("\xEF\xBB\xBFnew 1\r\n");
    kafka_client_read_password(client);
    password_is(client, "new 1");
    write_password("new 2");
    client->brokers.step(client->brokers.context, client->look_ms - 1);
    password_is(client, "new 1");
    client->brokers.step(client->brokers.context, client->look_ms);
    password_is(client, "new 2");
    write_password("\n");
    kafka_client_read_password(client);
    password_is(client, "new 2");
    unlink(path);
    kafka_client_read_password(client);
    password_is(client, "new 2");
    worker_start(&client->brokers);
    kafka_client_destroy(&client);
    kafka_conf_release(&kafka);
}

static void a_rejected_password_is_noted(void **state) {
    (void)state;
    struct error why = {""};
    struct properties kafka = {0};
    struct kafka_client *client = open_client(&kafka);
    assert_false(kafka_access_is_denied(&client->access, &why));
    take_line(client->handle, 3, "FAIL", "SASL authentication error: Authentication failed");
    assert_true(kafka_access_is_denied(&client->access, &why));
    assert_non_null(strstr(why.text, "set sasl.username and sasl.password"));
    kafka_client_destroy(&client);
    kafka_conf_release(&kafka);
}

static void lines_are_logged_without_secrets(void **state) {
    (void)state;
    char line[4096];
    struct properties kafka = {0};
    struct kafka_client *client = open_client(&kafka);
    FILE *log = tmpfile();
    const int was = dup(STDERR_FILENO);
    assert_true(log != NULL && was >= 0);
    dup2(fileno(log), STDERR_FILENO);
    take_line(client->handle, 3, "OIDC", "Failed to retrieve token from \"http://u:hidden@h/t\"");
    take_line(client->handle, 4, "CONF", "[thrd:app]:   sasl.oauthbearer.extensions = key=hidden");
    take_line(client->handle, 4, "CONF", "[thrd:app]:   client.id = shown");
    dup2(was, STDERR_FILENO);
    close(was);
    rewind(log);
    const size_t bytes = fread(line, 1, sizeof line - 1, log);
    line[bytes] = '\0';
    fclose(log);
    assert_non_null(strstr(line, "http://***@h/t"));
    assert_non_null(strstr(line, "client.id = shown"));
    assert_null(strstr(line, "hidden"));
    kafka_client_destroy(&client);
    kafka_conf_release(&kafka);
}

static int make_file(void **state) {
    (void)state;
    const int file = mkstemp(path);
    return file < 0 || close(file) != 0;
}

static int remove_file(void **state) {
    (void)state;
    return access(path, F_OK) == 0 && unlink(path) != 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_password_is_read_again_from_its_file),
        cmocka_unit_test(a_rejected_password_is_noted),
        cmocka_unit_test(lines_are_logged_without_secrets),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
