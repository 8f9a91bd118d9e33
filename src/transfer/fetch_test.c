/* The dialog with another server, which is played: what it is told, and what it cannot get away
 * with. */
#include "transfer/fetch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { TURNS_MAX = 12 };

struct turn {
    const char
        *command; /* what the client must have said, in the words behind the tag; NULL: greeting */
    const char *answer; /* '^' stands for the tag */
};

struct server {
    const struct turn *turns;
    size_t next;
    struct buf said;    /* own; not answered yet */
    struct buf answers; /* own; not read yet */
    struct buf heard;   /* own; all that the client said */
    bool has_tls;
    char wrong[200]; /* what was said instead */
};

static void answer(struct server *server, struct str tag)
{
    for (const char *c = server->turns[server->next].answer; *c != '\0'; c++) {
        if (*c == '^')
            buf_put(&server->answers, tag);
        else
            buf_put(&server->answers, str_make(c, 1));
    }
    server->next++;
}

static void take_commands(struct server *server)
{
    for (;;) {
        ptrdiff_t end = str_index(buf_str(&server->said), '\n');
        struct str line, tag;

        if (end < 0)
            return;
        line = str_trim(str_upto(buf_str(&server->said), (size_t)end));
        if (!str_split(&line, ' ', &tag) || server->turns[server->next].answer == NULL ||
            !str_equal(line, str_from_c(server->turns[server->next].command)))
            (void)snprintf(server->wrong, sizeof(server->wrong), "%.*s", STR_ARG(line));
        else
            answer(server, tag);
        buf_consume(&server->said, (size_t)end + 1);
    }
}

static enum err on_read(void *owner, struct task *task, char *room, size_t len, size_t *out_len)
{
    struct server *server = owner;

    (void)task;
    /* A little at a time: nothing may depend on how it is cut. */
    *out_len = server->answers.len < 7 ? server->answers.len : 7;
    *out_len = *out_len < len ? *out_len : len;
    if (*out_len > 0) {
        memcpy(room, server->answers.ptr, *out_len);
        buf_consume(&server->answers, *out_len);
    }
    return ERR_OK;
}

static enum err on_write(void *owner, struct task *task, struct str bytes)
{
    struct server *server = owner;

    (void)task;
    buf_put(&server->said, bytes);
    buf_put(&server->heard, bytes);
    take_commands(server);
    return ERR_OK;
}

static enum err on_start_tls(void *owner, struct task *task)
{
    struct server *server = owner;

    (void)task;
    server->has_tls = true;
    return ERR_OK;
}

/* What the mailbox's end answers. */
static void answer_feed(int fd, char kind, const char *content)
{
    CLEANUP(buf_free) struct buf frames;

    buf_init(&frames, SIZE_MAX);
    transfer_frame_put(&frames, kind, str_from_c(content));
    assert_int_equal(write(fd, frames.ptr, frames.len), (ssize_t)frames.len);
}

struct outcome {
    enum err err;
    char words[TASK_WORDS_MAX];
    struct buf fed; /* own; frames */
    struct transfer_fetched fetched; /* but for its texts */
    bool has_view;
};

static void play(const struct turn *turns, bool needs_tls, const char *known, struct server *server,
                 struct outcome *out)
{
    const struct transfer_line line = {on_read, on_write, on_start_tls, server};
    const struct transfer_server other = {.user = STR("someone"),
                                          .password = STR("a \"quoted\\ one"),
                                          .name = STR("imap://someone@host"),
                                          .needs_tls = needs_tls};
    CLEANUP(transfer_feed_free) struct transfer_feed *feed = NULL;
    CLEANUP(task_done) struct task task;
    char room[65536];
    ssize_t got;
    int pair[2];

    *server = (struct server){.turns = turns};
    buf_init(&server->said, SIZE_MAX);
    buf_init(&server->answers, SIZE_MAX);
    buf_init(&server->heard, SIZE_MAX);
    buf_init(&out->fed, SIZE_MAX);
    answer(server, STR("*"));
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    answer_feed(pair[0], 'K', known);
    feed = transfer_feed_new(pair[1]);
    task_init(&task, 0);
    out->err = transfer_fetch(&task, &line, &other, feed, &out->fetched);
    out->has_view = str_equal(out->fetched.view, STR("All"));
    if (out->err == ERR_OK) {
        struct transfer_totals totals;

        answer_feed(pair[0], 'R', "{\"messages\":2}"); /* as if it had all of it */
        out->err = transfer_feed_end(feed, &task, &totals);
    }
    memcpy(out->words, task.words, sizeof(out->words));
    (void)close(pair[1]);
    while ((got = read(pair[0], room, sizeof(room))) > 0)
        buf_put(&out->fed, str_make(room, (size_t)got));
    (void)close(pair[0]);
}

static void done(struct server *server, struct outcome *outcome)
{
    buf_free(&server->said);
    buf_free(&server->answers);
    buf_free(&server->heard);
    buf_free(&outcome->fed);
}

static bool has(const struct buf *bytes, const char *words)
{
    return str_find(buf_str(bytes), str_from_c(words)) >= 0;
}

#define LOGIN "LOGIN \"someone\" \"a \\\"quoted\\\\ one\""

static void test_refused(void **state)
{
    static const struct {
        const char *rule;
        struct turn turns[TURNS_MAX];
        enum err err;
        const char *words;
        bool needs_tls, hears_password;
    } rows[] = {
        {"no IMAP",
         {{NULL, "220 mail.test ESMTP\r\n"}},
         ERR_INVALID,
         "no IMAP server",
         true,
         false},
        {"logged in already, for whoever it is",
         {{NULL, "* PREAUTH hello\r\n"}},
         ERR_INVALID,
         "no IMAP server",
         true,
         false},
        {"no clients now",
         {{NULL, "* BYE too many\r\n"}},
         ERR_INVALID,
         "takes no clients",
         true,
         false},
        {"no TLS",
         {{NULL, "* OK\r\n"}, {"STARTTLS", "^ BAD what\r\n"}},
         ERR_DENIED,
         "does not offer TLS",
         true,
         false},
        {"TLS by and by",
         {{NULL, "* OK\r\n"}, {"STARTTLS", "^ NO not now\r\n"}},
         ERR_DENIED,
         "does not offer TLS",
         true,
         false},
        {"hangs up",
         {{NULL, "* OK\r\n"}, {"STARTTLS", "* BYE\r\n"}},
         ERR_BUSY,
         "hung up",
         true,
         false},
        {"another password",
         {{NULL, "* OK\r\n"}, {LOGIN, "^ NO never\r\n"}},
         ERR_DENIED,
         "refuses name or password",
         false,
         true},
        {"another's tag",
         {{NULL, "* OK\r\n"}, {LOGIN, "s9 OK\r\ns99 OK\r\n^ NO\r\n"}},
         ERR_DENIED,
         "refuses name or password",
         false,
         true},
        {"no folders",
         {{NULL, "* OK\r\n"}, {LOGIN, "^ OK\r\n"}, {"LIST \"\" \"*\"", "^ BAD\r\n"}},
         ERR_INVALID,
         "does not list",
         false,
         true},
        {"ends in the middle",
         {{NULL, "* OK\r\n"},
          {LOGIN, "^ OK\r\n"},
          {"LIST \"\" \"*\"", "* LIST () \"/\" {5}\r\nINB"}},
         ERR_BUSY,
         "hung up",
         false,
         true},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct outcome outcome;
        struct server server;

        play(rows[i].turns, rows[i].needs_tls, "{}", &server, &outcome);
        if (outcome.err != rows[i].err || strstr(outcome.words, rows[i].words) == NULL)
            fail_msg("%s: %d %s (it said %s)", rows[i].rule, (int)outcome.err, outcome.words,
                     server.wrong);
        if (has(&server.heard, "LOGIN") != rows[i].hears_password)
            fail_msg("%s: %.*s", rows[i].rule, STR_ARG(buf_str(&server.heard)));
        done(&server, &outcome);
    }
}

#define UP_TO_FOLDER                                                                               \
    {NULL, "* OK\r\n"}, {"STARTTLS", "^ OK\r\n"}, {LOGIN, "^ OK\r\n"},                             \
        {"LIST \"\" \"*\"",                                                                        \
         "* LIST (\\HasNoChildren \\Sent) \".\" \"Sent.Items\"\r\n* LIST (\\All) \".\" All\r\n"    \
         "* LIST (\\Noselect) \".\" \"None\"\r\n^ OK\r\n"},                                        \
        {"LSUB \"\" \"*\"", "* LSUB () \".\" \"Sent.Items\"\r\n^ OK\r\n"},                         \
    {                                                                                              \
        "EXAMINE \"Sent.Items\"",                                                                  \
            "* OK [UIDVALIDITY 7] x\r\n* OK [UIDNEXT 12] x\r\n^ OK [READ-ONLY]\r\n"                \
    }

/* Folders by their use, levels, subscriptions; flags, dates and bytes; news in between. */
static void test_taken(void **state)
{
    static const struct turn turns[TURNS_MAX] = {
        UP_TO_FOLDER,
        {"UID SEARCH UID 1:*", "* SEARCH 11 9\r\n* SEARCH 0 x\r\n^ OK\r\n"},
        {"UID FETCH 9,11 (UID RFC822.SIZE)",
         "* 1 FETCH (UID 9 RFC822.SIZE 5)\r\n* 2 FETCH (RFC822.SIZE 3 UID 11)\r\n^ OK\r\n"},
        {"UID FETCH 9,11 (UID FLAGS INTERNALDATE BODY.PEEK[])",
         "* 2 FETCH (FLAGS (\\Deleted))\r\n"
         "* 1 FETCH (UID 9 FLAGS (\\Seen $Work \\Recent) INTERNALDATE \"17-Jul-1996 02:44:25 "
         "-0700\" "
         "BODY[] {5}\r\nhello)\r\n"
         "* 3 FETCH (UID 77 BODY[] \"not asked for\")\r\n"
         "* 1 FETCH (UID 9 BODY[] \"twice\")\r\n"
         "* 2 FETCH (BODY[] \"two\" UID 11 FLAGS () INTERNALDATE \"no date\")\r\n^ OK\r\n"},
        {"NOOP", "^ OK\r\n"},
    };
    struct outcome outcome;
    struct server server;

    (void)state;
    play(turns, true, "{\"uidvalidity\":0,\"uid\":0}", &server, &outcome);
    if (outcome.err != ERR_OK)
        fail_msg("%s (it said %s)", outcome.words, server.wrong);
    assert_true(server.has_tls);
    assert_true(
        has(&outcome.fed, "\"folder\":\"Sent/Items\",\"use\":\"sent\",\"subscribed\":true"));
    assert_true(has(&outcome.fed, "\"source\":\"imap://someone@host/Sent.Items\""));
    assert_true(has(&outcome.fed, "\"uidvalidity\":7,\"uidnext\":12"));
    assert_true(has(&outcome.fed, "\"uid\":9,\"flags\":[\"\\\\Seen\",\"$Work\"],\"date\":"
                                  "\"1996-07-17T09:44:25.000Z\",\"zone\":-420,\"size\":5"));
    assert_true(has(&outcome.fed, "hello") && has(&outcome.fed, "two"));
    assert_false(has(&outcome.fed, "not asked for") || has(&outcome.fed, "twice"));
    assert_false(has(&outcome.fed, "\"All\"") || has(&outcome.fed, "\"None\""));
    assert_true(outcome.has_view); /* it was passed over, and is told */
    assert_int_equal(outcome.fetched.refused_count + outcome.fetched.lost_count, 0);
    done(&server, &outcome);
}

/* By its greeting it is a Cyrus: of its INBOX, which POP3 has, the unique-ids are known. */
static void test_unique_ids(void **state)
{
#define CYRUS(NAME)                                                                                \
    {                                                                                              \
        {NULL, "* OK host Cyrus IMAP 3.6.1 server ready\r\n"}, {LOGIN, "^ OK\r\n"},                \
            {"LIST \"\" \"*\"", "* LIST () \".\" " NAME "\r\n^ OK\r\n"},                           \
            {"LSUB \"\" \"*\"", "^ OK\r\n"},                                                       \
            {"EXAMINE \"" NAME "\"", "* OK [UIDVALIDITY 7] x\r\n^ OK [READ-ONLY]\r\n"},            \
            {"UID SEARCH UID 1:*", "* SEARCH 9\r\n^ OK\r\n"},                                      \
            {"UID FETCH 9 (UID RFC822.SIZE)", "* 1 FETCH (UID 9 RFC822.SIZE 5)\r\n^ OK\r\n"},      \
            {"UID FETCH 9 (UID FLAGS INTERNALDATE BODY.PEEK[])",                                   \
             "* 1 FETCH (UID 9 BODY[] {5}\r\nhello)\r\n^ OK\r\n"},                                 \
            {"NOOP", "^ OK\r\n"},                                                                  \
    }
    static const struct turn rows[][TURNS_MAX] = {CYRUS("INBOX"), CYRUS("Old")};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct outcome outcome;
        struct server server;

        play(rows[i], false, "{\"uidvalidity\":0,\"uid\":0}", &server, &outcome);
        assert_string_equal(server.wrong, "");
        assert_int_equal(has(&outcome.fed, "\"uidl\":\"7.9\""), i == 0);
        done(&server, &outcome);
    }
}

/* What is known already is not asked for, though "n:*" names the last one whatever n. */
static void test_known(void **state)
{
    static const struct turn turns[TURNS_MAX] = {
        UP_TO_FOLDER,
        {"UID SEARCH UID 12:*", "* SEARCH 11\r\n^ OK\r\n"},
        {"NOOP", "^ OK\r\n"},
    };
    struct outcome outcome;
    struct server server;

    (void)state;
    play(turns, true, "{\"uidvalidity\":7,\"uid\":11}", &server, &outcome);
    assert_string_equal(server.wrong, "");
    assert_int_equal(outcome.err, ERR_CORRUPT); /* the totals that are played are another run's */
    assert_false(has(&server.heard, "FETCH"));
    done(&server, &outcome);
}

/* One that it has, by its size, and does not give, is no loss that goes unnoticed; a gone one is
 * none. */
static void test_not_given(void **state)
{
    static const struct turn kept[TURNS_MAX] = {
        UP_TO_FOLDER,
        {"UID SEARCH UID 1:*", "* SEARCH 9 11\r\n^ OK\r\n"},
        {"UID FETCH 9,11 (UID RFC822.SIZE)",
         "* 1 FETCH (UID 9 RFC822.SIZE 5)\r\n* 2 FETCH (UID 11 RFC822.SIZE 3)\r\n^ OK\r\n"},
        {"UID FETCH 9,11 (UID FLAGS INTERNALDATE BODY.PEEK[])",
         "* 2 FETCH (UID 11 FLAGS () BODY[] NIL)\r\n"
         "* 1 FETCH (UID 9 FLAGS () BODY[] \"hello\")\r\n^ OK\r\n"},
        /* Once more by itself; and is it still there? */
        {"UID FETCH 11 (UID FLAGS INTERNALDATE BODY.PEEK[])", "^ OK\r\n"},
        {"UID FETCH 11 (UID RFC822.SIZE)", "* 2 FETCH (UID 11 RFC822.SIZE 3)\r\n^ OK\r\n"},
        {"NOOP", "^ OK\r\n"},
    };
    static const struct turn gone[TURNS_MAX] = {
        UP_TO_FOLDER,
        {"UID SEARCH UID 1:*", "* SEARCH 9 11\r\n^ OK\r\n"},
        {"UID FETCH 9,11 (UID RFC822.SIZE)", "* 1 FETCH (UID 9 RFC822.SIZE 5)\r\n^ OK\r\n"},
        {"UID FETCH 9 (UID FLAGS INTERNALDATE BODY.PEEK[])",
         "* 1 FETCH (UID 9 FLAGS () BODY[] \"hello\")\r\n^ OK\r\n"},
        {"NOOP", "^ OK\r\n"},
    };
    struct outcome outcome;
    struct server server;

    (void)state;
    play(kept, true, "{}", &server, &outcome);
    assert_string_equal(server.wrong, "");
    assert_int_equal(outcome.fetched.lost_count, 1);
    assert_int_equal(outcome.fetched.lost_uid, 11);
    assert_false(has(&outcome.fed, "NIL"));
    done(&server, &outcome);
    play(gone, true, "{}", &server, &outcome);
    assert_string_equal(server.wrong, "");
    assert_int_equal(server.next, 10); /* it came to its end */
    assert_int_equal(outcome.fetched.lost_count, 0);
    done(&server, &outcome);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),    cmocka_unit_test(test_taken),
        cmocka_unit_test(test_unique_ids), cmocka_unit_test(test_known),
        cmocka_unit_test(test_not_given),
    };

    alarm(60); /* rather than wait for an answer for ever */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
