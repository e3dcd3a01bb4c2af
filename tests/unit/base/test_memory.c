/* memory: what it answers is ready for use, or the process ends. */
#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void structs_are_zeroed_and_on_lines_of_their_own(void **state) {
    (void)state;
    for (size_t bytes = 1; bytes < 300; bytes += 7) {
        char *memory = memory_create(bytes);
        assert_int_equal((uintptr_t)memory % CACHE_LINE_BYTES, 0);
        for (size_t i = 0; i < bytes; i++)
            assert_int_equal(memory[i], 0);
        memset(memory, 0xFF, bytes);
        free(memory);
    }
}

static void growing_keeps_what_was_there(void **state) {
    (void)state;
    char *text = memory_text("seven");
    text = memory_grow(text, 100000);
    assert_string_equal(text, "seven");
    free(text);
}

static void without_memory_the_process_ends_and_says_so(void **state) {
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    const pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        memory_grow(NULL, SIZE_MAX / 4);
        _exit(0);
    }
    close(ends[1]);
    char said[4096] = "";
    assert_true(read(ends[0], said, sizeof said - 1) > 0);
    close(ends[0]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_not_equal(status, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(structs_are_zeroed_and_on_lines_of_their_own),
        cmocka_unit_test(growing_keeps_what_was_there),
        cmocka_unit_test(without_memory_the_process_ends_and_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
