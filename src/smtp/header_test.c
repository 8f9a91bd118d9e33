#include "smtp/header.h"

#include "base/buf.h"
#include "base/macros.h"
#include "base/task.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

static const struct {
    const char *rule, *text, *authors; /* separated by blanks; NULL: refused */
} headers[] = {
    {"no From", "Subject: a\r\n\r\n", ""},
    {"an address", "From: a@b\r\n\r\n", "a@b"},
    {"a name and an address", "From: Ann <a@b>\r\n\r\n", "a@b"},
    {"a quoted name", "From: \"x@y, <z@y>\" <a@b>\r\n\r\n", "a@b"},
    {"a name that looks like an address", "From: x@y <a@b>\r\n\r\n", "a@b"},
    {"comments", "From: (x@y) a@b (\\) (nested) <z@y>)\r\n\r\n", "a@b"},
    {"several", "From: a@b, C <c@d> ,,e@f\r\n\r\n", "a@b c@d e@f"},
    {"folded", "From: a@b,\r\n\tc@d\r\n\r\n", "a@b c@d"},
    {"two fields", "From: a@b\r\nFROM: c@d\r\n\r\n", "a@b c@d"},
    {"a blank before the colon", "From : a@b\r\n\r\n", "a@b"},
    {"behind a line that is no field", "nonsense\r\nFrom: a@b\r\n\r\n", "a@b"},
    {"Sender too", "From: a@b\r\nSender: c@d\r\n\r\n", "a@b c@d"},
    {"not behind the header", "From: a@b\r\n\r\nFrom: c@d\r\n", "a@b"},
    {"an empty header", "\r\nFrom: c@d\r\n\r\n", ""},
    {"a header alone", "From: a@b\r\n", "a@b"},
    {"a group", "From: team: a@b, c@d;\r\n\r\n", "a@b c@d"},
    {"an empty group", "From: nobody:;\r\n\r\n", ""},
    {"a source route", "From: <@x,@y:a@b>\r\n\r\n", "a@b"},
    {"a quoted local part", "From: \"a b\"@c\r\n\r\n", "\"a_b\"@c"},
    {"a literal", "From: a@[192.0.2.1]\r\n\r\n", "a@[192.0.2.1]"},
    {"text behind the address", "From: <a@b> c@d\r\n\r\n", NULL},
    {"two addresses without a comma", "From: <a@b> <c@d>\r\n\r\n", NULL},
    {"blanks in an address", "From: a b@c\r\n\r\n", NULL},
    {"no domain", "From: ann\r\n\r\n", NULL},
    {"nothing in brackets", "From: Ann <>\r\n\r\n", NULL},
    {"an open bracket", "From: Ann <a@b\r\n\r\n", NULL},
    {"an open quoted string", "From: \"Ann <a@b>\r\n\r\n", NULL},
    {"an open comment", "From: a@b (Ann\r\n\r\n", NULL},
};

static void test_authors(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
        struct arena arena = {NULL};
        struct smtp_authors authors;
        char found[256] = "";
        enum err err = smtp_header_authors(&arena, str_from_c(headers[i].text), &authors);

        for (size_t j = 0; err == ERR_OK && j < authors.count; j++) {
            size_t at = strlen(found);

            if (j > 0)
                found[at++] = ' ';
            for (size_t k = 0; k < authors.addresses[j].len; k++) {
                char c = authors.addresses[j].ptr[k];

                found[at++] = c == ' ' ? '_' : c;
            }
        }
        if ((err == ERR_OK) != (headers[i].authors != NULL) ||
            (err == ERR_OK && strcmp(found, headers[i].authors) != 0))
            fail_msg("%s: %s, %s", headers[i].rule, err_name(err), found);
        arena_free(&arena);
    }
}

static void test_many_authors(void **state)
{
    struct arena arena = {NULL};
    struct smtp_authors authors;
    struct buf text;

    (void)state;
    buf_init(&text, SIZE_MAX);
    for (size_t i = 0; i < SMTP_AUTHORS_MAX; i++)
        buf_put(&text, STR("From: a@b\r\n"));
    assert_int_equal(smtp_header_authors(&arena, buf_str(&text), &authors), ERR_OK);
    buf_put(&text, STR("From: a@b\r\n"));
    assert_int_equal(smtp_header_authors(&arena, buf_str(&text), &authors), ERR_LIMIT);
    buf_free(&text);
    arena_free(&arena);
}

static void test_scan(void **state)
{
    struct smtp_header header;

    (void)state;
    smtp_header_scan(STR("received: a\r\n b\r\nX-Received: no\r\nReceived\t: c\r\n"
                         "message-id: <x>\r\n\r\nDate: no\r\nReceived: no\r\n"),
                     &header);
    assert_int_equal(header.received_count, 2);
    assert_false(header.has_date);
    assert_true(header.has_message_id);
    smtp_header_scan(STR("Date:\r\n"), &header);
    assert_true(header.has_date);
    smtp_header_scan(STR(""), &header);
    assert_int_equal(header.received_count, 0);
}

static const struct {
    const char *rule, *text;
    bool is_copy_wanted, is_automatic;
} meanings[] = {
    {"nothing", "Subject: x\r\n\r\n", false, false},
    {"a copy", "X-Sealpost-Copy: SENT \r\n\r\n", true, false},
    {"a copy elsewhere", "X-Sealpost-Copy: Drafts\r\n\r\n", false, false},
    {"auto-submitted", "Auto-Submitted: auto-replied\r\n\r\n", false, true},
    {"by hand", "Auto-Submitted: no\r\n\r\n", false, false},
    {"by hand, with a comment", "Auto-Submitted: No (really)\r\n\r\n", false, false},
    {"a word like no", "Auto-Submitted: no-one\r\n\r\n", false, true},
    {"another word like no", "Auto-Submitted: none\r\n\r\n", false, true},
    {"bulk", "Precedence: bulk\r\n\r\n", false, true},
    {"first class", "Precedence: first-class\r\n\r\n", false, false},
    {"a list", "List-Id: <x.example>\r\n\r\n", false, true},
    {"behind the header", "\r\nPrecedence: bulk\r\n", false, false},
};

static void test_meanings(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(meanings); i++) {
        struct smtp_header header;

        smtp_header_scan(str_from_c(meanings[i].text), &header);
        if (header.is_copy_wanted != meanings[i].is_copy_wanted ||
            header.is_automatic != meanings[i].is_automatic)
            fail_msg("%s", meanings[i].rule);
    }
}

/* What is left when the private fields are cut out; those of the author in brackets. */
static const struct {
    const char *rule, *text, *left;
} cuts[] = {
    {"nothing", "a: 1\r\n\r\nBcc: x\r\n", "a: 1\r\n\r\nBcc: x\r\n"},
    {"Bcc, folded", "a: 1\r\nBCC : x,\r\n\ty\r\nb: 2\r\n\r\n", "a: 1\r\n[BCC : x,\r\n\ty\r\n]b: 2\r\n\r\n"},
    {"neighbours", "Bcc: x\r\nBcc: y\r\nX-Client-IP: 1\r\n\r\n", "[Bcc: x\r\nBcc: y\r\n]\r\n"},
    {"an address", "x-originating-ip: [10.0.0.1]\r\nc: 3\r\n", "c: 3\r\n"},
    {"at the end without a line end", "c: 3\r\nBcc: x", "c: 3\r\n[Bcc: x]"},
    {"behind a line that is no field", "nonsense\r\nBcc: x\r\n\r\n", "nonsense\r\n[Bcc: x\r\n]\r\n"},
    {"not a part of a name", "Not-Bcc: x\r\nBcc2: y\r\n\r\n", "Not-Bcc: x\r\nBcc2: y\r\n\r\n"},
};

static void test_cuts(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cuts); i++) {
        struct str text = str_from_c(cuts[i].text);
        struct smtp_ranges ranges;
        struct buf left;
        size_t at = 0;

        buf_init(&left, SIZE_MAX);
        assert_int_equal(smtp_header_private(text, &ranges), ERR_OK);
        for (size_t j = 0; j < ranges.count; j++) {
            size_t end = (size_t)ranges.at[j].start + ranges.at[j].len;

            buf_put(&left, str_upto(str_from(text, at), ranges.at[j].start - at));
            if (ranges.at[j].is_own)
                buf_putf(&left, "[%.*s]",
                         STR_ARG(str_upto(str_from(text, ranges.at[j].start), ranges.at[j].len)));
            at = end;
        }
        buf_put(&left, str_from(text, at));
        if (!str_equal(buf_str(&left), str_from_c(cuts[i].left)))
            fail_msg("%s: %.*s", cuts[i].rule, STR_ARG(buf_str(&left)));
        buf_free(&left);
    }
}

static void test_line(void **state)
{
    struct buf line;

    (void)state;
    buf_init(&line, SIZE_MAX);
    smtp_header_line(STR("A: 1\r\nb: 2,\r\n\tc,\r\n d \r\nB: 3\r\n\r\n"), STR("B"), &line);
    assert_true(str_equal(buf_str(&line), STR("2, c, d")));
    buf_reset(&line);
    smtp_header_line(STR("A: 1\r\n\r\nB: 2\r\n"), STR("B"), &line);
    assert_int_equal(line.len, 0);
    buf_free(&line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_authors),
        cmocka_unit_test(test_many_authors),
        cmocka_unit_test(test_scan),
        cmocka_unit_test(test_meanings),
        cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_line),
    };

    return cmocka_run_group_tests_name("smtp/header", tests, NULL, NULL);
}
