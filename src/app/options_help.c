/* What --help says. */
#include "app/options.h"

#include <stdio.h>

static const char overview[] =
    "rollcall counts logins: it reads them from Kafka, publishes the accepted ones to\n"
    "another topic, and keeps the counts in Redis, each record exactly once.\n"
    "\n"
    "usage: rollcall COMMAND [OPTION]...\n"
    "\n"
    "  run       process until SIGTERM or SIGINT, then drain and leave\n"
    "  demo      show it all on this machine, with a broker and a Redis of its own\n"
    "  generate  write login events to the input topic\n"
    "  snapshot  print the counts in Redis as one JSON object\n"
    "  check     look at configuration, Kafka and Redis; say what is wrong; change no data\n"
    "  top       watch an instance and the counts in the terminal: rates, lag, top values\n"
    "\n"
    "`rollcall COMMAND --help` says more about one.\n"
    "\n";

static const char common[] =
    "  -c FILE               read settings from an INI file\n"
    "  -X SECTION.KEY=VALUE  set one: -X kafka.bootstrap.servers=broker:9092; repeatable\n"
    "  -v                    say more: log.level=debug\n"
    "  -q                    say less: log.level=warn\n"
    "      --help            this text\n"
    "      --version         the versions of rollcall and its libraries\n"
    "\n"
    "A setting comes from -X, else from the environment (ROLLCALL_KAFKA_BOOTSTRAP_SERVERS),\n"
    "else from the file, else it has its default. A secret can be in a file of its own\n"
    "(redis.url_file).\n"
    "\n"
    "Exit status: 0 fine; 1 it had to stop, and the last log line says why; 2 wrong usage or\n"
    "configuration, and nothing was touched.\n";

static const char shaping[] =
    "      --users N         how many users log in (10000)\n"
    "      --skew S          how uneven: user n logs in 1/n^S times as often (1.0; 0 is evenly)\n"
    "      --invalid PERCENT share of records that must be rejected, of every kind (1)\n"
    "      --seed N          the same seed makes the same events (1)\n"
    "      --start TIMESTAMP event time of the first one: seconds since 1970, or ISO 8601\n"
    "                        (2024-07-10T14:36:56Z; without a zone UTC); it goes on at the rate\n";

static const char run[] =
    "usage: rollcall run [OPTION]...\n"
    "\n"
    "Reads logins from input.topic, counts them in Redis and publishes them to output.topic,\n"
    "each exactly once, until SIGTERM or SIGINT; then drains, commits, leaves the group and\n"
    "exits 0. A second signal ends it at once. Start as many as you like: they share the\n"
    "partitions.\n"
    "\n";

static const char demo[] =
    "usage: rollcall demo [OPTION]...\n"
    "\n"
    "Starts a broker inside this program and a redis-server of its own, generates events,\n"
    "processes them, shows the counts with the redis-cli lines that read them, and checks\n"
    "them against what was generated: exit status 1 if they differ. Needs no network.\n"
    "\n"
    "      --count N         events (100000)\n"
    "      --rate N          events a second (0: as fast as possible)\n";

static const char generate[] =
    "usage: rollcall generate [OPTION]...\n"
    "\n"
    "Writes made-up login events to input.topic, which must exist, until --count, SIGTERM or\n"
    "SIGINT. The Kafka timestamp of a record is its event's time; records have no key, and go\n"
    "to each partition in turn.\n"
    "\n"
    "      --count N         events (0: for ever)\n"
    "      --rate N          events a second (100; 0: as fast as possible)\n";

static const char snapshot[] =
    "usage: rollcall snapshot [OPTION]...\n"
    "\n"
    "Prints the counts in Redis, all taken at one moment, as one JSON object with the members\n"
    "\"Logins by Device Type\", \"Logins by Locale\", \"Logins Over Time\" and \"Rejected\".\n"
    "\n";

static const char check[] =
    "usage: rollcall check [OPTION]...\n"
    "\n"
    "Reads the configuration, reaches Kafka and Redis, looks at topics, ACLs, versions and\n"
    "watermarks, and says what is wrong and how to mend it. Changes nothing but the transactional\n"
    "id rollcall-<group.id>-check, which it tries where instance.id is not set. With -v it begins\n"
    "with every setting that counts, secrets as ***.\n"
    "\n";

static const char top[] =
    "usage: rollcall top [OPTION]...\n"
    "\n"
    "Shows totals and rates of the instance at http.listen, its lag by partition, the largest\n"
    "counts in Redis and the newest anomalies, until SIGINT or SIGTERM. On a terminal each view\n"
    "takes the place of the one before. Who cannot be reached is named where the figures would\n"
    "be, and asked again in the next view.\n"
    "\n"
    "      --every SECONDS   between two views (1)\n"
    "      --count N         views (0: for ever)\n";

static const char *const commands[OPTIONS_COMMAND_COUNT] = {
    [OPTIONS_RUN] = run,           [OPTIONS_DEMO] = demo,   [OPTIONS_GENERATE] = generate,
    [OPTIONS_SNAPSHOT] = snapshot, [OPTIONS_CHECK] = check, [OPTIONS_TOP] = top,
};

void options_help(const struct options *options) {
    if (!options->has_command) {
        fputs(overview, stdout);
    } else {
        fputs(commands[options->command], stdout);
        if (options->command == OPTIONS_GENERATE || options->command == OPTIONS_DEMO) {
            fputs(shaping, stdout);
        }
    }
    fputs(common, stdout);
}
