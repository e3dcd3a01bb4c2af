/* libinih asks for lines one by one; they are counted and looked at on their way to it. */
#include "app/config_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <ini.h>

#include "base/error.h"
#include "base/memory.h"

struct ini_input {
    struct config_sources *sources;
    struct config_place place; /* of the line that libinih sees now */
    FILE *file;
    char *line; /* of twice what libinih takes: indented ones become shorter */
    struct error *error;
    bool is_wrong; /* the error says why; nothing more is read */
};

/* libinih would take an empty section of any name; so look here. */
static bool check_heading(struct ini_input *input, const char *line) {
    char section[64];
    const size_t count = strcspn(line + 1, "]\r\n");
    if (line[1 + count] != ']') return true; /* libinih says that it is malformed */
    snprintf(section, sizeof section, "%.*s", (int)count, line + 1);
    if (config_keys_has_section(section, NULL)) return true;
    return config_sources_refuse_section(&input->place, section, input->error);
}

/* As getline, but of a line without an end it reads no more than `max` bytes. */
static size_t read_line(struct ini_input *input, size_t max) {
    size_t count = 0;
    if (input->line == NULL) input->line = memory_create(max + 1);
    for (int c; count < max && (c = getc(input->file)) != EOF;) {
        input->line[count++] = (char)c;
        if (c == '\n') break;
    }
    input->line[count] = '\0';
    return count;
}

/* What libinih calls instead of fgets. It sees no indentation: to libinih an indented line is one
 * more value of the key before it, which nobody means. */
static char *next_line(char *out, int out_bytes, void *stream) {
    struct ini_input *input = stream;
    if (input->is_wrong) return NULL;
    const size_t count = read_line(input, 2 * (size_t)out_bytes);
    if (count == 0) return NULL;
    input->place.line++;
    char here[CONFIG_PLACE_BYTES];
    config_sources_describe(&input->place, here);
    const char *line = input->line + strspn(input->line, " \t");
    const size_t line_bytes = count - (size_t)(line - input->line);
    if (memchr(input->line, '\0', count) != NULL) {
        input->is_wrong = !error_set(input->error, "%s: a NUL byte", here);
    } else if (line_bytes + 1 > (size_t)out_bytes) {
        static const char text[] = "%s: longer than %d bytes; set it in the environment or by -X";
        input->is_wrong = !error_set(input->error, text, here, out_bytes - 1);
    } else if (line[0] == '[') {
        input->is_wrong = !check_heading(input, line);
    }
    if (input->is_wrong) return NULL;
    memcpy(out, line, line_bytes + 1);
    return out;
}

static int take_ini(void *user, const char *section, const char *name, const char *value) {
    struct ini_input *input = user;
    if (name == NULL || input->is_wrong) return 1;
    input->is_wrong =
        !config_sources_take(input->sources, &input->place, section, name, value, input->error);
    return input->is_wrong ? 0 : 1;
}

bool config_file_read(struct config_sources *sources, const char *path, struct error *error) {
    struct ini_input input = {
        .sources = sources,
        .place = {.origin = CONFIG_FILE, .name = path},
        .file = fopen(path, "re"),
        .error = error,
    };
    if (input.file == NULL) return error_set(error, "cannot read %s: %m", path);
#ifdef HAVE_INI_MAX_LINE
    ini_max_line = CONFIG_FILE_LINE_BYTES;
#endif
    const int wrong_line = ini_parse_stream(next_line, &input, take_ini, &input);
    if (ferror(input.file)) {
        input.is_wrong = !error_set(error, "cannot read %s: %m", path);
    } else if (wrong_line > 0 && (!input.is_wrong || wrong_line < input.place.line)) {
        input.is_wrong = !error_set(error, "%s:%d: neither [section], key = value nor a comment",
                                    path, wrong_line);
    } else if (wrong_line < 0) {
        input.is_wrong = !error_set(error, "out of memory");
    }
    free(input.line);
    fclose(input.file);
    return !input.is_wrong;
}
