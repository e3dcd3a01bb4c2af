/* What a log must look like to be the one that was read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/lineage.h"

static struct lineage read_as(const char *text) {
    struct lineage lineage;
    assert_true(lineage_parse(text, &lineage));
    return lineage;
}

static void expect(const struct lineage *lineage, const char *text) {
    char found[LINEAGE_TEXT_BYTES];
    lineage_format(lineage, found);
    assert_string_equal(found, text);
}

static void an_epoch_begins_where_it_is_first_seen(void **state) {
    (void)state;
    struct lineage lineage = {0};
    assert_int_equal(lineage_epoch(&lineage), LINEAGE_NO_EPOCH);
    for (int64_t offset = 40; offset < 50; offset++)
        lineage_add(&lineage, offset, offset < 45 ? 3 : 7);
    expect(&lineage, "0:49:3@40,7@45");
    assert_int_equal(lineage_epoch(&lineage), 7);
}

static void records_without_an_epoch_say_nothing(void **state) {
    (void)state;
    struct lineage lineage = {0};
    lineage_add(&lineage, 4, LINEAGE_NO_EPOCH);
    assert_int_equal(lineage.count, 0);
    assert_true(lineage_matches(&lineage, 4, 9));
}

static void the_newest_epochs_are_kept(void **state) {
    (void)state;
    struct lineage lineage = {0};
    for (int32_t epoch = 0; epoch < LINEAGE_SPANS_MAX + 2; epoch++)
        lineage_add(&lineage, 10 * epoch, epoch);
    assert_int_equal(lineage.count, LINEAGE_SPANS_MAX);
    assert_int_equal(lineage.spans[0].begin, 20);
    assert_int_equal(lineage_epoch(&lineage), LINEAGE_SPANS_MAX + 1);
}

static void an_offset_matches_by_its_epoch(void **state) {
    (void)state;
    const struct lineage lineage = read_as("0:49:3@40,7@45");
    assert_true(lineage_matches(&lineage, 44, 3));
    assert_false(lineage_matches(&lineage, 44, 7));
    assert_false(lineage_matches(&lineage, 44, 2));
    assert_true(lineage_matches(&lineage, 45, 7));
    assert_false(lineage_matches(&lineage, 45, 6));
    assert_false(lineage_matches(&lineage, 45, 8));
}

static void below_what_is_known_only_a_higher_epoch_is_another_log(void **state) {
    (void)state;
    const struct lineage lineage = read_as("0:49:3@40,7@45");
    assert_true(lineage_matches(&lineage, 39, 3));
    assert_true(lineage_matches(&lineage, 0, 1));
    assert_false(lineage_matches(&lineage, 39, 4));
}

static void a_cut_forgets_what_was_behind_it(void **state) {
    (void)state;
    struct lineage lineage = read_as("1:49:3@40,7@45");
    lineage_cut(&lineage, 46, 7);
    expect(&lineage, "2:46:3@40,7@45");
    lineage_cut(&lineage, 43, 3);
    expect(&lineage, "3:43:3@40");
    lineage_cut(&lineage, 20, 2);
    expect(&lineage, "4:20:2@20");
    lineage_cut(&lineage, -1, LINEAGE_NO_EPOCH);
    expect(&lineage, "5:");
}

static void going_back_leaves_what_lies_below(void **state) {
    (void)state;
    static const struct {
        const char *text, *tip;
        int64_t watermark, back;
        const char *left;
    } cases[] = {
        {"0:79:3@0,4@60", "0:59:3@0", 60, 60, "0:59:3@0"},
        {"0:79:3@0,4@70", "0:58:3@0", 60, 60, "0:58:3@0"}, /* the log has holes */
        {"0:79:3@0", "0:59:3@0", 60, 60, "0:59:3@0"},
        {"0:79:4@60", "0:", 60, 60, "0:"},
        {"0:79:5@60,6@70", "0:59:3@0", 60, 60, "0:"}, /* too many since */
        /* cut off since, and grown */
        {"1:69:2@0,3@10,4@55", "0:59:3@10", 60, 55, "1:10:2@0,3@10"},
        {"1:69:2@0,4@8", "0:59:3@10", 60, 8, "1:0:2@0"},
        {"1:69:4@8", "0:59:3@10", 60, 8, "1:"},
        {"1:54:3@10", "0:59:3@10", 60, 60, "1:10:3@10"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lineage lineage, earlier;
        char text[LINEAGE_TEXT_BYTES];
        assert_true(lineage_parse(cases[i].text, &lineage));
        assert_true(lineage_parse(cases[i].tip, &earlier));
        assert_int_equal(lineage_go_back(&lineage, cases[i].watermark, lineage_tip(&earlier)),
                         cases[i].back);
        lineage_format(&lineage, text);
        assert_string_equal(text, cases[i].left);
    }
}

/* The last record may be the first of its epoch, and none comes before that. */
static void a_last_record_is_not_before_its_epoch(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool is_right;
    } rows[] = {{"0:9:3@9", true},
                {"0:9:3@10", false},
                {"0:9:3@0,4@9", true},
                {"0:9:3@0,4@10", false},
                {"0:0:3@0", true}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct lineage lineage;
        if (lineage_parse(rows[i].text, &lineage) != rows[i].is_right) fail_msg("%s", rows[i].text);
    }
}

static void what_is_no_text_of_a_lineage_is_rejected(void **state) {
    (void)state;
    static const char *const texts[] = {
        "",
        "0",
        ":",
        "x:",
        "-1:",
        "0:3",
        "0:9:",
        "0:3@1",
        "0:9:3",
        "0:9:3@",
        "0:9:@4",
        "0:9:3@4;5@6",
        "0:9:3@4,3@6",
        "0:9:3@4,5@4",
        "0:9:3@4 ",
        "0:3:3@4",
        "4294967296:",
        "0:9:4294967296@1",
        "0:9:1@99999999999999999999",
        "0:9:1@1,2@2,3@3,4@4,5@5,6@6,7@7,8@8,9@9",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct lineage lineage = {.branch = 3, .count = 2};
        if (lineage_parse(texts[i], &lineage)) fail_msg("%s", texts[i]);
        assert_int_equal(lineage.count, 0);
        assert_int_equal(lineage.branch, 0);
    }
}

static void the_largest_text_fits(void **state) {
    (void)state;
    struct lineage lineage = {.branch = INT32_MAX, .count = LINEAGE_SPANS_MAX, .last = INT64_MAX};
    struct lineage found;
    for (int32_t i = 0; i < LINEAGE_SPANS_MAX; i++)
        lineage.spans[i] = (struct lineage_span){INT64_MAX - 8 + i, INT32_MAX - 8 + i};
    char text[LINEAGE_TEXT_BYTES];
    lineage_format(&lineage, text);
    assert_true(lineage_parse(text, &found));
    assert_memory_equal(&lineage, &found, sizeof found);
}

static void the_tip_is_the_branch_and_the_last_record(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"0:", "0:"},
        {"7:", "7:"},
        {"0:9:3@0", "0:9:3"},
        {"2:19:3@0,14@8", "2:19:14"},
        {"2147483647:9223372036854775807:2147483647@1",
         "2147483647:9223372036854775807:2147483647"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lineage lineage, same;
        char text[LINEAGE_TIP_BYTES];
        assert_true(lineage_parse(cases[i][0], &lineage));
        lineage_tip_format(lineage_tip(&lineage), text);
        assert_string_equal(text, cases[i][1]);
        for (size_t j = 0; j < sizeof cases / sizeof *cases; j++) {
            assert_true(lineage_parse(cases[j][0], &same));
            assert_int_equal(lineage_tip_equals(lineage_tip(&lineage), lineage_tip(&same)), i == j);
        }
    }
    /* From where one began to read says nothing about the log. */
    struct lineage early, late;
    lineage_parse("0:19:3@0,4@8", &early);
    lineage_parse("0:19:4@15", &late);
    assert_true(lineage_tip_equals(lineage_tip(&early), lineage_tip(&late)));
    lineage_forget(&late); /* nor has what is forgotten a last record */
    lineage_add(&late, 30, LINEAGE_NO_EPOCH);
    assert_true(lineage_tip_equals(lineage_tip(&late), lineage_tip(&(struct lineage){0})));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_last_record_is_not_before_its_epoch),
        cmocka_unit_test(an_epoch_begins_where_it_is_first_seen),
        cmocka_unit_test(the_tip_is_the_branch_and_the_last_record),
        cmocka_unit_test(records_without_an_epoch_say_nothing),
        cmocka_unit_test(the_newest_epochs_are_kept),
        cmocka_unit_test(an_offset_matches_by_its_epoch),
        cmocka_unit_test(below_what_is_known_only_a_higher_epoch_is_another_log),
        cmocka_unit_test(a_cut_forgets_what_was_behind_it),
        cmocka_unit_test(going_back_leaves_what_lies_below),
        cmocka_unit_test(what_is_no_text_of_a_lineage_is_rejected),
        cmocka_unit_test(the_largest_text_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
