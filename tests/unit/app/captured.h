/* captured: what a command writes to the standard output. */
#ifndef TESTS_CAPTURED_H
#define TESTS_CAPTURED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char captured[1 << 16];
static int captured_stdout = -1, captured_file = -1;

/* Until capture_end, the standard output is this descriptor. */
static inline void capture_on(int descriptor) {
    fflush(stdout);
    captured_stdout = dup(STDOUT_FILENO);
    dup2(descriptor, STDOUT_FILENO);
}

static inline void capture_off(void) {
    fflush(stdout);
    dup2(captured_stdout, STDOUT_FILENO);
    close(captured_stdout);
}

static inline void capture_begin(void) {
    char path[] = "/tmp/rollcall-captured-XXXXXX";
    captured_file = mkstemp(path);
    assert_true(captured_file >= 0);
    unlink(path);
    capture_on(captured_file);
}

/* Puts the text into captured. */
static inline void capture_end(void) {
    capture_off();
    const ssize_t count = pread(captured_file, captured, sizeof captured - 1, 0);
    assert_true(count >= 0);
    captured[count] = '\0';
    close(captured_file);
}

/* Whether what was captured has this text. */
static inline void shows(const char *text) {
    if (strstr(captured, text) == NULL) fail_msg("\"%s\" is not in:\n%s", text, captured);
}

static inline void shows_not(const char *text) {
    if (strstr(captured, text) != NULL) fail_msg("\"%s\" is in:\n%s", text, captured);
}

#endif
