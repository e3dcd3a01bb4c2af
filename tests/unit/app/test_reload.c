/* reload: for every key there is, whether a reload takes it or names it. */
#include "app/reload.h"

#include "base/secret.h"
#include "given.h"

extern char **environ;

static struct text changed, fixed;

static void compare(struct config *running, struct config *fresh) {
    text_clear(&changed);
    text_clear(&fixed);
    reload_compare(running, fresh, &changed, &fixed);
}

/* Whether `fresh` alone differs from the defaults in `change`, and where that is named. */
static void expect(const char *change, const char *in_changed, const char *in_fixed) {
    struct config *running = TAKEN(X("instance.shards=2"));
    struct config *fresh = TAKEN(X("instance.shards=2", change));
    compare(running, fresh);
    if (strcmp(text_string(&changed), in_changed) != 0 ||
        strcmp(text_string(&fixed), in_fixed) != 0) {
        fail_msg("%s: changed \"%s\", fixed \"%s\"", change, text_string(&changed),
                 text_string(&fixed));
    }
    compare(fresh, running);
    assert_string_equal(text_string(&changed), in_changed);
    assert_string_equal(text_string(&fixed), in_fixed);
    config_destroy(&running);
    config_destroy(&fresh);
}

/* A value that is not the default; NULL for one that no other value could replace alone. */
static const char *another(const struct setting *setting) {
    static char value[64];
    if (setting->type == SETTING_TYPE_CHOICE) {
        const bool is_first = strcmp(setting->choices[0], setting->fallback) == 0;
        return setting->choices[is_first ? 1 : 0];
    }
    if (setting->type == SETTING_TYPE_NUMBER) {
        const long fallback = setting->fallback == NULL ? 2 : strtol(setting->fallback, NULL, 10);
        snprintf(value, sizeof value, "%ld", fallback + (fallback < setting->max ? 1 : -1));
        return value;
    }
    if (strcmp(setting->name, "url") == 0) return "redis://elsewhere:6379/0";
    return strcmp(setting->name, "listen") == 0 ? "127.0.0.1:1" : "another";
}

/* Set in the struct itself: some keys may only be set together with others. */
static void every_key_is_taken_or_named(void **state) {
    (void)state;
    int reloadable = 0;
    struct config_key key;
    for (size_t i = 0; (key = config_key_at(i)).setting != NULL; i++) {
        char name[64];
        struct error error;
        const struct setting *setting = key.setting;
        const bool is_reloadable = (setting->flags & SETTING_RELOADABLE) != 0 ||
                                   strcmp(setting->name, "sentinel_password") == 0;
        struct config *running = TAKEN(X("instance.shards=2", "instance.id=x"));
        struct config *fresh = TAKEN(X("instance.shards=2", "instance.id=x"));
        snprintf(name, sizeof name, "%s.%s", setting->section, setting->name);
        assert_true(setting_set(setting, (char *)fresh + key.offset, another(setting), &error));
        compare(running, fresh);
        assert_string_equal(text_string(&changed), is_reloadable ? name : "");
        assert_string_equal(text_string(&fixed), is_reloadable ? "" : name);
        reloadable += is_reloadable;
        config_destroy(&running);
        config_destroy(&fresh);
    }
    assert_int_equal(reloadable, 7);
}

static void keys_are_known_as_reloadable_or_not(void **state) {
    (void)state;
    assert_true(reload_takes("anomaly.threshold"));
    assert_true(reload_takes("log.level"));
    assert_false(reload_takes("output.topic"));
    assert_false(reload_takes("anomaly.nothing"));
    assert_false(reload_takes("consumer.fetch.min.bytes"));
    assert_true(reload_takes("kafka.ssl.ca.location"));
    assert_false(reload_takes("redis.ssl.ca.location"));
    assert_false(reload_takes("threshold"));
}

static void what_was_chosen_at_start_is_not_compared(void **state) {
    (void)state;
    struct config *running = TAKEN(.file = NULL), *fresh = TAKEN(.file = NULL);
    running->instance.shards = 63;
    assert_string_not_equal(running->instance.id, fresh->instance.id);
    compare(running, fresh);
    assert_string_equal(text_string(&changed), "");
    assert_string_equal(text_string(&fixed), "");
    config_destroy(&fresh);
    fresh = TAKEN(X("instance.shards=2"));
    compare(running, fresh);
    assert_string_equal(text_string(&fixed), "instance.shards");
    config_destroy(&running);
    config_destroy(&fresh);
}

static void of_the_url_only_user_and_password_may_change(void **state) {
    (void)state;
    expect("redis.url=redis://:secret@localhost:6379/0", "redis.url", "");
    expect("redis.url=redis://user:secret@localhost", "redis.url", "");
    expect("redis.url=redis://localhost:6379/1", "", "redis.url");
    expect("redis.url=redis://localhost:6380/0", "", "redis.url");
    expect("redis.url=redis://127.0.0.1:6379/0", "", "redis.url");
    expect("redis.url=unix:///run/redis", "", "redis.url");
}

static void of_the_properties_only_the_password_may_change(void **state) {
    (void)state;
    expect("kafka.client.id=x", "", "kafka.client.id");
    expect("consumer.fetch.min.bytes=2", "", "consumer.fetch.min.bytes");
    expect("producer.linger.ms=7", "", "producer.linger.ms");
    expect("consumer.session.timeout.ms=10001", "", "consumer.session.timeout.ms");
    /* to have none at all is another way to log in */
    expect("kafka.sasl.password=x", "", "kafka.sasl.password");
    struct config *running = TAKEN(
        X("kafka.security.protocol=plaintext", "kafka.sasl.username=a", "kafka.sasl.password=b"));
    struct config *fresh = TAKEN(
        X("kafka.security.protocol=plaintext", "kafka.sasl.username=a", "kafka.sasl.password=c"));
    compare(running, fresh);
    assert_string_equal(text_string(&changed), "kafka.sasl.password");
    assert_string_equal(text_string(&fixed), "");
    config_destroy(&fresh);
    fresh = TAKEN(
        X("kafka.security.protocol=plaintext", "kafka.sasl.username=z", "kafka.sasl.password=c"));
    compare(running, fresh);
    assert_string_equal(text_string(&fixed), "kafka.sasl.username");
    config_destroy(&running);
    config_destroy(&fresh);
}

static void where_certificates_are_may_change(void **state) {
    (void)state;
    struct config *running = TAKEN(X("kafka.ssl.ca.location=/dev/null", "consumer.client.id=a"));
    struct config *fresh = TAKEN(X("kafka.ssl.ca.location=/dev/zero", "consumer.client.id=a"));
    compare(running, fresh);
    assert_string_equal(text_string(&changed), "kafka.ssl.ca.location");
    assert_string_equal(text_string(&fixed), "");
    config_destroy(&running);
    config_destroy(&fresh);
}

static void sections_with_a_name_are_compared(void **state) {
    (void)state;
    expect("dimension.locale.from=/a", "",
           "dimension.locale.from, dimension.locale.default, dimension.locale.accept");
    expect("count.hours.every=hour", "",
           "count.hours.by, count.hours.every, count.hours.retention_days, "
           "count.hours.max_values, count.hours.unique");
    struct config *running = TAKEN(X("dimension.locale.from=/a"));
    struct config *fresh = TAKEN(X("dimension.locale.from=/a", "dimension.locale.default=x"));
    compare(running, running);
    assert_string_equal(text_string(&fixed), "");
    compare(running, fresh);
    assert_string_equal(text_string(&fixed), "dimension.locale.default");
    config_destroy(&running);
    config_destroy(&fresh);
}

static bool apply(struct config *running, const char *const *overrides, size_t count,
                  struct error *error) {
    struct options options = {.override_count = (int)count};
    for (size_t i = 0; i < count; i++)
        options.overrides[i] = overrides[i];
    text_clear(&changed);
    return reload_apply(running, &options, (char *[]){NULL}, &changed, error);
}

static void all_is_applied_or_nothing(void **state) {
    (void)state;
    struct error error;
    static const char *const good[] = {"output.commit_ms=50",
                                       "anomaly.threshold=7",
                                       "redis.url=redis://:new@localhost:6379/0",
                                       "kafka.sasl.password=new",
                                       "kafka.sasl.username=a",
                                       "kafka.security.protocol=plaintext",
                                       "instance.id=x",
                                       "log.level=warn"};
    static const char *const bad[] = {"output.commit_ms=60",
                                      "http.listen=127.0.0.1:1",
                                      "redis.url=redis://:newer@localhost:6379/0",
                                      "kafka.sasl.password=newer",
                                      "kafka.sasl.username=a",
                                      "kafka.security.protocol=plaintext",
                                      "instance.id=x"};
    static const char *const wrong[] = {"output.commit_ms=none"};
    struct config *running = TAKEN(X("kafka.security.protocol=plaintext", "kafka.sasl.password=old",
                                     "kafka.sasl.username=a", "instance.id=x"));
    assert_true(apply(running, good, sizeof good / sizeof *good, &error));
    assert_string_equal(text_string(&changed), "kafka.sasl.password, output.commit_ms, "
                                               "anomaly.threshold, redis.url, log.level");
    for (int round = 0; round < 3; round++) {
        char *url = secret_copy(running->redis.latest);
        char *password =
            secret_copy(kafka_conf_latest(&running->kafka, &running->consumer, "sasl.password"));
        assert_string_equal(url, "redis://:new@localhost:6379/0");
        assert_string_equal(password, "new");
        secret_forget(url);
        secret_forget(password);
        assert_int_equal(setting_now(&running->publish.commit_ms), 50);
        assert_int_equal(setting_now(&running->aggregate.threshold), 7);
        assert_false(log_is_enabled(LOG_INFO));
        if (round == 0) {
            assert_false(apply(running, bad, sizeof bad / sizeof *bad, &error));
            assert_non_null(strstr(error.text, "http.listen"));
            assert_null(strstr(error.text, "newer"));
        }
        if (round == 1) {
            assert_false(apply(running, wrong, 1, &error));
            assert_non_null(strstr(error.text, "output.commit_ms"));
        }
    }
    /* what was taken is what the next one is compared with */
    assert_true(apply(running, good, sizeof good / sizeof *good, &error));
    assert_string_equal(text_string(&changed), "");
    config_destroy(&running);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_is_taken_or_named),
        cmocka_unit_test(keys_are_known_as_reloadable_or_not),
        cmocka_unit_test(what_was_chosen_at_start_is_not_compared),
        cmocka_unit_test(of_the_url_only_user_and_password_may_change),
        cmocka_unit_test(of_the_properties_only_the_password_may_change),
        cmocka_unit_test(where_certificates_are_may_change),
        cmocka_unit_test(sections_with_a_name_are_compared),
        cmocka_unit_test(all_is_applied_or_nothing),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    text_release(&changed);
    text_release(&fixed);
    return failed;
}
