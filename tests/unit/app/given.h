/* given: a configuration from what a test sets, taken or refused. */
#ifndef TESTS_UNIT_APP_GIVEN_H
#define TESTS_UNIT_APP_GIVEN_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "app/config.h"
#include "app/options.h"
#include "base/error.h"

static char file_path[] = "/tmp/test_config_XXXXXX";
static char secret_path[] = "/tmp/test_secret_XXXXXX";

static inline int make_files(void **state) {
    (void)state;
    const int file = mkstemp(file_path);
    const int secret = mkstemp(secret_path);
    return file < 0 || secret < 0 || close(file) != 0 || close(secret) != 0;
}

static inline int remove_files(void **state) {
    (void)state;
    return unlink(file_path) != 0 || unlink(secret_path) != 0;
}

static inline void write_bytes(const char *path, const char *bytes, size_t count) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    assert_int_equal(fclose(file), 0);
}

/* What a test sets: a file's text or path, one environment, some -X; each may be left out. */
struct given {
    const char *file;
    const char *path;
    bool is_verbose, is_quiet;
    const char *environment[4];
    const char *overrides[4];
};

static inline struct config *create(const struct given *given, struct error *error) {
    static struct options options;
    options = (struct options){
        .config_path = given->path, .is_verbose = given->is_verbose, .is_quiet = given->is_quiet};
    char *envp[8] = {(char *)(uintptr_t) "PATH=/bin"};
    for (int i = 0; i < 4; i++) {
        envp[i + 1] = (char *)(uintptr_t)given->environment[i];
        options.overrides[i] = given->overrides[i];
        if (given->overrides[i] != NULL) options.override_count++;
    }
    if (given->file != NULL) {
        write_bytes(file_path, given->file, strlen(given->file));
        options.config_path = file_path;
    }
    return config_create(&options, envp, error);
}

static inline struct config *taken(struct given given) {
    struct error error = {""};
    struct config *config = create(&given, &error);
    if (config == NULL) fail_msg("%s", error.text);
    return config;
}

/* The error says all of the words, which are separated by '|'; %f stands for the file's path. */
static inline void refused(struct given given, const char *words) {
    struct error error = {""};
    struct config *config = create(&given, &error);
    if (config != NULL) fail_msg("taken, though it should say: %s", words);
    if (strchr(error.text, '\n') != NULL) fail_msg("more than one line: %s", error.text);
    char copy[512];
    snprintf(copy, sizeof copy, "%s", words);
    char *rest = copy;
    for (char *word = strsep(&rest, "|"); word != NULL; word = strsep(&rest, "|")) {
        char expected[512];
        if (strncmp(word, "%f", 2) == 0) {
            snprintf(expected, sizeof expected, "%s%s", file_path, word + 2);
        } else {
            snprintf(expected, sizeof expected, "%s", word);
        }
        if (strstr(error.text, expected) == NULL) {
            fail_msg("\"%s\" does not say \"%s\"", error.text, expected);
        }
    }
}

#define TAKEN(...) taken((struct given){__VA_ARGS__})
#define REFUSED(words, ...) refused((struct given){__VA_ARGS__}, words)
#define ENV(...) .environment = {__VA_ARGS__}
#define X(...) .overrides = {__VA_ARGS__}

#endif
