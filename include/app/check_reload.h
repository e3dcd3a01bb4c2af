/* check_reload: what SIGHUP would do to the running instance.
 *
 * Threads:  the main thread.
 * Waits:    some seconds for the instance.
 */
#ifndef APP_CHECK_RELOAD_H
#define APP_CHECK_RELOAD_H

#include "app/config.h"

/* Compares the configuration with the settings that the instance at its http.listen shows. Prints
 * which of them a reload would change, and which it would be refused for. Returns the exit status:
 * 0 if it would be taken. Borrows config. */
int check_reload(const struct config *config);

#endif
