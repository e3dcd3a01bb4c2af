/* kafka_client: a password that changes in its file. */
#include "edge/kafka_private.h"

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

static void a_password_is_read_again_from_its_file(void **state) {
    (void)state;
    struct error error = {""};
    struct properties kafka = {0}, own = {0};
    const int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    kafka_conf_put(&kafka, "security.protocol", "sasl_plaintext");
    kafka_conf_put(&kafka, "sasl.mechanism", "PLAIN");
    kafka_conf_put(&kafka, "sasl.username", "u");
    kafka_conf_put(&kafka, "sasl.password", "old");
    kafka_conf_put_file(&kafka, "sasl.password", path);
    rd_kafka_conf_t *conf = kafka_conf_build(&kafka, &own, KAFKA_PRODUCER, &error);
    struct kafka_client *client =
        kafka_client_create(KAFKA_PRODUCER, conf, &kafka, &own, NULL, NULL, &error);
    if (client == NULL) fail_msg("%s", error.text);
    worker_stop(&client->brokers); /* from here on this is the only thread that reads it */
    write_password("\xEF\xBB\xBFnew 1\r\n");
    kafka_client_read_password(client);
    password_is(client, "new 1");
    write_password("\n");
    kafka_client_read_password(client);
    password_is(client, "new 1");
    unlink(path);
    kafka_client_read_password(client);
    password_is(client, "new 1");
    worker_start(&client->brokers);
    kafka_client_destroy(&client);
    kafka_conf_release(&kafka);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_password_is_read_again_from_its_file)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
