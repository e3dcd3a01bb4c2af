#include "app/document.h"

#include <string.h>

#include "app/config.h"
#include "app/options.h"
#include "document_parts.h"

struct document {
    const char *name;
    void (*write_settings)(FILE *out); /* one of the two */
    void (*write_commands)(const struct command *const *commands, FILE *out);
};

static const struct document documents[] = {
    {"settings", config_help, NULL},
    {"configuration.md", config_markdown, NULL},
    {"rollcall.ini", config_file, NULL},
    {"rollcall.ini.5", manual_write_settings, NULL},
    {"rollcall.1", NULL, manual_write_program},
    {"bash", NULL, completion_write_bash},
    {"zsh", NULL, completion_write_zsh},
    {"fish", NULL, completion_write_fish},
};

enum { COUNT = sizeof documents / sizeof *documents };

const struct document *document_find(const char *name) {
    for (size_t i = 0; i < COUNT; i++) {
        if (strcmp(documents[i].name, name) == 0) return &documents[i];
    }
    return NULL;
}

const char *document_name(size_t index) {
    return index < COUNT ? documents[index].name : NULL;
}

void document_write(const struct document *document, const struct command *const *commands,
                    FILE *out) {
    if (document->write_settings != NULL)
        document->write_settings(out);
    else
        document->write_commands(commands, out);
}
