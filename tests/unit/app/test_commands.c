/* commands: signals, and the versions that are shown. */
#include "app/commands.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/parse.h"

static void an_ignored_sighup_stays_ignored(void **state) {
    (void)state;
    signal(SIGHUP, SIG_IGN);
    commands_catch_signals(false);
    raise(SIGHUP);
    assert_false(commands_are_stopped());
    signal(SIGHUP, SIG_DFL);
}

static void sighup_asks_for_the_end(void **state) {
    (void)state;
    commands_catch_signals(false);
    raise(SIGHUP);
    assert_true(commands_are_stopped());
}

static void versions_are_those_in_use_or_marked(void **state) {
    (void)state;
    char *text = NULL, line[64];
    size_t count = 0;
    FILE *stream = open_memstream(&text, &count);
    commands_print_version(stream);
    fclose(stream);
    snprintf(line, sizeof line, "\njansson %s\n", parse_library_version());
    assert_non_null(strstr(text, line));
    assert_non_null(strstr(text, "\nhiredis "));
    for (char *p = text; (p = strchr(p, '\n')) != NULL && p[1] != '\0'; p++) {
        const bool has_no_call =
            strncmp(p + 1, "hiredis", 7) == 0 || strncmp(p + 1, "liburcu", 7) == 0;
        const char *mark = strstr(p + 1, " (at build time)\n");
        assert_int_equal(mark != NULL && mark == p + strcspn(p + 1, "(\n"), has_no_call);
    }
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_ignored_sighup_stays_ignored),
        cmocka_unit_test(sighup_asks_for_the_end),
        cmocka_unit_test(versions_are_those_in_use_or_marked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
