/* config: everything that can be set, from four sources, checked as a whole before anything starts.
 *
 * Later sources win: default, file (-c), environment (ROLLCALL_<SECTION>_<KEY>), -X.
 * In place of a secret `<secret>_file` names a file that holds it.
 *
 * Threads:  filled by the main thread; then nobody writes, and all may read.
 * Owns:     its strings, until config_destroy.
 * Limits:   the table in src/app/config_keys.c has the range of every key.
 */
#ifndef APP_CONFIG_H
#define APP_CONFIG_H

#include <stdbool.h>
#include <stdio.h>

#include "base/log.h"
#include "core/cursor.h"
#include "core/login.h"
#include "edge/kafka_conf.h"

struct error;
struct options;

enum config_guarantee { CONFIG_AT_LEAST_ONCE, CONFIG_EXACTLY_ONCE };

struct config {
    struct properties kafka;    /* has bootstrap.servers */
    struct properties consumer; /* without group.id */
    struct properties producer; /* has transaction.timeout.ms, unless kafka has */
    char *group_id;
    struct {
        char *id;       /* never empty; random unless is_static */
        bool is_static; /* set by the user: static membership, stable transactional id */
        int shards;
        int memory_mb;
    } instance;
    struct {
        char *topic;
        enum cursor_start start;
        enum cursor_on_gap on_gap;
    } input;
    struct {
        char *topic;
        char *rejected_topic; /* "" is none */
        enum config_guarantee guarantee;
        int commit_ms;
    } output;
    struct {
        char *dimensions[LOGIN_DIMENSIONS_MAX];
        int dimension_count; /* at least 1 */
        int max_values;
        int max_days;
        int retention_days;
        int max_future_s;
    } aggregate;
    struct {
        int threshold; /* logins in a minute */
    } anomaly;
    struct {
        char *url; /* holds a password, perhaps: show redis_link_name of it */
        char *prefix;
        int checkpoint_ms;
        int timeout_ms;
    } redis;
    struct {
        char *listen; /* "" is none */
    } http;
    struct {
        enum log_level level;
        enum log_format format;
    } log;

    /* What follows from the rest. */
    int drain_ms; /* for handing over partitions or shutting down: half the session timeout, at most
                   * 10000 */
};

/* Reads and checks all sources. envp ends in NULL. NULL is an error that names the source (file and
 * line, environment variable or -X) and the key. Borrows all. */
struct config *config_create(const struct options *options, char **envp, struct error *error);

/* Takes *config, which may be NULL, and nulls it. */
void config_destroy(struct config **config);

/* Writes all effective values in the form of a configuration file, secrets as ***. Borrows both. */
void config_print(const struct config *config, FILE *out);

#endif
