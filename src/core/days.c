/* Days are compared as texts: in this form their order is that of time. */
#include "core/days.h"

#include <stdlib.h>
#include <string.h>

static bool is_day(const char *text) {
    static const unsigned long days_of[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    static const char digits[] = "0123456789";
    if (strlen(text) != LOGIN_DAY_BYTES - 1 || strspn(text, digits) != 4 ||
        strspn(text + 5, digits) != 2 || strspn(text + 8, digits) != 2 || text[4] != '-' ||
        text[7] != '-') {
        return false;
    }
    const unsigned long year = strtoul(text, NULL, 10), month = strtoul(text + 5, NULL, 10),
                        day = strtoul(text + 8, NULL, 10);
    const bool is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return month >= 1 && month <= 12 && day >= 1 && day <= days_of[month - 1] &&
           (month != 2 || day < 29 || is_leap);
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
