/* rollcall snapshot */
#include <stdio.h>

#include "app/commands.h"
#include "app/config.h"
#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "core/aggregate.h"
#include "edge/redis_link.h"
#include "edge/redis_snapshot.h"

static int run(const struct config *config, const struct options *options) {
    (void)options;
    struct error error = {""};
    struct text json = {0};
    struct aggregates aggregates;
    aggregates_init(&aggregates, &config->aggregate);
    struct redis_link *link =
        redis_link_create(config->redis.url, config->redis.timeout_ms, &error);
    const bool is_read =
        link != NULL &&
        redis_snapshot_read(link, config->redis.prefix, &aggregates, &json, &error) == STORE_OK;
    if (is_read) {
        text_add(&json, "\n");
        fwrite(json.bytes, 1, json.length, stdout);
    } else {
        log_error("the counts cannot be read", log_text("reason", error.text));
    }
    text_release(&json);
    redis_link_destroy(&link);
    return is_read ? 0 : 1;
}

const struct command command_snapshot = {
    .name = "snapshot",
    .summary = "print the counts in Redis as one JSON object",
    .help = "Prints the counts in Redis, all taken at one moment, as one JSON object with the\n"
            "members \"Logins by Device Type\", \"Logins by Locale\", \"Logins Over Time\" and\n"
            "\"Rejected\".\n",
    .run = run,
};
