/* What config_print writes, taken apart again: one writer decides what is a secret. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/config.h"
#include "app/status.h"
#include "base/memory.h"

/* The effective configuration as config_print writes it, as an object of "section.key": value. */
static void add_settings(const char *lines, struct text *out) {
    char section[256] = "";
    const char *separator = "";
    text_add(out, "{");
    for (const char *line = lines; *line != '\0';
         line += strcspn(line, "\n"), line += *line != '\0') {
        const size_t length = strcspn(line, "\n");
        const char *equals = memmem(line, length, " = ", 3);
        if (*line == '[') {
            snprintf(section, sizeof section, "%.*s", (int)strcspn(line + 1, "]\n"), line + 1);
        } else if (equals != NULL) {
            const char *comment = *line == '#' ? memchr(line, ':', length) : NULL;
            const char *name = comment != NULL ? comment + 2 : line;
            struct text key = {0};
            text_format(&key, "%s.%.*s", section, (int)(equals - name), name);
            text_add(out, separator);
            text_add_json(out, text_string(&key), key.length);
            text_add(out, ": ");
            text_add_json(out, equals + 3, length - (size_t)(equals + 3 - line));
            text_release(&key);
            separator = ",\n ";
        }
    }
    text_add(out, "}");
}

char *status_settings(const struct config *config) {
    struct text json = {0};
    char *lines = NULL;
    size_t bytes = 0;
    FILE *file = open_memstream(&lines, &bytes);
    if (file != NULL) config_print(config, file);
    if (file == NULL || fclose(file) != 0) memory_none();
    add_settings(lines, &json);
    free(lines);
    char *settings = memory_text(text_string(&json));
    text_release(&json);
    return settings;
}
