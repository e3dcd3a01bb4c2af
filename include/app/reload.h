/* reload: what another configuration would change in a running one, and the change.
 *
 * All or nothing: if anything differs that cannot change while rollcall runs, nothing changes.
 *
 * Threads:  the main thread. What it changes, others may read at the same time: settings through
 *           setting_now, secrets through base/secret.
 */
#ifndef APP_RELOAD_H
#define APP_RELOAD_H

#include <stdbool.h>

#include "app/config.h"
#include "base/text.h"

/* Adds the keys that differ, between commas: to `changed` those that a reload takes, and to `fixed`
 * those that need a restart. A secret is named like any other and never shown. Borrows all. */
void reload_compare(const struct config *running, const struct config *fresh, struct text *changed,
                    struct text *fixed);

/* Whether a reload takes a change of "section.key". */
bool reload_takes(const char *key);

/* Reads all sources again, and puts into `running` what they change; adds these keys to `changed`.
 * False: nothing has changed, and the error names the setting that is wrong, or those that need a
 * restart. Borrows all. */
bool reload_apply(struct config *running, const struct options *options, char **envp,
                  struct text *changed, struct error *error);

#endif
