/* The running instance shows its settings in /status.json, made by the same function as ours here.
 * So both are lists of entries in one form, and are compared as texts. */
#include <stdlib.h>
#include <string.h>

#include "app/check_reload.h"
#include "app/commands.h"
#include "app/reload.h"
#include "app/status.h"
#include "base/error.h"
#include "edge/http_client.h"

enum { WAIT_MS = 5000, ENTRY_BYTES = 8192, KEY_BYTES = 256 };

static const char mark[] = "\"settings\": {", separator[] = ",\n ";

/* One entry, "section.key": "value", at *place, which goes on to the next; NULL: there is none. */
static const char *next_entry(const char **place, char entry[ENTRY_BYTES]) {
    const char *begin = *place;
    if (begin == NULL || *begin != '"') return NULL;
    const char *end = strstr(begin, separator);
    *place = end == NULL ? NULL : end + strlen(separator);
    if (end == NULL) end = begin + strcspn(begin, "}\n");
    snprintf(entry, ENTRY_BYTES, "%.*s", (int)(end - begin), begin);
    return entry;
}

static void key_of(const char *entry, char key[KEY_BYTES]) {
    snprintf(key, KEY_BYTES, "%.*s", (int)strcspn(entry + 1, "\""), entry + 1);
}

/* The entry of this key, NULL if there is none. */
static const char *find_entry(const char *list, const char *key, char entry[ENTRY_BYTES]) {
    char other[KEY_BYTES];
    while (next_entry(&list, entry) != NULL) {
        key_of(entry, other);
        if (strcmp(key, other) == 0) return entry;
    }
    return NULL;
}

/* Each key that the two lists do not have alike goes to one of the texts. */
static void compare(const struct config *config, const char *theirs, const char *ours,
                    struct text *changed, struct text *fixed) {
    static char entry[ENTRY_BYTES], other[ENTRY_BYTES];
    char key[KEY_BYTES];
    const char *lists[2] = {theirs, ours};
    for (int i = 0; i < 2; i++) {
        const char *place = lists[i];
        while (next_entry(&place, entry) != NULL) {
            key_of(entry, key);
            const char *found = find_entry(lists[1 - i], key, other);
            const bool is_chosen = (strcmp(key, "instance.id") == 0 && !config->is_static) ||
                                   (strcmp(key, "instance.shards") == 0 && !config->has_shards);
            const bool is_alike = found != NULL && (i == 1 || strcmp(entry, found) == 0);
            if (is_alike || is_chosen) continue;
            struct text *names = found != NULL && reload_takes(key) ? changed : fixed;
            text_format(names, "%s%s", names->length > 0 ? ", " : "", key);
        }
    }
}

int check_reload(const struct config *config) {
    struct text page = {0}, changed = {0}, fixed = {0};
    struct error error;
    const char *listen = config->expose.listen;
    const char *body = http_client_get(listen, "/status.json", WAIT_MS, &page, &error);
    const char *theirs = body == NULL ? NULL : strstr(body, mark);
    if (theirs == NULL) {
        commands_say("bad  the running instance at http.listen %s does not show its settings: %s",
                     listen, body == NULL ? error.text : "it is another version");
        text_release(&page);
        return 1;
    }
    char *ours = status_settings(config);
    compare(config, theirs + sizeof mark - 1, ours + 1, &changed, &fixed);
    if (changed.length > 0 && fixed.length == 0)
        commands_say("ok   a reload changes %s", text_string(&changed));
    if (fixed.length > 0)
        commands_say("bad  a reload is refused: %s cannot change while rollcall runs; restart it",
                     text_string(&fixed));
    if (changed.length + fixed.length == 0) printf("ok   a reload changes nothing\n");
    printf("ok   passwords and files of certificates are not compared: a reload takes those of "
           "Redis and Kafka\n");
    const int status = fixed.length > 0 ? 1 : 0;
    free(ours);
    text_release(&page);
    text_release(&changed);
    text_release(&fixed);
    return status;
}
