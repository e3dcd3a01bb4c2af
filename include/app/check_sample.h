/* check_sample: `rollcall check --sample N`.
 *
 * Threads:  the main thread.
 */
#ifndef APP_CHECK_SAMPLE_H
#define APP_CHECK_SAMPLE_H

#include <stddef.h>

#include "app/config.h"

/* Prints how the newest `max` records of the input would be judged, and settings under which more
 * would be accepted. Answers the exit status: 0 if all would be. */
int check_sample(const struct config *config, size_t max);

#endif
