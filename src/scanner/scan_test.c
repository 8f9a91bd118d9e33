/* What is read of the replies; conversations with real daemons and bad ones are tests/scanner's. */
#include "base/buf.h"
#include "base/macros.h"
#include "scanner/clamd.h"
#include "scanner/rspamd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define REPLY(literal)                                                                             \
    {                                                                                              \
        "" literal, sizeof(literal)                                                                \
    } /* with its NUL */

static void replies_of_clamd(void **state)
{
    static const struct {
        struct str reply;
        enum clamd_outcome outcome;
        const char *name;
    } rows[] = {
        {REPLY("stream: OK"), CLAMD_CLEAN, NULL},
        {REPLY("stream: Win.Test.EICAR_HDB-1 FOUND"), CLAMD_VIRUS, "Win.Test.EICAR_HDB-1"},
        {REPLY("stream: OK FOUND"), CLAMD_VIRUS, "OK"},
        {STR_INIT("stream: OK"), CLAMD_NOT_SCANNED, NULL},
        {STR_INIT("stream: OK\n"), CLAMD_NOT_SCANNED, NULL},
        {REPLY("stream: OK\n"), CLAMD_NOT_SCANNED, NULL},
        {REPLY("stream: OK\0"), CLAMD_NOT_SCANNED, NULL},
        {REPLY("stream: \0 FOUND"), CLAMD_NOT_SCANNED, NULL},
        {REPLY("stream:  FOUND"), CLAMD_NOT_SCANNED, NULL},
        {REPLY("stream: FOUND"), CLAMD_NOT_SCANNED, NULL},
        {REPLY("stream: two words FOUND"), CLAMD_NOT_SCANNED, NULL},
        {REPLY("stream: X\r\nFOUND"), CLAMD_NOT_SCANNED, NULL},
        {REPLY("stream: X\xff FOUND"), CLAMD_NOT_SCANNED, NULL},
        {REPLY("stream: X found"), CLAMD_NOT_SCANNED, NULL},
        {REPLY("other: OK"), CLAMD_NOT_SCANNED, NULL},
        {REPLY("INSTREAM size limit exceeded. ERROR"), CLAMD_NOT_SCANNED, NULL},
        {REPLY("stream: Can't allocate memory ERROR"), CLAMD_NOT_SCANNED, NULL},
        {REPLY("UNKNOWN COMMAND"), CLAMD_NOT_SCANNED, NULL},
        {REPLY(""), CLAMD_NOT_SCANNED, NULL},
        {STR_INIT(""), CLAMD_NOT_SCANNED, NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct clamd_reply reply;

        clamd_reply_parse(rows[i].reply, &reply);
        if (reply.outcome != rows[i].outcome ||
            (rows[i].name != NULL && !str_equal(reply.name, str_from_c(rows[i].name))))
            fail_msg("row %zu: %s", i, rows[i].reply.ptr);
    }
}

static void replies_of_rspamd(void **state)
{
    static const struct {
        const char *reply;
        bool is_taken;
        int64_t score;
        const char *symbols;
    } rows[] = {
        {"{\"score\":5.0,\"required_score\":15.0,\"action\":\"no action\",\"is_skipped\":false,"
         "\"symbols\":{\"A\":{\"score\":1.0},\"B\":{\"score\":-2.0},\"C\":{\"score\":0.0},"
         "\"no word\":{\"score\":9},\"D\":{},\"E\":7}}",
         true, 5000, "B A"},
        {"{\"score\":5,\"required_score\":10,\"action\":\"greylist\"}", true, 7500, ""},
        {"{\"score\":5,\"action\":\"greylist\"}", true, 5000, ""},
        {"{\"score\":5,\"required_score\":0,\"action\":\"x\"}", true, 5000, ""},
        {"{\"score\":5,\"required_score\":\"15\",\"action\":\"x\"}", true, 5000, ""},
        {"{\"score\":1.5,\"required_score\":15,\"action\":\"reject\"}", true, 15000, ""},
        {"{\"score\":25,\"required_score\":15,\"action\":\"reject\"}", true, 25000, ""},
        {"{\"score\":1e300,\"required_score\":1e-300,\"action\":\"x\"}", true, 1000000, ""},
        {"{\"score\":-1e300,\"required_score\":1e-300,\"action\":\"x\"}", true, -1000000, ""},
        {"{\"score\":15,\"action\":\"reject\",\"is_skipped\":true}", true, 15000, ""},
        {"{\"score\":0,\"action\":\"no action\",\"is_skipped\":true}", true, 0, ""},
        {"{\"score\":\"5\",\"action\":\"x\"}", false, 0, ""},
        {"{\"score\":5}", false, 0, ""},
        {"{\"score\":5,\"action\":7}", false, 0, ""},
        {"{\"score\":5,\"score\":1,\"action\":\"x\"}", false, 0, ""},
        {"{\"score\":NaN,\"action\":\"x\"}", false, 0, ""},
        {"[5]", false, 0, ""},
        {"5", false, 0, ""},
        {"{\"score\":5,\"action\":\"x\"} {}", false, 0, ""},
        {"{\"error\":\"internal\"}", false, 0, ""},
        {"", false, 0, ""},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct rspamd_reply reply;
        struct task task;
        enum err err;

        task_init(&task, 0);
        err = rspamd_reply_parse(&task, str_from_c(rows[i].reply), &reply);
        if ((err == ERR_OK) != rows[i].is_taken)
            fail_msg("row %zu: %s", i, rows[i].reply);
        if (err == ERR_OK && (reply.score != rows[i].score ||
                              !str_equal(reply.symbols, str_from_c(rows[i].symbols))))
            fail_msg("row %zu: %lld %.*s", i, (long long)reply.score, STR_ARG(reply.symbols));
        task_done(&task);
    }
}

/* Of very many symbols the weightiest eight are named, in their order. */
static void many_symbols(void **state)
{
    CLEANUP(buf_free) struct buf text;
    struct rspamd_reply reply;
    struct task task;

    (void)state;
    buf_init(&text, SIZE_MAX);
    buf_put(&text, STR("{\"score\":1,\"action\":\"x\",\"symbols\":{"));
    for (int i = 0; i < 5000; i++)
        buf_putf(&text, "%s\"S%d\":{\"score\":%d}", i == 0 ? "" : ",", i, (i * 7919) % 5000);
    buf_put(&text, STR("}}"));
    task_init(&task, 0);
    assert_int_equal(rspamd_reply_parse(&task, buf_str(&text), &reply), ERR_OK);
    for (int n = 0; n < 8; n++) {
        struct str word;
        uint32_t i;

        assert_true(str_split(&reply.symbols, ' ', &word));
        assert_true(parse_u32(str_from(word, 1), &i));
        assert_int_equal((i * 7919) % 5000, 4999 - n);
    }
    assert_null(reply.symbols.ptr);
    task_done(&task);
}

static void what_goes_to_rspamd_is_one_line(void **state)
{
    struct str headers[RSPAMD_HEADERS];
    struct task task;

    (void)state;
    task_init(&task, 0);
    assert_int_equal(rspamd_headers(&task, STR(""), STR(""), STR(""), STR(""), headers), 1);
    assert_int_equal(rspamd_headers(&task, STR("192.0.2.1"), STR("a.example"), STR("a\r\nX: y"),
                                    STR("a@b"), headers),
                     5);
    assert_true(str_equal(headers[1], STR("IP: 192.0.2.1")));
    assert_true(str_equal(headers[2], STR("Hostname: a.example")));
    assert_true(str_equal(headers[3], STR("Helo: a??X: y")));
    assert_true(str_equal(headers[4], STR("From: a@b")));
    task_done(&task);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies_of_clamd),
        cmocka_unit_test(replies_of_rspamd),
        cmocka_unit_test(many_symbols),
        cmocka_unit_test(what_goes_to_rspamd_is_one_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
