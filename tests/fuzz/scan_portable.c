/* The portable variant of core/scan, which this machine does not use, under other names. */
#define SCAN_PORTABLE
#define scan_init scan_portable_init
#define scan_record scan_portable_record
#include "../../src/core/scan.c"
