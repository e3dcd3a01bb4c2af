/* redis_survey: what is to be known of Redis before it is relied on, as lines for people: version,
 * role, replicas and their lag, policy, memory, persistence, Sentinels and their quorum, the slot.
 *
 * Place:    `rollcall check`, once Redis was found fit.
 * Threads:  one.
 * Waits:    redis.timeout_ms for each reply, and 1 s for each of a Sentinel's.
 */
#ifndef EDGE_REDIS_SURVEY_H
#define EDGE_REDIS_SURVEY_H

#include <stdbool.h>

#include "edge/redis_link.h"

/* Gets one line, without its end; borrows it. */
typedef void redis_survey_say(void *context, bool is_good, const char *line);

/* Asks, and says what it finds. What Redis does not tell is left out. Borrows all. */
void redis_survey(const struct redis_settings *settings, redis_survey_say *say, void *context);

#endif
