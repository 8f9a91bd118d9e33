/* Where a message of an mbox ends, and what is in it, whoever wrote it. */
#include "transfer/mbox.h"

#include "base/buf.h"
#include "vault/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FROM "From a@b Sun Nov 22 05:00:00 2026\n"

enum { LIMIT = 2000 };

struct found {
    struct buf text; /* each message's bytes, '|' behind it */
    uint64_t flags;  /* of the last one */
    uint32_t uid, uidvalidity;
    char uidl[80];
    size_t keywords, left_out;
};

static enum err on_message(void *owner, struct task *task, const struct mbox_message *message)
{
    struct found *found = owner;

    (void)task;
    if (message->raw.len > 0)
        buf_put(&found->text, message->raw);
    buf_put(&found->text, STR("|"));
    found->flags = message->message.flags;
    found->uid = message->message.uid;
    (void)snprintf(found->uidl, sizeof(found->uidl), "%.*s", STR_ARG(message->message.uidl));
    found->keywords = message->message.keyword_count;
    if (message->uidvalidity != 0)
        found->uidvalidity = message->uidvalidity;
    return ERR_OK;
}

static enum err on_left_out(void *owner, struct task *task)
{
    struct found *found = owner;

    (void)task;
    found->left_out++;
    return ERR_OK;
}

static enum err read_pieces(struct str bytes, size_t piece, struct found *found)
{
    const struct mbox_in_events events = {on_message, on_left_out, found};
    CLEANUP(mbox_in_free) struct mbox_in *in = mbox_in_new(&events, LIMIT);
    CLEANUP(task_done) struct task task;

    task_init(&task, 0);
    *found = (struct found){.left_out = 0};
    buf_init(&found->text, SIZE_MAX);
    while (bytes.len > 0) {
        size_t len = piece < bytes.len ? piece : bytes.len;

        TRY(mbox_in_bytes(in, &task, str_upto(bytes, len)));
        bytes = str_from(bytes, len);
    }
    return mbox_in_end(in, &task);
}

static void test_ends(void **state)
{
    static const struct {
        const char *rule, *mbox, *messages;
    } rows[] = {
        {"one", FROM "Subject: 1\n\nx\n\n", "Subject: 1\n\nx\n|"},
        {"two", FROM "A: 1\n\nx\n\n" FROM "A: 2\n\ny\n\n", "A: 1\n\nx\n|A: 2\n\ny\n|"},
        {"no empty line at the end", FROM "A: 1\n\nx\n", "A: 1\n\nx\n|"},
        {"no line's end at the end", FROM "A: 1\n\nx", "A: 1\n\nx|"},
        {"quoted once and twice (mboxrd)", FROM "A: 1\n\n>From x\n>>From y\n> From z\n\n",
         "A: 1\n\nFrom x\n>From y\n> From z\n|"},
        {"From in the text, without a date", FROM "A: 1\n\nx\n\nFrom here on\n\n",
         "A: 1\n\nx\n\nFrom here on\n|"},
        {"From with a date, but no empty line before it", FROM "A: 1\n\nx\n" FROM "y\n\n",
         "A: 1\n\nx\n" FROM "y\n|"},
        {"a length that leads to the next",
         FROM "A: 1\nContent-Length: 42\n\nx\n\n" FROM "quoted\n\n" FROM "A: 2\n\ny\n\n", NULL},
        {"a length that leads nowhere",
         FROM "A: 1\nContent-Length: 3\n\nxyz and more\n\n" FROM "A: 2\n\ny\n\n",
         "A: 1\n\nxyz and more\n|A: 2\n\ny\n|"},
        {"a length that ends in a line before empty ones",
         FROM "A: 1\nContent-Length: 3\n\nxyz\n\n\nmore\n\n" FROM "A: 2\n\ny\n\n",
         "A: 1\n\nxyz\n\n\nmore\n|A: 2\n\ny\n|"},
        {"a length that ends before the next one's first line",
         FROM "A: 1\nContent-Length: 2\n\nx\n\n" FROM "A: 2\n\ny\n\n", "A: 1\n\nx\n|A: 2\n\ny\n|"},
        {"a length into the next one",
         FROM "A: 1\nContent-Length: 20\n\nx\n\n" FROM "A: 2\n\ny\n\n", "A: 1\n\nx\n|A: 2\n\ny\n|"},
        {"a length of nothing", FROM "A: 1\nContent-Length: 0\n\n\n" FROM "A: 2\n\ny\n\n",
         "A: 1\n\n|A: 2\n\ny\n|"},
        {"a length as large as a message may be, but with its header",
         FROM "A: 1\nContent-Length: 2000\n\nx\n\n" FROM "A: 2\n\ny\n\n",
         "A: 1\n\nx\n|A: 2\n\ny\n|"},
        {"a length beyond the end", FROM "A: 1\nContent-Length: 1999\n\nx\n\n" FROM "A: 2\n\ny\n\n",
         "A: 1\n\nx\n|A: 2\n\ny\n|"},
        {"a length that is none", FROM "A: 1\nContent-Length: -7\n\nx\n\n", "A: 1\n\nx\n|"},
        {"CRLF", "From a@b Sun Nov 22 05:00:00 2026\r\nA: 1\r\n\r\nx\r\n\r\n",
         "A: 1\r\n\r\nx\r\n|"},
        {"empty", "", ""},
        {"empty lines", "\n\n", ""},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct str mbox = str_from_c(rows[i].mbox);
        struct found whole, pieces;

        if (read_pieces(mbox, SIZE_MAX, &whole) != ERR_OK ||
            read_pieces(mbox, 1, &pieces) != ERR_OK)
            fail_msg("%s", rows[i].rule);
        if (!str_equal(buf_str(&whole.text), buf_str(&pieces.text)))
            fail_msg("%s: other messages byte by byte: %.*s", rows[i].rule,
                     STR_ARG(buf_str(&pieces.text)));
        if (rows[i].messages != NULL &&
            !str_equal(buf_str(&whole.text), str_from_c(rows[i].messages)))
            fail_msg("%s: %.*s", rows[i].rule, STR_ARG(buf_str(&whole.text)));
        buf_free(&whole.text);
        buf_free(&pieces.text);
    }
}

/* With a right length, a line that looks like a beginning is text. */
static void test_length(void **state)
{
    static const char body[] = "x\n\n" FROM "still the first\n";
    char mbox[300], wanted[300];
    struct found found;

    (void)state;
    (void)snprintf(mbox, sizeof(mbox),
                   FROM "A: 1\nContent-Length: %zu\n\n%s\n" FROM "A: 2\n\ny\n\n", sizeof(body) - 1,
                   body);
    (void)snprintf(wanted, sizeof(wanted), "A: 1\n\n%s|A: 2\n\ny\n|", body);
    assert_int_equal(read_pieces(str_from_c(mbox), SIZE_MAX, &found), ERR_OK);
    if (!str_equal(buf_str(&found.text), str_from_c(wanted)))
        fail_msg("%.*s", STR_ARG(buf_str(&found.text)));
    buf_free(&found.text);
}

static void test_fields(void **state)
{
    struct found found;

    (void)state;
    assert_int_equal(
        read_pieces(STR(FROM "X-IMAPbase: 77 9 Work\nStatus: RO\nX-Status: AF\nX-Keywords: "
                             "Work Later\nX-UID: 8\nA: 1\nstatus: D\n\nStatus: x\n\n"),
                    SIZE_MAX, &found),
        ERR_OK);
    if (!str_equal(buf_str(&found.text), STR("A: 1\n\nStatus: x\n|")))
        fail_msg("%.*s", STR_ARG(buf_str(&found.text)));
    assert_int_equal(found.flags, VAULT_FLAG_SEEN | VAULT_FLAG_ANSWERED | VAULT_FLAG_FLAGGED |
                                      VAULT_FLAG_DELETED);
    assert_int_equal(found.uid, 8);
    assert_int_equal(found.uidvalidity, 77);
    assert_int_equal(found.keywords, 2);
    buf_free(&found.text);
}

/* Of an export's message that was changed since, the export's own lines go; a sender's field stays. */
static void test_changed_export(void **state)
{
    struct found found;

    (void)state;
    assert_int_equal(
        read_pieces(STR(FROM TRANSFER_MBOX_MARK
                        "1 lines=3 size=999 date=2026-11-22T05:00:00.000Z zone=0\nX-UIDL: ours\n"
                        "X-UID: 8\nX-UIDL: theirs\nA: 1\n\nx\n\n"),
                    SIZE_MAX, &found),
        ERR_OK);
    if (!str_equal(buf_str(&found.text), STR("X-UIDL: theirs\nA: 1\n\nx\n|")))
        fail_msg("%.*s", STR_ARG(buf_str(&found.text)));
    assert_string_equal(found.uidl, "ours");
    assert_int_equal(found.uid, 8);
    buf_free(&found.text);
}

static void test_refused(void **state)
{
    CLEANUP(buf_free) struct buf large;
    struct found found;

    (void)state;
    assert_int_equal(read_pieces(STR("Subject: no mbox\n\nx\n"), SIZE_MAX, &found), ERR_INVALID);
    buf_free(&found.text);
    buf_init(&large, SIZE_MAX);
    buf_put(&large, STR(FROM "A: 1\n\n"));
    while (large.len <= LIMIT + 100)
        buf_put(&large, STR("a line of a message that is too large\n"));
    buf_put(&large, STR("\n" FROM "A: 2\n\ny\n\n"));
    for (size_t piece = 1; piece < 5000; piece += 999) {
        assert_int_equal(read_pieces(buf_str(&large), piece, &found), ERR_OK);
        assert_int_equal(found.left_out, 1);
        assert_true(str_equal(buf_str(&found.text), STR("A: 2\n\ny\n|")));
        buf_free(&found.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_length),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_changed_export),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
