/* version: which program this is, and which libraries it runs with. */
#ifndef APP_VERSION_H
#define APP_VERSION_H

#include <stdio.h>

/* Writes "rollcall 0.1.0" and a line for each library. Borrows out. */
void version_print(FILE *out);

#endif
