/* screen: one view after the other on the standard output, each of whole lines.
 *
 * On a terminal a view takes the place of the one before and fits the window: what is too wide ends
 * in '>', what is too high is left out. Elsewhere views stand one below the other, whole, with an
 * empty line between. Nothing that is shown can steer a terminal: control characters, and what is
 * not UTF-8, come out as \xNN.
 *
 * Threads:  one.
 * Waits:    for the reader of the standard output.
 */
#ifndef APP_SCREEN_H
#define APP_SCREEN_H

#include "base/text.h"

struct screen { /* all zero before the first view */
    bool is_terminal;
    int rows, columns; /* of the window; INT_MAX where there is none */
    int used_rows;
    int view_count;
    struct text out;
};

/* Begins a view, in the window as it is now. */
void screen_begin(struct screen *screen);

/* Add a line, or a sentence on as many lines as it takes; and empty the text. */
void screen_line(struct screen *screen, struct text *line);
void screen_sentence(struct screen *screen, struct text *sentence);

/* Shows the view. False if the standard output takes no more. */
bool screen_show(struct screen *screen);

/* Leaves the last view where it is. */
void screen_release(struct screen *screen);

#endif
