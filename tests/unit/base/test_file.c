/* file: what is read of it, and what is not. */
#include "base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"

static char path[] = "/tmp/test_file_XXXXXX";

static int make(void **state) {
    (void)state;
    const int file = mkstemp(path);
    return file < 0 || close(file) != 0;
}

static int drop(void **state) {
    (void)state;
    return unlink(path);
}

static void put(const void *bytes, size_t count) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    assert_int_equal(fclose(file), 0);
}

static void reads(size_t max_bytes, const char *expected) {
    struct error error = {""};
    char *text = file_read(path, max_bytes, &error);
    if (text == NULL) fail_msg("%s", error.text);
    assert_string_equal(text, expected);
    free(text);
}

static void refuses(size_t max_bytes, const char *why) {
    struct error error = {""};
    assert_null(file_read(path, max_bytes, &error));
    assert_non_null(strstr(error.text, path));
    if (strstr(error.text, why) == NULL) fail_msg("\"%s\" lacks \"%s\"", error.text, why);
}

static void *write_late(void *context) {
    const int fd = open(context, O_WRONLY); /* waits for the reader */
    clock_sleep_ms(100);
    assert_int_equal(write(fd, "in two ", 7), 7);
    clock_sleep_ms(100);
    assert_int_equal(write(fd, "pieces", 6), 6);
    assert_int_equal(close(fd), 0);
    return NULL;
}

/* The shell's <(...) is one. */
static void a_pipe_is_read_to_its_end(void **state) {
    (void)state;
    pthread_t writer;
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(pthread_create(&writer, NULL, write_late, path), 0);
    reads(100, "in two pieces");
    pthread_join(writer, NULL);
    const int64_t began_ms = clock_ms();
    refuses(100, "it is a pipe, and nothing came within 5 s");
    assert_true(clock_ms() < began_ms + 4 * FILE_WAIT_MS);
    assert_int_equal(file_digest(path, 7), file_digest("/nowhere", 7)); /* nor waits */
    assert_int_equal(unlink(path), 0);
    put("", 0);
}

static void a_file_is_read_up_to_its_limit(void **state) {
    (void)state;
    put("", 0);
    reads(0, "");
    reads(5, "");
    put("12345", 5);
    reads(5, "12345");
    reads(500, "12345");
    refuses(4, "is longer than 4 bytes");
    refuses(0, "is longer than 0 bytes");
}

static void what_is_no_text_is_refused(void **state) {
    (void)state;
    put("a\0b", 3);
    refuses(9, "holds a NUL byte");
    put("\xff\xfe"
        "a\0",
        4);
    refuses(9, "is in UTF-16");
    put("\xfe\xff\0a", 4);
    refuses(9, "is in UTF-16");
    put("\xff\xfe", 2);
    refuses(9, "is in UTF-16");
    put("\xff", 1); /* no more than odd */
    reads(9, "\xff");
}

static void what_cannot_be_read_is_named(void **state) {
    (void)state;
    struct error error = {""};
    assert_null(file_read("/nowhere/at/all", 9, &error));
    assert_string_equal(error.text, "cannot read /nowhere/at/all: No such file or directory");
    assert_null(file_read("/tmp", 9, &error));
    assert_string_equal(error.text, "cannot read /tmp: Is a directory");
}

static void a_secret_is_cleaned_and_not_empty(void **state) {
    (void)state;
    static const char *const files[][2] = {
        {"secret", "secret"},       {"secret\n", "secret"},
        {"secret\r\n\n", "secret"}, {"\xEF\xBB\xBFsecret\r", "secret"},
        {" a b \t\n", " a b \t"},   {"a\nb\n", "a\nb"},
        {"\xEF\xBB", "\xEF\xBB"}};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct error error = {""};
        put(files[i][0], strlen(files[i][0]));
        char *secret = file_read_secret(path, &error);
        assert_non_null(secret);
        assert_string_equal(secret, files[i][1]);
        free(secret);
    }
    static const char *const empty[] = {"", "\n", "\r\n\r\n", "\xEF\xBB\xBF", "\xEF\xBB\xBF\n"};
    for (size_t i = 0; i < sizeof empty / sizeof *empty; i++) {
        struct error error = {""};
        put(empty[i], strlen(empty[i]));
        assert_null(file_read_secret(path, &error));
        assert_non_null(strstr(error.text, "is empty"));
    }
    struct error error = {""};
    char *large = calloc(1, FILE_SECRET_BYTES + 1);
    memset(large, 's', FILE_SECRET_BYTES + 1);
    put(large, FILE_SECRET_BYTES);
    char *secret = file_read_secret(path, &error);
    assert_non_null(secret);
    free(secret);
    put(large, FILE_SECRET_BYTES + 1);
    assert_null(file_read_secret(path, &error));
    free(large);
}

static uint64_t digest_of(const char *bytes) {
    put(bytes, strlen(bytes));
    return file_digest(path, 1);
}

static void another_content_is_another_digest(void **state) {
    (void)state;
    const uint64_t digest = digest_of("one");
    assert_true(digest_of("one") == digest);
    assert_true(digest_of("two") != digest);
    assert_true(digest_of("one\n") != digest);
    assert_true(digest_of("") == file_digest("/nowhere/at/all", 1));
    put("one", 3);
    assert_true(file_digest(path, 2) != digest);
    assert_true(file_digest_text("ab", file_digest_text("c", 0)) !=
                file_digest_text("b", file_digest_text("ca", 0)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_read_up_to_its_limit),
        cmocka_unit_test(a_pipe_is_read_to_its_end),
        cmocka_unit_test(what_is_no_text_is_refused),
        cmocka_unit_test(what_cannot_be_read_is_named),
        cmocka_unit_test(a_secret_is_cleaned_and_not_empty),
        cmocka_unit_test(another_content_is_another_digest),
    };
    return cmocka_run_group_tests(tests, make, drop);
}
