/* days: a range of UTC days.
 *
 * Place:    what a snapshot is asked for.
 * Threads:  any.
 */
#ifndef CORE_DAYS_H
#define CORE_DAYS_H

#include <stdbool.h>

#include "base/error.h"
#include "core/login.h"

/* Both days are included, as YYYY-MM-DD; "" is no bound, so all zero is every day. */
struct days {
    char from[LOGIN_DAY_BYTES], to[LOGIN_DAY_BYTES];
};

/* Sets it; NULL is no bound. False if one is not a day, or they are in the wrong order; the error
 * has the reason. Borrows all. */
bool days_set(struct days *days, const char *from, const char *to, struct error *error);

/* Whether a day, as login_day_format writes it, is in the range. */
bool days_have(const struct days *days, const char *day);

/* Whether it is every day. */
bool days_are_all(const struct days *days);

#endif
