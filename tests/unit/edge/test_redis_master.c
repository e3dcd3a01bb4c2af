/* redis_master: what it notices when files are read again, and what it logs of a cluster. TLS is
 * this file's own, so that it is there with every hiredis. */
#include "edge/redis_master.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "edge/redis_tls.h"
#include "edge/redis_url.h"
#include "locks.h"

static uint64_t certificates; /* what they come to */
static int tls_count;         /* made, and not destroyed */

struct redis_tls *redis_tls_create(const char *ca, const char *certificate, const char *key,
                                   struct error *error) {
    (void)ca, (void)certificate, (void)key, (void)error;
    tls_count++;
    return (struct redis_tls *)&certificates;
}

void redis_tls_destroy(struct redis_tls **tls) {
    tls_count -= *tls != NULL;
    *tls = NULL;
}

uint64_t redis_tls_digest(const struct redis_tls *tls) {
    return tls == NULL ? 0 : certificates;
}

bool redis_tls_start(struct redis_tls *tls, redisContext *context, const char *host,
                     const char *where, bool *is_refused, struct error *error) {
    (void)tls, (void)context, (void)host, (void)where, (void)is_refused;
    return error_set(error, "none");
}

static struct redis_master *create(const char *address) {
    static char url[64], prefix[] = "{p}";
    struct error error = {""};
    snprintf(url, sizeof url, "%s", address);
    struct redis_master *master = redis_master_create(
        &(struct redis_settings){.url = url, .prefix = prefix, .timeout_ms = 100}, &error);
    if (master == NULL) fail_msg("%s", error.text);
    return master;
}

static void other_certificates_are_noticed_once(void **state) {
    (void)state;
    certificates = 5;
    struct redis_master *master = create("rediss://127.0.0.1");
    assert_false(redis_master_renew(master)); /* still those of the start */
    assert_int_equal(redis_master_renewal(master), 0);
    certificates = 6;
    assert_true(redis_master_renew(master));
    assert_false(redis_master_renew(master));
    assert_int_equal(redis_master_renewal(master), 1);
    redis_master_destroy(&master);
    assert_null(master);
    assert_int_equal(tls_count, 0);
}

/* What the log has said meanwhile. */
static const char *moved_to(struct redis_master *master, const struct redis_address *address) {
    static char text[1024];
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    const int saved = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    redis_master_moved(master, address);
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(ends[1]);
    const ssize_t length = read(ends[0], text, sizeof text - 1);
    close(ends[0]);
    assert_true(length >= 0);
    text[length] = '\0';
    return text;
}

static void a_log_line_names_the_node_that_has_the_keys_now(void **state) {
    (void)state;
    struct redis_master *master = create("redis+cluster://127.0.0.1");
    assert_string_equal(moved_to(master, &(struct redis_address){"10.0.0.7", 7000}), "");
    const unsigned turn = *redis_master_turn(master);
    assert_non_null(strstr(moved_to(master, &(struct redis_address){"10.0.0.8", 7001}),
                           " address=10.0.0.8:7001\n"));
    assert_int_equal(*redis_master_turn(master), turn + 1);
    assert_string_equal(moved_to(master, &(struct redis_address){"10.0.0.8", 7001}), "");
    assert_int_equal(*redis_master_turn(master), turn + 1);
    redis_master_destroy(&master);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(other_certificates_are_noticed_once),
        cmocka_unit_test(a_log_line_names_the_node_that_has_the_keys_now),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
