#include "edge/kafka_names.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <librdkafka/rdkafka.h>

#include "base/memory.h"
#include "base/nearest.h"
#include "base/text.h"

/* fixed once read_names has run; lives as long as the program */
static struct kafka_name names[KAFKA_NAMES_MAX];
static size_t name_count;
static pthread_once_t names_once = PTHREAD_ONCE_INIT;

static char *copy_of(const char *bytes, size_t count) {
    return memcpy(memory_create(count + 1), bytes, count);
}

static const struct kafka_name *find(const char *name) {
    for (size_t i = 0; i < name_count; i++) {
        if (strcmp(names[i].name, name) == 0) return &names[i];
    }
    return NULL;
}

/* Takes one row of librdkafka's Markdown tables: "name | C/P | range | default | ... Type: x*".
 * A property can stand in the global table and again in that of topics: the first one counts. */
static void read_row(const char *row) {
    const char *bar = strstr(row, " | ");
    if (bar == NULL || strncmp(row, "Property ", 9) == 0) return;
    const size_t name_bytes = strcspn(row, " ");
    const char *role = bar + 3 + strspn(bar + 3, " ");
    if (name_bytes == 0 || strchr("*CP", *role) == NULL) return;
    assert(name_count < KAFKA_NAMES_MAX);
    struct kafka_name *name = &names[name_count];
    name->name = copy_of(row, name_bytes);
    if (find(name->name) != NULL) {
        free(name->name);
        return;
    }
    static const char alias_mark[] = "Alias for `";
    const char *alias = strstr(bar, alias_mark);
    name->canonical = name->name;
    if (alias != NULL) {
        alias += sizeof alias_mark - 1;
        name->canonical = copy_of(alias, strcspn(alias, "`"));
    }
    name->role = *role == 'C' ? KAFKA_CONSUMER : *role == 'P' ? KAFKA_PRODUCER : KAFKA_BOTH;
    name->is_callback = strstr(bar, "Type: see dedicated API") != NULL;
    name_count++;
}

static ssize_t keep(void *text, const char *bytes, size_t count) {
    text_add_bytes(text, bytes, count);
    return (ssize_t)count;
}

/* Not by open_memstream, which silently leaves something out where there is no memory. */
static void read_names(void) {
    char buffer[4096];
    struct text text = {0};
    FILE *stream = fopencookie(&text, "w", (cookie_io_functions_t){.write = keep});
    if (stream == NULL) memory_none();
    /* cppcheck-suppress nullPointerRedundantCheck ; memory_none does not return */
    setvbuf(stream, buffer, _IOFBF, sizeof buffer);
    rd_kafka_conf_properties_show(stream);
    fclose(stream);
    if (text.is_broken) memory_none();
    char *rest = text.bytes;
    for (char *row = strsep(&rest, "\n"); row != NULL; row = strsep(&rest, "\n"))
        read_row(row);
    text_release(&text);
    assert(name_count > 0);
}

const char *kafka_names_version(void) {
    return rd_kafka_version_str();
}

const struct kafka_name *kafka_names_find(const char *name) {
    pthread_once(&names_once, read_names);
    return find(name);
}

const struct kafka_name *kafka_names_find_env(const char *env_name) {
    pthread_once(&names_once, read_names);
    for (size_t i = 0; i < name_count; i++) {
        if (nearest_distance(env_name, names[i].name) == 0) return &names[i];
    }
    return NULL;
}

bool kafka_names_is_same(const char *a, const char *b) {
    const struct kafka_name *known_a = kafka_names_find(a);
    const struct kafka_name *known_b = kafka_names_find(b);
    return strcmp(known_a == NULL ? a : known_a->canonical,
                  known_b == NULL ? b : known_b->canonical) == 0;
}

bool kafka_names_is_secret(const char *name) {
    static const char *const marks[] = {"password",
                                        "passphrase",
                                        "secret",
                                        "key.pem",
                                        "sasl.oauthbearer.config",
                                        "sasl.oauthbearer.extensions"};
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
        if (strstr(name, marks[i]) != NULL) return true;
    }
    return false;
}

void kafka_names_offer(struct nearest *nearest, enum kafka_role role) {
    pthread_once(&names_once, read_names);
    for (size_t i = 0; i < name_count; i++) {
        const bool is_usable =
            role == KAFKA_BOTH || names[i].role == KAFKA_BOTH || names[i].role == role;
        if (is_usable && !names[i].is_callback) nearest_offer(nearest, names[i].name);
    }
}
