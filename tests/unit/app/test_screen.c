/* screen: views on a terminal and elsewhere. */
#include "app/screen.h"

#include <pty.h>

#include "app/captured.h"

static int terminal, screen_side; /* a pseudo-terminal's two ends */
static struct screen screen;

static void open_terminal(unsigned short rows, unsigned short columns) {
    const struct winsize size = {.ws_row = rows, .ws_col = columns};
    assert_int_equal(openpty(&terminal, &screen_side, NULL, NULL, &size), 0);
    capture_on(screen_side);
    screen_begin(&screen);
    capture_off();
}

static void close_terminal(void) {
    close(terminal);
    close(screen_side);
    text_release(&screen.out);
    screen = (struct screen){.rows = 0};
}

static void add(const char *words) {
    struct text line = {0};
    text_add(&line, words);
    screen_line(&screen, &line);
    assert_int_equal(line.length, 0);
    text_release(&line);
}

static void add_sentence(const char *words) {
    struct text line = {0};
    text_add(&line, words);
    screen_sentence(&screen, &line);
    assert_int_equal(line.length, 0);
    text_release(&line);
}

static void views_stand_one_below_the_other(void **state) {
    (void)state;
    struct text wide = {0};
    for (int i = 0; i < 500; i++)
        text_add(&wide, "wide");
    capture_begin();
    for (int i = 0; i < 2; i++) {
        screen_begin(&screen);
        assert_false(screen.is_terminal);
        add("one");
        add("");
        add(text_string(&wide));
        add_sentence("a sentence of words");
        assert_int_equal(screen.used_rows, 4);
        assert_true(screen_show(&screen));
    }
    screen_release(&screen);
    capture_end();
    char expected[8192];
    snprintf(expected, sizeof expected, "one\n\n%s\na sentence of words\n", text_string(&wide));
    const size_t length = strlen(expected);
    assert_int_equal(strncmp(captured, expected, length), 0);
    assert_int_equal(captured[length], '\n');
    assert_string_equal(captured + length + 1, expected);
    text_release(&wide);
    screen = (struct screen){.rows = 0};
}

static void a_view_on_a_terminal_fits_its_window(void **state) {
    (void)state;
    open_terminal(3, 20);
    assert_true(screen.is_terminal);
    assert_int_equal(screen.rows, 3);
    assert_int_equal(screen.columns, 20);
    add("12345678901234567890"); /* just fits */
    add("123456789012345678901");
    add("\xc3\xa4\xc3\xa4"
        "345678901234567890");
    add("left out");
    assert_string_equal(text_string(&screen.out), "\033[?7l\033[H\033[K"
                                                  "12345678901234567890\n"
                                                  "\033[K1234567890123456789>\n"
                                                  "\033[K\xc3\xa4\xc3\xa4"
                                                  "345678901234567890");
    assert_int_equal(screen.used_rows, 3);
    close_terminal();
}

static void wide_characters_take_two_columns_and_marks_none(void **state) {
    (void)state;
    open_terminal(4, 20);
    add("\u65e5\u672c\u8a9e\u65e5\u672c\u8a9e\u65e5\u672c\u8a9e\u65e5"); /* just fits */
    add("\u65e5\u672c\u8a9e\u65e5\u672c\u8a9e\u65e5\u672c\u8a9e\u65e5x");
    add("e\u0301e\u0301345678901234567890");
    add("\U0001f4f1\U0001f4f1567890123456789\u65e5"); /* half of the last one would not fit */
    assert_string_equal(text_string(&screen.out),
                        "\033[?7l\033[H\033[K"
                        "\u65e5\u672c\u8a9e\u65e5\u672c\u8a9e\u65e5\u672c\u8a9e\u65e5\n"
                        "\033[K\u65e5\u672c\u8a9e\u65e5\u672c\u8a9e\u65e5\u672c\u8a9e>\n"
                        "\033[Ke\u0301e\u0301345678901234567890\n"
                        "\033[K\U0001f4f1\U0001f4f1567890123456789>");
    close_terminal();
}

static void a_window_has_a_least_width_and_a_usual_size(void **state) {
    (void)state;
    open_terminal(1, 5);
    assert_int_equal(screen.columns, 20);
    assert_int_equal(screen.rows, 1);
    close_terminal();
    open_terminal(0, 0);
    assert_int_equal(screen.columns, 80);
    assert_int_equal(screen.rows, 24);
    close_terminal();
}

static void nothing_steers_the_terminal(void **state) {
    (void)state;
    open_terminal(5, 20);
    add("a\033[2Jb\xff\x7f");
    add("123456789012345678\001"); /* four columns for one byte do not fit */
    add("\xc2\x9b"
        "2J\u202e");
    assert_string_equal(text_string(&screen.out), "\033[?7l\033[H\033[K"
                                                  "a\\x1b[2Jb\\xff\\x7f\n"
                                                  "\033[K123456789012345678>\n"
                                                  "\033[K\\xc2\\x9b2J\\xe2\\x80>");
    close_terminal();
}

static void a_sentence_is_broken_between_words(void **state) {
    (void)state;
    open_terminal(9, 20);
    add_sentence("seventeen letters is too long for a line of aaaaaaaaaaaaaaaaaaaaaaaaa");
    assert_string_equal(text_string(&screen.out), "\033[?7l\033[H\033[K"
                                                  "seventeen letters is\n"
                                                  "\033[Ktoo long for a line\n"
                                                  "\033[Kof\n"
                                                  "\033[Kaaaaaaaaaaaaaaaaaaaa\n"
                                                  "\033[Kaaaaa");
    assert_int_equal(screen.used_rows, 5);
    close_terminal();
}

static void a_view_takes_the_place_of_the_one_before(void **state) {
    (void)state;
    static const char wanted[] = "\033[?7l\033[H\033[Kx\r\n\033[J\033[?7h\r\n";
    char shown[256] = "";
    open_terminal(5, 20);
    add("x");
    capture_on(screen_side);
    assert_true(screen_show(&screen));
    screen_begin(&screen);
    assert_string_equal(text_string(&screen.out), "\033[?7l\033[H");
    screen_release(&screen);
    capture_off();
    for (size_t length = 0; length < sizeof wanted - 1;) { /* a terminal may give it in pieces */
        const ssize_t count = read(terminal, shown + length, sizeof shown - 1 - length);
        assert_true(count > 0);
        length += (size_t)count;
    }
    assert_string_equal(shown, wanted);
    close(terminal);
    close(screen_side);
    screen = (struct screen){.rows = 0};
}

static void what_is_not_taken_is_noticed(void **state) {
    (void)state;
    FILE *full = fopen("/dev/full", "w");
    assert_non_null(full);
    capture_on(fileno(full));
    screen_begin(&screen);
    add("x");
    const bool is_shown = screen_show(&screen);
    clearerr(stdout);
    capture_off();
    assert_false(is_shown);
    fclose(full);
    text_release(&screen.out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(views_stand_one_below_the_other),
        cmocka_unit_test(a_view_on_a_terminal_fits_its_window),
        cmocka_unit_test(wide_characters_take_two_columns_and_marks_none),
        cmocka_unit_test(a_window_has_a_least_width_and_a_usual_size),
        cmocka_unit_test(nothing_steers_the_terminal),
        cmocka_unit_test(a_sentence_is_broken_between_words),
        cmocka_unit_test(a_view_takes_the_place_of_the_one_before),
        cmocka_unit_test(what_is_not_taken_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
