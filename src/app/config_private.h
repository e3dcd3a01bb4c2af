/* config_private: what src/app/config*.c share beyond the contract in include/app/config.h. */
#ifndef APP_CONFIG_PRIVATE_H
#define APP_CONFIG_PRIVATE_H

#include <stdio.h>

#include "base/setting.h"

/* librdkafka's properties that have another default here. A flag of theirs: only with
 * group.protocol=classic; else the broker decides. */
enum { CONFIG_CLASSIC_ONLY = 1 << 8 };

extern const struct setting config_properties[];

/* Writes a value as a file has it: in quotes where it would be read otherwise. */
void config_print_text(const char *text, FILE *out);

#endif
