/* What a transcript cannot show: pauses, bounds, and who commits when. */
#include "imap/engine.h"
#include "imap/transcript_vault.h"

#include "base/memory.h"

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const int64_t NOW_MS = INT64_C(1795323600000);
static const struct log quiet = {.level = LOG_LEVEL_ERROR, .fd = 2, .role = "test"};
static struct transcript_vault *home;

static struct imap_session *connect(struct imap_group *group)
{
    struct imap_options options = {.hostname = STR("mail.example"),
                                   .append_limit_bytes = 50000000,
                                   .is_secure = true,
                                   .is_tls = true,
                                   .log = &quiet,
                                   .group = group};
    struct imap_session *s =
        imap_session_resume_authenticated(&options, transcript_vault(home), STR("L"));

    imap_session_consume_output(s, SIZE_MAX);
    return s;
}

static void say(struct imap_session *s, const char *text)
{
    imap_session_input(s, str_from_c(text), NOW_MS);
}

/* All that comes until the session waits for input, taken a piece at a time. */
static void hear(struct imap_session *s, struct buf *out, size_t piece, size_t *out_highest)
{
    for (;;) {
        struct str output = imap_session_output(s);
        enum imap_want want;

        if (out_highest != NULL && output.len > *out_highest)
            *out_highest = output.len;
        output = str_upto(output, piece);
        buf_put(out, output);
        imap_session_consume_output(s, output.len);
        want = imap_session_wants(s);
        if (want == IMAP_WANTS_TURN || want == IMAP_WANTS_ROOM)
            imap_session_resume(s, NOW_MS);
        else if (imap_session_output(s).len == 0)
            return;
    }
}

static void converse(struct imap_session *s, const char *text)
{
    struct buf out;

    buf_init(&out, SIZE_MAX);
    say(s, text);
    hear(s, &out, SIZE_MAX, NULL);
    assert_true(str_find(buf_str(&out), STR(" OK ")) >= 0);
    buf_free(&out);
}

static bool said(const struct imap_session *s, const char *text)
{
    return str_find(imap_session_output(s), str_from_c(text)) >= 0;
}

static void append_large(struct imap_session *s, struct buf *message, size_t size)
{
    struct buf command;

    buf_put(message, STR("Subject: large\r\n\r\n"));
    for (uint32_t i = 0; message->len < size; i++)
        buf_putf(message, "line %u of a large message %u\r\n", i, i * 2654435761u);
    buf_init(&command, SIZE_MAX);
    buf_putf(&command, "a APPEND INBOX {%zu+}\r\n", message->len);
    buf_put(&command, buf_str(message));
    buf_put(&command, STR("\r\n"));
    imap_session_input(s, buf_str(&command), NOW_MS);
    buf_reset(&command);
    hear(s, &command, SIZE_MAX, NULL);
    buf_free(&command);
}

/* A client that takes little at a time: the output stays bounded, the bytes come back as they came,
 * although the message is expunged meanwhile. */
static void test_fetch_streams(void **state)
{
    (void)state;
    struct imap_session *s = connect(NULL), *other = connect(NULL);
    struct buf message, out;
    size_t highest = 0;
    ptrdiff_t start;

    buf_init(&message, SIZE_MAX);
    buf_init(&out, SIZE_MAX);
    append_large(s, &message, 3000000);
    converse(s, "b SELECT INBOX\r\n");
    converse(other, "b SELECT INBOX\r\n");
    say(s, "c FETCH * BODY.PEEK[]\r\nd NOOP\r\n");
    assert_int_equal(imap_session_wants(s), IMAP_WANTS_ROOM);
    converse(other, "c STORE * FLAGS.SILENT (\\Deleted)\r\nd EXPUNGE\r\n");
    hear(s, &out, 10000, &highest);
    assert_true(highest < IMAP_OUTPUT_HIGH + 128 * 1024);
    start = str_find(buf_str(&out), STR("}\r\n"));
    assert_true(start > 0);
    assert_true(str_equal(str_upto(str_from(buf_str(&out), (size_t)start + 3), message.len),
                          buf_str(&message)));
    assert_true(str_find(buf_str(&out), STR("c OK")) > 0);
    assert_true(str_find(buf_str(&out), STR("EXPUNGE\r\nd OK")) > 0);
    buf_free(&message);
    buf_free(&out);
    imap_session_free(&s);
    imap_session_free(&other);
}

/* Nothing large is left with a session that waits. */
static void test_an_idle_session_is_small(void **state)
{
    (void)state;
    struct imap_session *s = connect(NULL);
    struct buf message;

    buf_init(&message, SIZE_MAX);
    append_large(s, &message, 2000000);
    converse(s, "b SELECT INBOX\r\nc FETCH 1:* BODY[]\r\nd IDLE\r\n");
    assert_int_equal(s->out.room, 0);
    assert_int_equal(s->reader.in.room, 0);
    assert_null(s->message_arena.blocks);
    assert_true(sizeof(*s) < 2048);
    buf_free(&message);
    imap_session_free(&s);
}

/* Two sessions' APPENDs wait for one commit; any other command brings it about. */
static void test_a_group_commits_once(void **state)
{
    (void)state;
    struct imap_group *group = imap_group_new(transcript_vault(home));
    struct imap_session *one = connect(group), *two = connect(group), *third = connect(group);

    say(one, "a APPEND Archive {3+}\r\nabc\r\n");
    say(two, "a APPEND Archive {3+}\r\ndef\r\nb APPEND None {1+}\r\nx\r\n");
    assert_int_equal(imap_session_output(one).len, 0);
    assert_int_equal(imap_session_output(two).len, 0);
    assert_int_equal(imap_session_wants(one), IMAP_WANTS_TURN);
    imap_session_resume(one, NOW_MS);
    assert_true(said(one, "a OK [APPENDUID"));
    assert_true(said(two, "a OK [APPENDUID"));
    assert_true(said(two, "b NO [TRYCREATE]"));
    assert_int_equal(imap_session_wants(two), IMAP_WANTS_INPUT);
    imap_session_consume_output(one, SIZE_MAX);

    say(one, "c APPEND Archive {3+}\r\nghi\r\n");
    assert_int_equal(imap_session_output(one).len, 0);
    say(third, "a STATUS Archive (MESSAGES)\r\n");
    assert_true(said(one, "c OK [APPENDUID"));
    assert_true(said(third, "MESSAGES 3"));

    say(one, "d APPEND Archive {3+}\r\njkl\r\n");
    imap_session_free(&one); /* the client went: its message stays */
    say(third, "b STATUS Archive (MESSAGES)\r\n");
    assert_true(said(third, "MESSAGES 4"));
    imap_session_free(&two);
    imap_session_free(&third);
    imap_group_free(&group);
}

static void note(void *owner)
{
    ++*(unsigned *)owner;
}

/* In IDLE the owner is called, nothing is done in the call; a client that does not read is not
 * written to without end. */
static void test_idle_tells_in_the_next_turn(void **state)
{
    (void)state;
    struct imap_session *s = connect(NULL), *other = connect(NULL);
    unsigned calls = 0;

    imap_session_on_output(s, note, &calls);
    converse(other, "a APPEND Sent {3+}\r\nabc\r\nb SELECT Sent\r\n");
    converse(s, "a SELECT Sent\r\n");
    say(s, "b IDLE\r\n");
    imap_session_consume_output(s, SIZE_MAX);
    say(other, "c STORE 1 FLAGS \\Seen\r\n");
    assert_int_equal(calls, 1);
    assert_int_equal(imap_session_output(s).len, 0);
    assert_int_equal(imap_session_wants(s), IMAP_WANTS_TURN);
    imap_session_resume(s, NOW_MS);
    assert_true(said(s, "1 FETCH"));
    for (unsigned i = 0; i < 20000; i++) {
        say(other, i % 2 == 0 ? "d STORE 1 -FLAGS \\Seen\r\n" : "d STORE 1 +FLAGS \\Seen\r\n");
        imap_session_consume_output(other, SIZE_MAX);
        if (imap_session_wants(s) == IMAP_WANTS_TURN)
            imap_session_resume(s, NOW_MS);
    }
    assert_int_equal(imap_session_wants(s), IMAP_WANTS_ROOM);
    assert_true(imap_session_output(s).len < IMAP_OUTPUT_HIGH + 1024);
    imap_session_free(&s);
    imap_session_free(&other);
}

/* RFC 9585: who waits for long is told how far it is, between lines, at most every ten seconds. */
static void test_long_commands_tell_their_progress(void **state)
{
    (void)state;
    struct imap_session *s = connect(NULL);
    struct buf message, out;
    int64_t now_ms;
    size_t told = 0;

    buf_init(&message, SIZE_MAX);
    buf_init(&out, SIZE_MAX);
    converse(s, "a CREATE Long\r\nb SELECT INBOX\r\n");
    append_large(s, &message, 1000000);
    for (int i = 0; i < 12; i++)
        converse(s, "c COPY * Long\r\n");
    converse(s, "d SELECT Long\r\n");
    say(s, "tag] SEARCH TEXT \"large message 12\"\r\n");
    /* Each turn takes six tenths of a second. */
    for (now_ms = NOW_MS; imap_session_wants(s) == IMAP_WANTS_TURN; now_ms += 600) {
        imap_session_resume(s, now_ms);
        buf_put(&out, imap_session_output(s));
        imap_session_consume_output(s, SIZE_MAX);
    }
    for (struct str rest = buf_str(&out), line; str_split(&rest, '\n', &line);)
        told += str_starts_with(line, STR("* OK [INPROGRESS (\"tag]\" "));
    assert_true(now_ms - NOW_MS >= 30000); /* there was something to tell */
    assert_in_range(told, (now_ms - NOW_MS) / 15000, (now_ms - NOW_MS) / 10000);
    assert_true(str_find(buf_str(&out), STR(" 12)] ")) > 0);
    assert_true(str_find(buf_str(&out), STR("tag] OK")) > 0);
    /* Inside a message nothing is said. */
    buf_reset(&out);
    say(s, "e FETCH 1:2 BODY.PEEK[]\r\n");
    for (now_ms = NOW_MS; imap_session_wants(s) != IMAP_WANTS_INPUT; now_ms += 11000) {
        buf_put(&out, imap_session_output(s));
        imap_session_consume_output(s, SIZE_MAX);
        imap_session_resume(s, now_ms);
    }
    assert_true(str_find(buf_str(&out), buf_str(&message)) > 0);
    buf_free(&message);
    buf_free(&out);
    imap_session_free(&s);
}

/* NOTIFY: many changes are one STATUS, and a client that does not read is not written to without
 * end. */
static void test_notify_is_bounded(void **state)
{
    (void)state;
    struct imap_session *s = connect(NULL), *other = connect(NULL);
    unsigned calls = 0;

    imap_session_on_output(s, note, &calls);
    converse(other, "a APPEND Drafts {3+}\r\nabc\r\nb SELECT Drafts\r\n");
    converse(s, "a ENABLE CONDSTORE\r\n");
    converse(s, "b NOTIFY SET (PERSONAL (MessageNew MessageExpunge FlagChange))\r\n");
    say(other, "c STORE 1 FLAGS \\Seen\r\nc STORE 1 FLAGS \\Draft\r\n");
    assert_int_equal(calls, 2);
    assert_int_equal(imap_session_output(s).len, 0);
    assert_int_equal(imap_session_wants(s), IMAP_WANTS_TURN);
    imap_session_resume(s, NOW_MS);
    assert_true(str_starts_with(imap_session_output(s), STR("* STATUS Drafts (")));
    assert_int_equal(str_index(imap_session_output(s), '\n') + 1, imap_session_output(s).len);
    for (unsigned i = 0; i < 20000; i++) {
        say(other, i % 2 == 0 ? "d STORE 1 -FLAGS \\Seen\r\n" : "d STORE 1 +FLAGS \\Seen\r\n");
        imap_session_consume_output(other, SIZE_MAX);
        if (imap_session_wants(s) == IMAP_WANTS_TURN)
            imap_session_resume(s, NOW_MS);
    }
    assert_int_equal(imap_session_wants(s), IMAP_WANTS_ROOM);
    assert_true(imap_session_output(s).len < IMAP_OUTPUT_HIGH + 1024);
    imap_session_free(&s);
    imap_session_free(&other);
}

/* SELECT with QRESYNC tells of thousands of messages without keeping them in memory. */
static void test_a_resynchronisation_streams(void **state)
{
    (void)state;
    struct imap_session *s = connect(NULL);
    size_t highest = 0, told = 0;
    struct vault_folder folder;
    struct task task;
    struct buf out;

    buf_init(&out, SIZE_MAX);
    task_init(&task, NOW_MS);
    converse(s, "a CREATE Many\r\nb APPEND Many {3+}\r\nabc\r\nc SELECT Many\r\n");
    for (int i = 0; i < 13; i++)
        converse(s, "d COPY 1:* Many\r\n");
    assert_int_equal(vault_folder_find(transcript_vault(home), &task, STR("Many"), &folder),
                     ERR_OK);
    converse(s, "e ENABLE QRESYNC\r\n");
    buf_putf(&out, "f SELECT Many (QRESYNC (%u 1 1:8000))\r\ng NOOP\r\n", folder.uidvalidity);
    imap_session_input(s, buf_str(&out), NOW_MS);
    buf_reset(&out);
    hear(s, &out, 10000, &highest);
    assert_true(highest < IMAP_OUTPUT_HIGH + 4096);
    for (struct str rest = buf_str(&out), line; str_split(&rest, '\n', &line);)
        told += str_find(line, STR(" FETCH (UID ")) > 0;
    assert_int_equal(told, 8000);
    assert_true(str_find(buf_str(&out), STR("f OK [READ-WRITE]")) > 0);
    assert_true(str_find(buf_str(&out), STR("g OK")) > 0);
    buf_free(&out);
    task_done(&task);
    imap_session_free(&s);
}

/* RFC 5465 §3.1: more than is reasonable is refused, and what was before holds. */
static void test_notify_has_limits(void **state)
{
    (void)state;
    struct imap_session *s = connect(NULL), *other = connect(NULL);
    struct buf command;

    buf_init(&command, SIZE_MAX);
    converse(s, "a NOTIFY SET (PERSONAL (MessageNew MessageExpunge))\r\n");
    buf_put(&command, STR("b NOTIFY SET (MAILBOXES (x"));
    for (int i = 0; i < IMAP_NOTIFY_NAMES_MAX; i++)
        buf_putf(&command, " x%d", i);
    buf_put(&command, STR(") (MessageNew MessageExpunge))\r\n"));
    imap_session_input(s, buf_str(&command), NOW_MS);
    assert_true(said(s, "b NO [NOTIFICATIONOVERFLOW] "));
    imap_session_consume_output(s, SIZE_MAX);
    buf_reset(&command);
    buf_put(&command, STR("c NOTIFY SET"));
    for (int i = 0; i <= IMAP_NOTIFY_GROUPS_MAX; i++)
        buf_put(&command, STR(" (PERSONAL NONE)"));
    buf_put(&command, STR("\r\n"));
    imap_session_input(s, buf_str(&command), NOW_MS);
    assert_true(said(s, "c NO [NOTIFICATIONOVERFLOW] "));
    imap_session_consume_output(s, SIZE_MAX);
    converse(other, "a APPEND Trash {3+}\r\nabc\r\n");
    imap_session_resume(s, NOW_MS);
    assert_true(said(s, "* STATUS Trash "));
    buf_free(&command);
    imap_session_free(&s);
    imap_session_free(&other);
}

/* The FETCH that NOTIFY brings about streams, also inside IDLE, whose end waits behind it. */
static void test_notify_fetch_streams(void **state)
{
    (void)state;
    struct imap_session *s = connect(NULL), *other = connect(NULL);
    struct buf message, out;
    size_t highest = 0;

    buf_init(&message, SIZE_MAX);
    buf_init(&out, SIZE_MAX);
    converse(s, "a SELECT Junk\r\n");
    converse(s, "b NOTIFY SET (SELECTED (MessageNew (BODY.PEEK[]) MessageExpunge))\r\n");
    say(s, "c IDLE\r\n");
    hear(s, &out, SIZE_MAX, NULL);
    buf_reset(&out);
    append_large(other, &message, 3000000);
    converse(other, "b SELECT INBOX\r\n");
    converse(other, "c COPY * Junk\r\n");
    assert_int_equal(imap_session_wants(s), IMAP_WANTS_TURN);
    imap_session_resume(s, NOW_MS);
    assert_int_equal(imap_session_wants(s), IMAP_WANTS_ROOM);
    /* What happens meanwhile is told behind it, not in the middle. */
    converse(other, "d COPY * Junk\r\n");
    say(s, "DONE\r\n");
    hear(s, &out, 10000, &highest);
    assert_true(highest < IMAP_OUTPUT_HIGH + 128 * 1024);
    assert_true(
        str_starts_with(buf_str(&out), STR("* 1 EXISTS\r\n* 1 RECENT\r\n* 1 FETCH (UID 1 BODY"
                                           "[] {")));
    assert_true(str_equal(
        str_upto(str_from(buf_str(&out), (size_t)str_find(buf_str(&out), STR("}\r\n")) + 3),
                 message.len),
        buf_str(&message)));
    assert_true(str_find(buf_str(&out), STR(")\r\n* 2 EXISTS\r\n")) > 0);
    assert_true(str_find(buf_str(&out), STR("* 2 FETCH (UID 2 BODY[] {")) > 0);
    assert_true(str_find(buf_str(&out), STR("c OK IDLE")) > 0);
    buf_free(&message);
    buf_free(&out);
    /* And a client that goes in the middle of one leaves nothing behind. */
    say(s, "d IDLE\r\n");
    imap_session_consume_output(s, SIZE_MAX);
    converse(other, "e COPY * Junk\r\n");
    imap_session_resume(s, NOW_MS);
    assert_int_equal(imap_session_wants(s), IMAP_WANTS_ROOM);
    imap_session_free(&s);
    imap_session_free(&other);
}

/* What the client sent behind its login goes along to the mailbox process. */
static void test_the_gate_keeps_what_follows_a_login(void **state)
{
    (void)state;
    struct imap_options options = {
        .hostname = STR("mail.example"), .is_secure = true, .is_tls = true, .log = &quiet};
    struct imap_session *s = imap_session_new(&options);
    struct str tag, username, password;

    say(s, "a LOGIN bob secret\r\nb SELECT INBOX\r\nc FETCH");
    assert_int_equal(imap_session_wants(s), IMAP_WANTS_LOGIN);
    imap_session_login(s, &tag, &username, &password);
    assert_true(str_equal(tag, STR("a")));
    assert_true(str_equal(imap_session_pending_input(s), STR("b SELECT INBOX\r\nc FETCH")));
    imap_session_free(&s);
}

static bool is_busy;

static bool is_under_load(void *owner)
{
    (void)owner;
    return is_busy;
}

/* iOS's bulk downloads: NO [UNAVAILABLE] under load (RFC 5530 §3), to what costs something. */
static void test_bulk_downloads_wait_under_load(void **state)
{
    static const struct {
        const char *id;
        bool is_bulk;
    } rows[] = {
        {"(\"name\" \"com.apple.email.maild\" \"event\" \"back-fill\")", true},
        {"(\"event\" \"Indexer\" \"NAME\" \"com.apple.mobilemail\")", true},
        {"(\"name\" \"com.apple.email.maild\" \"os\" \"iOS\")", false},
        {"(\"name\" \"com.apple.email.maild\" \"event\" \"open\")", false},
        {"(\"name\" \"Another\" \"event\" \"back-fill\")", false},
        {"(\"name\" NIL \"event\" NIL)", false},
        {"NIL", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct imap_session *s = connect(NULL);
        char line[200];

        imap_session_ask_load(s, is_under_load, NULL);
        is_busy = false;
        snprintf(line, sizeof(line), "a ID %s\r\n", rows[i].id);
        converse(s, line);
        assert_int_equal(imap_session_is_bulk(s), rows[i].is_bulk);
        converse(s, "b SELECT INBOX\r\n");
        is_busy = true;
        say(s, "c STATUS INBOX (MESSAGES)\r\n");
        assert_int_equal(said(s, "c NO [UNAVAILABLE]"), rows[i].is_bulk);
        imap_session_consume_output(s, SIZE_MAX);
        /* Not even the literal is asked for. */
        say(s, "d APPEND INBOX {10}\r\n");
        assert_int_equal(said(s, "d NO [UNAVAILABLE]"), rows[i].is_bulk);
        imap_session_consume_output(s, SIZE_MAX);
        if (rows[i].is_bulk)
            converse(s, "e NOOP\r\n");
        imap_session_free(&s);
    }
    is_busy = false;
}

/* RFC 3516: a part is decoded in pieces, although its size is told before its first byte. */
static void test_binary_streams(void **state)
{
    (void)state;
    struct imap_session *s = connect(NULL);
    struct buf command, body, out;
    size_t highest = 0, decoded = 3000000;
    ptrdiff_t start;

    buf_init(&command, SIZE_MAX);
    buf_init(&body, SIZE_MAX);
    buf_init(&out, SIZE_MAX);
    buf_put(&body, STR("Content-Transfer-Encoding: base64\r\n\r\n"));
    for (size_t i = 0; i < decoded / 3; i += 25) {
        for (size_t k = 0; k < 25; k++)
            buf_put(&body, STR("YWJj"));
        buf_put(&body, STR("\r\n"));
    }
    buf_putf(&command, "a APPEND Drafts {%zu+}\r\n", body.len);
    buf_put(&command, buf_str(&body));
    buf_put(&command, STR("\r\n"));
    imap_session_input(s, buf_str(&command), NOW_MS);
    hear(s, &out, SIZE_MAX, NULL);
    converse(s, "b SELECT Drafts\r\n");
    buf_reset(&out);
    say(s, "c FETCH * (BINARY.SIZE[1] BINARY.PEEK[1])\r\n");
    hear(s, &out, 10000, &highest);
    assert_true(highest < IMAP_OUTPUT_HIGH + 128 * 1024);
    assert_true(
        str_find(buf_str(&out), STR("BINARY.SIZE[1] 3000000 BINARY[1] ~{3000000}\r\nabc")) >= 0);
    start = str_find(buf_str(&out), STR("}\r\n"));
    assert_true(out.len > decoded + (size_t)start + 3);
    for (size_t i = 0; i < decoded; i++)
        assert_int_equal(out.ptr[(size_t)start + 3 + i], "abc"[i % 3]);
    assert_true(
        str_starts_with(str_from(buf_str(&out), (size_t)start + 3 + decoded), STR(")\r\nc OK")));
    buf_free(&command);
    buf_free(&body);
    buf_free(&out);
    imap_session_free(&s);
}

/* Many folders and dear patterns: in turns, and each folder once. */
static void test_list_gives_way(void **state)
{
    (void)state;
    struct imap_session *s = connect(NULL);
    struct buf command, out;
    size_t turns = 0, lines = 0;
    struct str rest, line;
    struct task task;

    buf_init(&command, SIZE_MAX);
    buf_init(&out, SIZE_MAX);
    task_init(&task, NOW_MS);
    assert_int_equal(vault_batch_begin(transcript_vault(home), &task), ERR_OK);
    for (unsigned i = 0; i < 600; i++)
        assert_int_equal(vault_folder_create(transcript_vault(home), &task,
                                             arena_printf(&task.arena, "many/folder %u", i),
                                             VAULT_USE_NONE),
                         ERR_OK);
    assert_int_equal(vault_batch_end(transcript_vault(home), &task), ERR_OK);
    buf_put(&command, STR("a LIST \"\" (many/*"));
    for (unsigned i = 0; i < 90; i++)
        buf_putf(&command, " \"many/*f*o*l*d*e*r*%u*x\"", i);
    buf_put(&command, STR(") RETURN (STATUS (MESSAGES))\r\n"));
    imap_session_input(s, buf_str(&command), NOW_MS);
    while (imap_session_wants(s) != IMAP_WANTS_INPUT) {
        struct str output = imap_session_output(s);

        assert_true(output.len < IMAP_OUTPUT_HIGH + 4096);
        buf_put(&out, output);
        imap_session_consume_output(s, output.len);
        imap_session_resume(s, NOW_MS);
        turns++;
    }
    buf_put(&out, imap_session_output(s));
    assert_true(turns > 5);
    for (rest = buf_str(&out); str_split(&rest, '\n', &line);)
        lines += str_starts_with(line, STR("* LIST ("));
    assert_int_equal(lines, 600);
    assert_int_equal(vault_batch_begin(transcript_vault(home), &task), ERR_OK);
    for (unsigned i = 0; i < 600; i++)
        assert_int_equal(vault_folder_delete(transcript_vault(home), &task,
                                             arena_printf(&task.arena, "many/folder %u", i)),
                         ERR_OK);
    assert_int_equal(vault_batch_end(transcript_vault(home), &task), ERR_OK);
    task_done(&task);
    buf_free(&command);
    buf_free(&out);
    imap_session_free(&s);
}

/* Turns that this command takes; its output is not looked at. */
static size_t turns_of(struct imap_session *s, struct str command, size_t *out_highest)
{
    size_t before = mallinfo2().uordblks, turns = 0;

    *out_highest = 0;
    imap_session_input(s, command, NOW_MS);
    while (imap_session_wants(s) != IMAP_WANTS_INPUT) {
        size_t now = mallinfo2().uordblks;

        if (now > before && now - before > *out_highest)
            *out_highest = now - before;
        imap_session_consume_output(s, SIZE_MAX);
        imap_session_resume(s, NOW_MS);
        turns++;
    }
    return turns;
}

/* What a pattern costs counts for LSUB as it does for LIST. */
static void test_lsub_gives_way(void **state)
{
    (void)state;
    struct imap_session *s = connect(NULL);
    struct buf command;
    size_t highest;
    struct task task;

    task_init(&task, NOW_MS);
    buf_init(&command, SIZE_MAX);
    assert_int_equal(vault_batch_begin(transcript_vault(home), &task), ERR_OK);
    for (unsigned i = 0; i < 300; i++)
        assert_int_equal(
            vault_folder_subscribe(
                transcript_vault(home), &task,
                arena_printf(&task.arena, "sub%u/aaaaaaaaaaaaaaaaaaaaaaaa/aaaaaaaaaaaaaaaaaaaa", i),
                true),
            ERR_OK);
    assert_int_equal(vault_batch_end(transcript_vault(home), &task), ERR_OK);
    buf_put(&command, STR("a LSUB \"\" \""));
    for (unsigned i = 0; i < 1900; i++)
        buf_put(&command, STR("*a"));
    buf_put(&command, STR("\"\r\n"));
    assert_true(turns_of(s, buf_str(&command), &highest) > 0);
    buf_free(&command);
    task_done(&task);
    imap_session_free(&s);
}

/* A program of many keys is copied for each mailbox that it runs over, one at a time. */
static void test_esearch_is_small(void **state)
{
    (void)state;
    struct imap_session *s = connect(NULL);
    struct buf command;
    size_t highest;
    struct task task;

    task_init(&task, NOW_MS);
    buf_init(&command, SIZE_MAX);
    assert_int_equal(vault_batch_begin(transcript_vault(home), &task), ERR_OK);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(vault_folder_create(transcript_vault(home), &task,
                                             arena_printf(&task.arena, "wide/folder %u", i),
                                             VAULT_USE_NONE),
                         ERR_OK);
    assert_int_equal(vault_batch_end(transcript_vault(home), &task), ERR_OK);
    buf_put(&command, STR("a ESEARCH IN (PERSONAL) RETURN (COUNT)"));
    for (unsigned i = 0; i < 1990; i++)
        buf_put(&command, STR(" SEEN"));
    buf_put(&command, STR("\r\n"));
    assert_true(turns_of(s, buf_str(&command), &highest) > 5);
    assert_true(highest < 8 * 1024 * 1024);
    buf_free(&command);
    task_done(&task);
    imap_session_free(&s);
}

/* Waiting for the disk is a part of the turn: what is pipelined takes several. */
static void test_commits_give_way(void **state)
{
    static const char *const COMMANDS[] = {"SUBSCRIBE disk%u", "CREATE disk%u", "DELETE disk%u",
                                           "SETMETADATA \"\" (/private/x \"%u\")",
                                           "SETMETADATA \"\" (/private/x NIL)"};
    (void)state;
    struct imap_session *s = connect(NULL);
    struct buf commands;
    size_t highest;

    buf_init(&commands, SIZE_MAX);
    for (size_t i = 0; i < ARRAY_LEN(COMMANDS); i++) {
        struct str before, after = str_from_c(COMMANDS[i]);
        bool has_number = str_find(after, STR("%u")) >= 0;

        str_split(&after, '%', &before);
        buf_reset(&commands);
        for (unsigned n = 0; n < 100; n++) {
            buf_put(&commands, STR("a "));
            buf_put(&commands, before);
            if (has_number)
                buf_putf(&commands, "%u", n);
            buf_put(&commands, str_from(after, has_number ? 1 : 0));
            buf_put(&commands, STR("\r\n"));
        }
        assert_true(turns_of(s, buf_str(&commands), &highest) > 5);
    }
    buf_free(&commands);
    imap_session_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fetch_streams),
        cmocka_unit_test(test_binary_streams),
        cmocka_unit_test(test_list_gives_way),
        cmocka_unit_test(test_commits_give_way),
        cmocka_unit_test(test_lsub_gives_way),
        cmocka_unit_test(test_esearch_is_small),
        cmocka_unit_test(test_an_idle_session_is_small),
        cmocka_unit_test(test_a_group_commits_once),
        cmocka_unit_test(test_idle_tells_in_the_next_turn),
        cmocka_unit_test(test_long_commands_tell_their_progress),
        cmocka_unit_test(test_notify_is_bounded),
        cmocka_unit_test(test_a_resynchronisation_streams),
        cmocka_unit_test(test_notify_has_limits),
        cmocka_unit_test(test_notify_fetch_streams),
        cmocka_unit_test(test_the_gate_keeps_what_follows_a_login),
        cmocka_unit_test(test_bulk_downloads_wait_under_load),
    };
    int failed;

    transcript_vault_init();
    home = transcript_vault_new(&quiet);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    transcript_vault_free(&home);
    return failed;
}
