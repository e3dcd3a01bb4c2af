/* Days are compared as texts: in this form their order is that of time. */
#include "core/days.h"

#include <string.h>

#include "core/instant.h"

static bool is_day(const char *text) {
    int64_t day;
    return instant_read_day((struct slice){text, strlen(text)}, &day) != INSTANT_NO_TIME;
}

bool days_set(struct days *days, const char *from, const char *to, struct error *error) {
    *days = (struct days){"", ""};
    if (from != NULL && !is_day(from))
        return error_set(error, "from: \"%.40s\" is not a day; write it as YYYY-MM-DD", from);
    if (to != NULL && !is_day(to))
        return error_set(error, "to: \"%.40s\" is not a day; write it as YYYY-MM-DD", to);
    if (from != NULL && to != NULL && strcmp(from, to) > 0)
        return error_set(error, "from: %s is later than to: %s", from, to);
    if (from != NULL) memcpy(days->from, from, sizeof days->from);
    if (to != NULL) memcpy(days->to, to, sizeof days->to);
    return true;
}

bool days_have(const struct days *days, const char *day) {
    return strcmp(day, days->from) >= 0 && (days->to[0] == '\0' || strcmp(day, days->to) <= 0);
}

bool days_are_all(const struct days *days) {
    return days->from[0] == '\0' && days->to[0] == '\0';
}
