/* config_environment: settings from ROLLCALL_<SECTION>_<KEY>. Used by config alone.
 *
 * The variables that Kubernetes sets for a service called rollcall are not ours, and left alone:
 * ROLLCALL_PORT=tcp://..., ROLLCALL_SERVICE_HOST, ROLLCALL_REDIS_PORT_6379_TCP_ADDR, and the like.
 */
#ifndef APP_CONFIG_ENVIRONMENT_H
#define APP_CONFIG_ENVIRONMENT_H

#include "app/config_sources.h"

/* Takes all settings of envp, which ends in NULL. Keeps its strings until config_sources_close. */
bool config_environment_read(struct config_sources *sources, char **envp, struct error *error);

#endif
