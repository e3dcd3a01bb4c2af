/* document: what is written of commands made up for it. */
#include "app/document.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "app/options.h"

static const struct option_row odd_table[] = {{.name = "odd",
                                               .argument = "Sh",
                                               .help = "it's a [colon]: \\ and\nmore",
                                               .fallback = "a \"b\""},
                                              OPTION_END};
static const struct command odd = {
    .name = "odd",
    .summary = "don't",
    .help = "The first. The second,\n.Sh NOT A HEADING\n'it begins with a quote: a\\b.\n",
    .options = odd_table,
};
static const struct command *const commands[] = {&odd, NULL};

/* To be freed. */
static char *write_document(const char *name) {
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    const struct document *document = document_find(name);
    assert_non_null(document);
    document_write(document, commands, out);
    fclose(out);
    assert_non_null(text);
    return text;
}

static void assert_has(const char *text, const char *part) {
    if (strstr(text, part) == NULL) fail_msg("\"%s\" is not in:\n%s", part, text);
}

static void every_document_is_found_by_its_name(void **state) {
    (void)state;
    const char *name;
    size_t i = 0;
    for (; (name = document_name(i)) != NULL; i++) {
        char *text = write_document(name);
        assert_in_range(strlen(text), 100, 1 << 20);
        assert_int_equal(text[strlen(text) - 1], '\n');
        for (const char *p = text; *p != '\0'; p++)
            assert_true(*p == '\n' || (*p >= ' ' && *p <= '~'));
        free(text);
    }
    assert_int_equal(i, 8);
    assert_null(document_find("Settings"));
    assert_null(document_find(""));
}

static void a_manual_begins_with_its_title(void **state) {
    (void)state;
    char *text = write_document("rollcall.1");
    assert_has(text, "\n.Dt ROLLCALL 1\n.Os\n.Sh NAME\n.Nm rollcall\n.Nd count events");
    free(text);
    text = write_document("rollcall.ini.5");
    assert_has(text, "\n.Dt ROLLCALL.INI 5\n.Os\n.Sh NAME\n.Nm rollcall.ini\n.Nd the config");
    free(text);
}

static void a_text_is_never_a_macro_of_the_manual(void **state) {
    (void)state;
    char *text = write_document("rollcall.1");
    assert_has(text, "The first.\nThe second,\n\\&.Sh NOT A HEADING\n"
                     "\\&'it begins with a quote:\na\\eb.\n");
    assert_has(text, ".It Fl Fl odd Ar \"\\&Sh\"\n");
    assert_has(text, ".Ql \"\\&a \"\"b\"\"\" )\n");
    free(text);
}

static void quotes_of_a_text_do_not_end_those_of_the_shell(void **state) {
    (void)state;
    char *text = write_document("zsh");
    assert_has(text, "'odd:don'\\''t'\n");
    assert_has(text, "'--odd=[it'\\''s a \\[colon\\]\\: \\\\ and]:Sh: '\n");
    free(text);
    text = write_document("fish");
    assert_has(text, "-a odd -d 'don'\\''t'\n");
    assert_has(text, "'http.listen='\\t'address that serves /metrics, ");
    free(text);
    text = write_document("bash");
    assert_has(text, "odd) words=' --odd' ;;\n");
    free(text);
}

/* Where the line that begins here ends; the newline belongs to it. */
static size_t line_bytes(const char *text) {
    const char *end = strchr(text, '\n');
    return end == NULL ? strlen(text) : (size_t)(end - text) + 1;
}

/* Compares line by line; "..." in what is expected stands for lines that may change, or none. */
static void is_as_expected(const char *name, const char *text, const char *expected) {
    bool may_skip = false;
    while (*expected != '\0') {
        const size_t bytes = line_bytes(expected);
        if (bytes == 4 && memcmp(expected, "...\n", 4) == 0) {
            may_skip = true;
            expected += bytes;
            continue;
        }
        while (line_bytes(text) != bytes || memcmp(text, expected, bytes) != 0) {
            if (!may_skip || *text == '\0')
                fail_msg("%s: not \"%.*s\" but: %s", name, (int)bytes, expected, text);
            text += line_bytes(text);
        }
        may_skip = false;
        text += bytes;
        expected += bytes;
    }
    assert_string_equal(text, "");
}

static void the_lines_of_each_document_are_as_expected(void **state) {
    (void)state;
    static const char *const names[] = {"bash", "zsh", "fish", "rollcall.1", "rollcall.ini.5"};
    static char expected[1 << 16];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[64];
        snprintf(path, sizeof path, "app/documents/%s", names[i]);
        FILE *file = fopen(path, "r");
        if (file == NULL) fail_msg("%s is missing", path);
        expected[fread(expected, 1, sizeof expected - 1, file)] = '\0';
        fclose(file);
        char *text = write_document(names[i]);
        is_as_expected(names[i], text, expected);
        free(text);
    }
}

/* ./dev docs writes it there. */
static void the_manual_of_settings_is_as_the_program_has_it(void **state) {
    (void)state;
    static char manual[1 << 18];
    FILE *file = fopen("../../docs/configuration.md", "r");
    assert_non_null(file);
    const size_t length = fread(manual, 1, sizeof manual - 1, file);
    fclose(file);
    manual[length] = '\0';
    const char *settings = strstr(manual, "\n## Settings\n");
    assert_non_null(settings);
    char *text = write_document("configuration.md");
    assert_string_equal(settings + 1, text);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_document_is_found_by_its_name),
        cmocka_unit_test(a_manual_begins_with_its_title),
        cmocka_unit_test(a_text_is_never_a_macro_of_the_manual),
        cmocka_unit_test(quotes_of_a_text_do_not_end_those_of_the_shell),
        cmocka_unit_test(the_lines_of_each_document_are_as_expected),
        cmocka_unit_test(the_manual_of_settings_is_as_the_program_has_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
