/* config: everything that can be set, from four sources, checked as a whole before anything starts.
 *
 * Later sources win: default, file (-c), environment (ROLLCALL_<SECTION>_<KEY>), -X.
 * In place of a secret `<secret>_file` names a file that holds it.
 *
 * Threads:  filled by the main thread; then nobody writes but app/reload, and all may read.
 * Owns:     its strings, until config_destroy.
 * Limits:   the modules' tables have the range of every key (base/setting.h).
 */
#ifndef APP_CONFIG_H
#define APP_CONFIG_H

#include <stdbool.h>
#include <stdio.h>

#include "base/log.h"
#include "base/setting.h"
#include "core/aggregate.h"
#include "core/login.h"
#include "edge/kafka_conf.h"
#include "edge/kafka_sink.h"
#include "edge/kafka_source.h"
#include "edge/redis_link.h"
#include "flow/expose.h"
#include "flow/ingest.h"
#include "flow/publish.h"

struct error;
struct options;

#ifndef CONFIG_MB_A_PARTITION   /* the simulation has less, to meet the limits sooner */
#define CONFIG_MB_A_PARTITION 2 /* of instance.memory_mb, for all of the input topic */
#endif

/* instance.* */
struct instance_settings {
    char *id;      /* never empty; random unless config.is_static */
    int shards;    /* COUNT threads */
    int memory_mb; /* that the process may take, about */
};

extern const struct setting instance_setting_table[];

/* The settings of every module, each filled from the module's own table (src/app/config.c has the
 * list of modules), and librdkafka's properties. */
struct config {
    union {
        struct properties by_role[3]; /* enum kafka_role */
        struct {
            struct properties kafka;    /* has bootstrap.servers */
            struct properties consumer; /* without group.id */
            struct properties producer; /* has transaction.timeout.ms, unless kafka has */
        };
    };
    struct instance_settings instance;
    struct kafka_source_settings source;
    struct kafka_sink_settings sink;
    struct ingest_settings ingest;
    struct publish_settings publish;
    struct login_settings login;
    struct aggregate_settings aggregate;
    struct redis_settings redis;
    struct expose_settings expose;
    struct log_settings log;

    /* What follows from the rest. */
    bool is_static;  /* instance.id was set: static membership, stable transactional id */
    bool has_shards; /* instance.shards was set */
    int drain_ms; /* for giving partitions back or shutting down: half the session timeout, at most
                   * 10000 */
};

/* --- every key: for help, documentation, and the sources --- */

/* A setting, and where its module's struct is in struct config. */
struct config_key {
    const struct setting *setting; /* NULL: there is no such key */
    size_t offset;
};

/* The keys in the order of the tables; past the last one setting is NULL. */
struct config_key config_key_at(size_t index);
struct config_key config_key_find(const char *section, const char *name);

/* Ends in NULL; those of librdkafka's properties are first, each at its enum kafka_role. */
extern const char *const config_sections[];
bool config_has_section(const char *section);

/* The kafka_role of a section of librdkafka's properties, -1 for another section. */
int config_role(const char *section);

/* What is called for every section, and for every setting in it: those of the modules, and
 * librdkafka's properties that have another default here. A section with a name of its own is given
 * as "dimension.NAME". */
struct config_writer {
    void (*section)(const char *section, FILE *out);
    void (*setting)(const char *section, const struct setting *setting, FILE *out);
};

/* Calls them in the order in which settings are shown. Borrows both. */
void config_write(const struct config_writer *writer, FILE *out);

/* `rollcall help settings`: all of them, for the terminal. */
void config_help(FILE *out);

/* What docs/configuration.md has from this heading on; what is above is written by hand. */
#define CONFIG_HEADING "## Settings\n"
void config_markdown(FILE *out);

/* A configuration file that has every setting with its default, as a comment. */
void config_file(FILE *out);

/* What is to know about a setting beyond its range, after what it is: "; a secret", or "". */
const char *config_remark(const struct setting *setting);

/* --- the configuration of this process --- */

/* Reads and checks all sources. envp ends in NULL. NULL is an error that names the source (file and
 * line, environment variable or -X) and the key. Borrows all. */
struct config *config_create(const struct options *options, char **envp, struct error *error);

/* Takes *config, which may be NULL, and nulls it. */
void config_destroy(struct config **config);

/* Writes all effective values in the form of a configuration file, secrets as ***. Borrows both. */
void config_print(const struct config *config, FILE *out);

#endif
