/* login_mutator: makes inputs that are almost logins, which random byte changes hardly ever do. */
#ifndef TESTS_FUZZ_LOGIN_MUTATOR_H
#define TESTS_FUZZ_LOGIN_MUTATOR_H

#include <stddef.h>
#include <stdint.h>

enum { RECORD_END = 0x1e }; /* separates the records of an input */

/* See libFuzzer's FuzzerInterface.h. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

#endif
