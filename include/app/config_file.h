/* config_file: settings from an INI file. Used by config alone.
 *
 * Threads:  one at a time (libinih's line limit is a global variable).
 * Limits:   CONFIG_FILE_LINE_BYTES a line where libinih lets us choose, else libinih's own limit. A
 *           longer line is an error.
 */
#ifndef APP_CONFIG_FILE_H
#define APP_CONFIG_FILE_H

#include "app/config_sources.h"

enum { CONFIG_FILE_LINE_BYTES = 16 * 1024 };

/* Takes all settings of the file. Keeps path until config_sources_close. */
bool config_file_read(struct config_sources *sources, const char *path, struct error *error);

#endif
