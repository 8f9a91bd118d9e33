/* The lines of a multi-line response, however the message is cut into pieces. */
#include "pop3/lines.h"

#include "base/macros.h"
#include "vault/maildrop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { ALL = -1 };

static const struct {
    const char *name, *message, *sent;
    int body_lines; /* or ALL */
} rows[] = {
    {"nothing", "", ".\r\n", ALL},
    {"CRLF stays", "a\r\n\r\nb\r\n", "a\r\n\r\nb\r\n.\r\n", ALL},
    {"a bare LF", "a\n\nb\n", "a\r\n\r\nb\r\n.\r\n", ALL},
    {"no last line end", "a", "a\r\n.\r\n", ALL},
    {"a last CR", "a\r", "a\r\r\n.\r\n", ALL},
    {"a CR within", "a\rb\r\n", "a\rb\r\n.\r\n", ALL},
    {"two CRs", "a\r\r\n", "a\r\r\n.\r\n", ALL},
    {"a dot", ".", "..\r\n.\r\n", ALL},
    {"dots", ".\r\n..\n.", "..\r\n...\r\n..\r\n.\r\n", ALL},
    {"a dot behind a CR", "\r.\r\n", "\r.\r\n.\r\n", ALL},
    {"the end within", "a\r\n.\r\nb\r\n", "a\r\n..\r\nb\r\n.\r\n", ALL},
    {"TOP 0", "a\r\n\r\nb\r\nc\r\n", "a\r\n\r\n.\r\n", 0},
    {"TOP 1", "a\r\n\r\nb\r\nc\r\n", "a\r\n\r\nb\r\n.\r\n", 1},
    {"TOP beyond", "a\r\n\r\nb\r\nc", "a\r\n\r\nb\r\nc\r\n.\r\n", 9},
    {"TOP counts blank lines", "a\n\n\n\nb\n", "a\r\n\r\n\r\n.\r\n", 1},
    {"TOP of a header", "a\r\nb", "a\r\nb\r\n.\r\n", 1},
    {"TOP of a body", "\nb\nc\n", "\r\nb\r\n.\r\n", 1},
    {"a CR is no blank line", "a\r\n\r\r\nb\r\n", "a\r\n\r\r\nb\r\n.\r\n", 0},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct str message = str_from_c(rows[i].message);

        for (size_t first = 0; first <= message.len; first++) {
            for (size_t second = first; second <= message.len; second++) {
                struct pop3_lines lines;
                struct buf out;

                buf_init(&out, SIZE_MAX);
                pop3_lines_init(&lines, rows[i].body_lines == ALL ? POP3_LINES_ALL
                                                                  : (uint64_t)rows[i].body_lines);
                pop3_lines_add(&lines, str_upto(message, first), &out);
                pop3_lines_add(&lines, str_from(str_upto(message, second), first), &out);
                pop3_lines_add(&lines, str_from(message, second), &out);
                pop3_lines_end(&lines, &out);
                if (!str_equal(buf_str(&out), str_from_c(rows[i].sent)))
                    fail_msg("%s: cut at %zu and %zu: '%.*s'", rows[i].name, first, second,
                             STR_ARG(buf_str(&out)));
                buf_free(&out);
            }
        }
    }
}

/* What LIST tells is what RETR sends, but for the doubled dots and the end. */
static void test_octets_agree(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct vault_line_ends ends = {0};
        struct str message = str_from_c(rows[i].message), sent = str_from_c(rows[i].sent), line;
        uint64_t octets = 0;

        if (rows[i].body_lines != ALL)
            continue;
        vault_line_ends_add(&ends, message);
        for (size_t at = 0; at + 3 < sent.len;) { /* up to ".\r\n" */
            line = str_from(sent, at);
            line.len = (size_t)str_find(line, STR("\r\n")) + 2;
            octets += line.len - (line.ptr[0] == '.');
            at += line.len;
        }
        if (octets != message.len + vault_line_ends_octets(&ends))
            fail_msg("%s: %d octets", rows[i].name, (int)octets);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_octets_agree),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
