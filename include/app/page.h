/* page: the status page: HTML, a stylesheet and a script, which are embedded at build time.
 *
 * Place:    behind expose. The script makes all of it from /status.json.
 * Threads:  any.
 *
 * Without JavaScript the page has the same document as tables: PAGE_ROWS_MAX rows of each.
 */
#ifndef APP_PAGE_H
#define APP_PAGE_H

#include "base/text.h"

enum { PAGE_ROWS_MAX = 100 };

/* Adds the page, with the tables of a document as app/status makes it, which it borrows. */
void page_html(const char *json, struct text *html);

/* Adds the tables alone. Values of the document are only ever text. */
void page_tables(const char *json, struct text *html);

const char *page_style(void);
const char *page_script(void);

#endif
