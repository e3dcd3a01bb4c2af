/* Lines are not wrapped by the terminal either while a view is written (DECAWM is off): where it
 * counts the columns of a character in another way, nothing breaks. */
#include "app/screen.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include <sys/ioctl.h>
#include <unistd.h>

#include "base/utf8.h"

/* ANSI: to the first line; and the line, or all lines from here on, erased. A line is erased before
 * it is written: behind one that fills the window the cursor still stands on its last character. */
#define TO_BEGIN "\033[?7l\033[H"
#define ERASE_LINE "\033[K"
#define ERASE_BELOW "\n\033[J"
#define TO_END "\033[?7h"

enum { COLUMNS_MIN = 20 };

void screen_begin(struct screen *screen) {
    struct winsize window = {0};
    screen->is_terminal = isatty(STDOUT_FILENO) == 1;
    screen->rows = screen->columns = INT_MAX;
    if (screen->is_terminal) {
        (void)!ioctl(STDOUT_FILENO, TIOCGWINSZ, &window);
        screen->rows = window.ws_row > 0 ? window.ws_row : 24;
        screen->columns = window.ws_col > 0 ? window.ws_col : 80;
        if (screen->columns < COLUMNS_MIN) screen->columns = COLUMNS_MIN;
    }
    screen->used_rows = 0;
    text_clear(&screen->out);
    if (screen->is_terminal)
        text_add(&screen->out, TO_BEGIN);
    else if (screen->view_count > 0)
        text_add(&screen->out, "\n");
    screen->view_count++;
}

/* Adds one character, or the first byte of what is not one, and returns how many bytes it took. */
static size_t put_character(struct text *out, const char *bytes, size_t count, int *columns) {
    const size_t length = utf8_length(bytes, count);
    const bool is_shown = length > 0 && !utf8_is_control(bytes, length);
    if (is_shown)
        text_add_bytes(out, bytes, length);
    else
        text_format(out, "\\x%02x", (unsigned)(unsigned char)*bytes);
    *columns += is_shown ? utf8_columns(utf8_code(bytes, length)) : 4;
    return is_shown ? length : 1;
}

void screen_line(struct screen *screen, struct text *line) {
    struct text *out = &screen->out;
    if (screen->used_rows < screen->rows) {
        int columns = 0;
        if (screen->is_terminal)
            text_add(out, screen->used_rows > 0 ? "\n" ERASE_LINE : ERASE_LINE);
        size_t mark = out->length; /* where the '>' would stand */
        for (size_t i = 0; i < line->length;) {
            i += put_character(out, line->bytes + i, line->length - i, &columns);
            if (columns < screen->columns) mark = out->length;
            if (columns <= screen->columns) continue;
            out->length = mark;
            text_add(out, ">");
            break;
        }
        if (!screen->is_terminal) text_add(out, "\n");
        screen->used_rows++;
    }
    text_clear(line);
}

void screen_sentence(struct screen *screen, struct text *sentence) {
    const size_t room = (size_t)screen->columns;
    const char *rest = text_string(sentence);
    struct text line = {0};
    for (size_t length; (length = strlen(rest)) > 0; rest += length + strspn(rest + length, " ")) {
        if (length > room) {
            const char *space = memrchr(rest, ' ', room + 1);
            length = space == NULL || space == rest ? room : (size_t)(space - rest);
        }
        text_add_bytes(&line, rest, length);
        screen_line(screen, &line);
    }
    text_release(&line);
    text_clear(sentence);
}

bool screen_show(struct screen *screen) {
    if (screen->is_terminal && screen->used_rows < screen->rows)
        text_add(&screen->out, ERASE_BELOW);
    if (screen->is_terminal) text_add(&screen->out, TO_END);
    fwrite(text_string(&screen->out), 1, screen->out.length, stdout);
    return fflush(stdout) == 0 && !ferror(stdout);
}

void screen_release(struct screen *screen) {
    if (screen->is_terminal && screen->view_count > 0) fputs("\n", stdout);
    text_release(&screen->out);
}
