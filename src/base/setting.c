#include "base/setting.h"

#include <string.h>

bool setting_is_name(const char *text) {
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    return text[strspn(text, allowed)] == '\0';
}

bool setting_is_topic(const char *text) {
    return setting_is_name(text) && strcmp(text, ".") != 0 && strcmp(text, "..") != 0;
}

bool setting_is_printable(const char *text) {
    for (const char *p = text; *p != '\0'; p++) {
        if ((unsigned char)*p <= ' ' || *p == 0x7F) return false;
    }
    return true;
}
