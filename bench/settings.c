/* A library preloaded into rollcall. For each librdkafka client that rollcall creates, it prints
 * one line "setting ROLE CLIENT NAME=VALUE" to standard error for each property that is not the
 * default. So the tuned raw loop always uses rollcall's current settings, not an outdated copy. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include <librdkafka/rdkafka.h>

typedef rd_kafka_t *make(rd_kafka_type_t type, rd_kafka_conf_t *conf, char *why, size_t why_bytes);

static const char *find(const char **properties, size_t count, const char *name) {
    for (size_t i = 0; i < count; i += 2) {
        if (strcmp(properties[i], name) == 0) return properties[i + 1];
    }
    return "";
}

static void print(rd_kafka_type_t type, rd_kafka_conf_t *conf) {
    rd_kafka_conf_t *plain = rd_kafka_conf_new();
    size_t count, plain_count;
    const char **set = rd_kafka_conf_dump(conf, &count);
    const char **defaults = rd_kafka_conf_dump(plain, &plain_count);
    for (size_t i = 0; i < count; i += 2) {
        if (strcmp(find(defaults, plain_count, set[i]), set[i + 1]) == 0) continue;
        fprintf(stderr, "setting %s %p %s=%s\n",
                type == RD_KAFKA_CONSUMER ? "consumer" : "producer", (void *)conf, set[i],
                set[i + 1]);
    }
    rd_kafka_conf_dump_free(set, count);
    rd_kafka_conf_dump_free(defaults, plain_count);
    rd_kafka_conf_destroy(plain);
}

rd_kafka_t *rd_kafka_new(rd_kafka_type_t type, rd_kafka_conf_t *conf, char *why, size_t why_bytes) {
    make *real;
    void *symbol = dlsym(RTLD_NEXT, "rd_kafka_new");
    memcpy(&real, &symbol, sizeof real);
    print(type, conf);
    return real(type, conf, why, why_bytes);
}
