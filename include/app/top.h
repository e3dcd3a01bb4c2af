/* top: how `rollcall top` shows an instance's /status.json.
 *
 * Threads:  one.
 * Limits:   the document is not trusted: whatever is in it, only text comes out.
 */
#ifndef APP_TOP_H
#define APP_TOP_H

#include <stdbool.h>
#include <stddef.h>

#include "app/screen.h"
#include "base/error.h"

enum { TOP_ADDRESS_BYTES = 256, TOP_PATH_BYTES = 512 };

/* Where an instance's status is. */
struct top_place {
    char listen_on[TOP_ADDRESS_BYTES]; /* HOST:PORT */
    char path[TOP_PATH_BYTES];         /* "/status.json", perhaps behind a prefix */
};

/* Takes http://HOST[:PORT][/PREFIX], of which the port is 80 if it is missing. False with an error.
 * Borrows all. */
bool top_find(const char *url, struct top_place *place, struct error *error);

/* Adds the lines of a document to the view. False if it is not an instance's. Borrows all. */
bool top_show(struct screen *screen, const char *document);

#endif
