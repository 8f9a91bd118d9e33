/*
 * Runs the conversations in tests/protocol/<folder> on the engines of mailbox sessions, as the
 * roles reach them (role/engine.h), and a real vault in a temporary folder; each file has a vault
 * of its own. The folder is the first argument and names the protocol; a second one chooses files.
 * A check at the end fails for a row of the command or the capability table, or a refusal, that no
 * conversation covers.
 *
 *   # text                  a comment
 *   2 C: text               connection 2 sends a line; lines that follow each other are one packet
 *   2 S: text               ... and gets this line. $name captures a word, or demands the same
 *                           again; "..." is any text; after +OK, -ERR or "]" any words may follow
 *   2 ! gate                connection 2 is one before login (gate: no TLS yet, gate-tls: with it,
 *                           gate-local: without it, but it may log in)
 *   2 ! imap | pop3         it is logged in with this protocol
 *   2 ! granted             the login that it asked for succeeds: its second half goes on
 *   2 ! secured | denied | unavailable | login user password | ended | close | closed
 *   @ mail INBOX 3          three simple messages arrive
 *   @ raw INBOX text        this message arrives, with a CRLF only where \x0d\x0a says so
 *   @ given uidl INBOX      a simple message with a unique-id of its own
 *   @ purge                 what was expunged is taken away
 *   $(x*70000)              in a C or raw line: 70,000 times x;  \xNN: that byte
 *
 * A connection that is not announced is born logged in; the answer to its login is read past.
 */
#include "imap/transcript_vault.h"
#include "pop3/capability.h"
#include "pop3/command.h"
#include "pop3/reply.h"
#include "role/engine.h"
#include "transcript.h"

#include "base/encode.h"
#include "base/file.h"
#include "base/memory.h"
#include "imap/session.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { CONNECTIONS_MAX = 10, FILES_MAX = 200, SEEN_MAX = 64 };

static const int64_t NOW_MS = INT64_C(1795323600000); /* 2026-11-22T05:00:00Z */
static const struct log quiet = {.level = LOG_LEVEL_ERROR, .fd = -1, .role = "test"};
static const struct config config = {.hostname = STR_INIT("mail.example"),
                                     .message_size_max = 1000000};

struct connection {
    const struct engine_kind *kind;
    void *session;     /* own; NULL: none */
    struct buf output; /* what the server said and no S line has matched yet */
};

struct run {
    const char *file;
    size_t line_number;
    struct transcript_vault *home;
    struct imap_group *group;
    struct connection connections[CONNECTIONS_MAX];
    struct buf packet; /* C lines that are not sent yet */
    size_t packet_to;
    struct transcript_variables variables;
    int64_t now_ms;
    unsigned mails;
};

/* The protocol of the folder, and what all files cover together. */
static const struct engine_kind *protocol;
static bool is_command_seen[SEEN_MAX], is_capability_seen[SEEN_MAX], is_refusal_seen[SEEN_MAX];

static _Noreturn void complain(const struct run *run, const char *what, struct str text)
{
    print_error("%s:%zu: %s: %.*s\n", run->file, run->line_number, what, STR_ARG(text));
    fail();
    abort();
}

/* ---- The conversation's machinery ---- */

/* Until every session waits for its client. */
static void pump(struct run *run)
{
    bool has_work = true;

    while (has_work) {
        has_work = false;
        for (size_t n = 0; n < CONNECTIONS_MAX; n++) {
            struct connection *at = &run->connections[n];
            enum engine_want want;
            struct str output;

            if (at->session == NULL)
                continue;
            output = at->kind->output(at->session);
            buf_put(&at->output, output);
            at->kind->consume_output(at->session, output.len);
            want = at->kind->wants(at->session);
            if (want == ENGINE_WANTS_ROOM || want == ENGINE_WANTS_TURN)
                at->kind->resume(at->session, run->now_ms);
            has_work = has_work || output.len > 0 || want == ENGINE_WANTS_ROOM ||
                       want == ENGINE_WANTS_TURN;
        }
    }
}

static void begin(struct run *run, size_t n, const struct engine_kind *kind, bool may_log_in,
                  bool is_tls, bool is_logged_in)
{
    struct connection *at = &run->connections[n];
    struct engine_options options = {.config = &config,
                                     .log = &quiet,
                                     .may_log_in = may_log_in,
                                     .is_tls = is_tls,
                                     .vault = transcript_vault(run->home),
                                     .appends = run->group,
                                     .login_tag = STR("L")};

    if (at->session != NULL)
        complain(run, "the connection is there already", STR(""));
    if (!is_logged_in)
        options.appends = NULL;
    at->kind = kind;
    at->session = is_logged_in ? kind->resume_authenticated(&options) : kind->begin(&options);
    pump(run);
    if (is_logged_in)
        buf_reset(&at->output);
}

/* The second half of the conversation is born of what the first one told (role/engine.h). */
static void grant(struct run *run, struct connection *at)
{
    struct engine_options options = {.config = &config,
                                     .log = &quiet,
                                     .may_log_in = true,
                                     .is_tls = true,
                                     .vault = transcript_vault(run->home),
                                     .appends = run->group};
    struct str username, password;
    void *first = at->session;

    if (at->kind->wants(first) != ENGINE_WANTS_LOGIN)
        complain(run, "no login is wanted", STR(""));
    at->kind->login(first, &options.login_tag, &username, &password);
    at->session = at->kind->resume_authenticated(&options);
    at->kind->free(first);
}

static struct connection *connection_of(struct run *run, size_t n)
{
    if (run->connections[n].session == NULL)
        begin(run, n, protocol, true, true, true);
    return &run->connections[n];
}

static void send_packet(struct run *run)
{
    struct connection *at;

    if (run->packet.len == 0)
        return;
    at = connection_of(run, run->packet_to);
    at->kind->input(at->session, buf_str(&run->packet), run->now_ms);
    buf_reset(&run->packet);
    pump(run);
}

static void expand(struct run *run, struct str text, struct buf *out)
{
    if (!transcript_expand(&run->variables, text, out))
        complain(run, "this means nothing", text);
}

static void cover_command(struct str line)
{
    const struct pop3_command *command;
    struct str name;

    str_split(&line, ' ', &name);
    command = pop3_command_find(name);
    if (command != NULL)
        is_command_seen[command - pop3_commands] = true;
}

static void cover_answer(struct str line)
{
    for (size_t i = 0; i < pop3_capability_count; i++) {
        if (str_equal(line, pop3_capabilities[i].line))
            is_capability_seen[i] = true;
    }
    for (size_t i = 0; i < POP3_REFUSAL_COUNT; i++) {
        if (str_starts_with(line, STR("-ERR ")) &&
            str_ends_with(line, pop3_refusal_words((enum pop3_refusal)i)))
            is_refusal_seen[i] = true;
    }
}

static void on_client(struct run *run, size_t n, struct str text)
{
    if (run->packet.len > 0 && run->packet_to != n)
        send_packet(run);
    if (run->connections[n].output.len > 0)
        complain(run, "the server said more", buf_str(&run->connections[n].output));
    cover_command(text);
    run->packet_to = n;
    expand(run, text, &run->packet);
    buf_put(&run->packet, STR("\r\n"));
}

static bool may_have_words(struct str expected)
{
    return str_equal(expected, STR("+OK")) || str_equal(expected, STR("-ERR")) ||
           str_ends_with(expected, STR("]")) || str_ends_with(expected, STR(" OK"));
}

static void on_server(struct run *run, size_t n, struct str expected)
{
    struct connection *at;
    struct str line;
    struct buf pattern;
    ptrdiff_t end;

    send_packet(run);
    at = connection_of(run, n);
    end = str_find(buf_str(&at->output), STR("\r\n"));
    if (end < 0)
        complain(run, "the server said nothing, expected", expected);
    line = str_upto(buf_str(&at->output), (size_t)end);
    cover_answer(line);
    buf_init(&pattern, SIZE_MAX);
    while (expected.len > 0) { /* \xNN; the rest is for transcript_match */
        bool is_byte = str_starts_with(expected, STR("\\x")) &&
                       decode_hex(&pattern, str_upto(str_from(expected, 2), 2)) == ERR_OK;

        if (!is_byte)
            buf_put(&pattern, str_upto(expected, 1));
        expected = str_from(expected, is_byte ? 4 : 1);
    }
    if (!transcript_match(&run->variables, buf_str(&pattern), line,
                          may_have_words(buf_str(&pattern)))) {
        print_error("expected: %.*s\n", STR_ARG(buf_str(&pattern)));
        complain(run, "the server said", line);
    }
    buf_free(&pattern);
    buf_consume(&at->output, (size_t)end + 2);
}

static void end_connection(struct run *run, size_t n)
{
    struct connection *at = &run->connections[n];

    if (at->output.len > 0)
        complain(run, "the server said more", buf_str(&at->output));
    if (at->session != NULL)
        at->kind->free(at->session);
    at->session = NULL;
}

static void check_login(struct run *run, struct connection *at, struct str arguments)
{
    struct str tag, username, password, expected_username;

    if (at->kind->wants(at->session) != ENGINE_WANTS_LOGIN)
        complain(run, "no login is wanted", arguments);
    at->kind->login(at->session, &tag, &username, &password);
    str_split(&arguments, ' ', &expected_username);
    if (!str_equal(username, expected_username) || !str_equal(password, arguments))
        complain(run, "other credentials", username);
}

static void on_act(struct run *run, size_t n, struct str act)
{
    struct connection *at = &run->connections[n];

    send_packet(run);
    if (str_starts_with(act, STR("gate"))) {
        begin(run, n, protocol, !str_equal(act, STR("gate")), str_equal(act, STR("gate-tls")),
              false);
    } else if (engine_for_listener(act) != NULL) {
        begin(run, n, engine_for_listener(act), true, true, true);
    } else if (at->session == NULL) {
        complain(run, "there is no such connection", act);
    } else if (str_equal(act, STR("secured"))) {
        if (at->kind->wants(at->session) != ENGINE_WANTS_TLS)
            complain(run, "TLS is not wanted", act);
        at->kind->secured(at->session);
    } else if (str_equal(act, STR("granted"))) {
        grant(run, at);
    } else if (str_equal(act, STR("denied"))) {
        at->kind->login_failed(at->session, ENGINE_LOGIN_DENIED);
    } else if (str_equal(act, STR("unavailable"))) {
        at->kind->login_failed(at->session, ENGINE_LOGIN_UNAVAILABLE);
    } else if (str_starts_with(act, STR("login "))) {
        check_login(run, at, str_from(act, 6));
    } else if (str_equal(act, STR("ended"))) {
        at->kind->end(at->session, "the server ends this session");
    } else if (str_equal(act, STR("close"))) {
        end_connection(run, n);
    } else if (str_equal(act, STR("closed"))) {
        if (at->kind->wants(at->session) != ENGINE_WANTS_CLOSE)
            complain(run, "the session goes on", act);
        end_connection(run, n);
    } else {
        complain(run, "no such act", act);
    }
    pump(run);
}

static void append(struct run *run, struct str folder, struct str raw, struct str uidl)
{
    struct vault_append append = {.raw = raw, .internal_date_ms = run->now_ms, .uidl = uidl};
    struct vault *vault = transcript_vault(run->home);
    struct task task;
    int64_t folder_id;
    uint32_t uid;

    task_init(&task, run->now_ms);
    if (vault_folder_id(vault, &task, folder, &folder_id) != ERR_OK ||
        vault_message_append(vault, &task, folder_id, &append, &uid) != ERR_OK)
        complain(run, task.words, folder);
    task_done(&task);
}

static void purge(struct run *run)
{
    bool has_more = true;
    struct task task;

    run->now_ms += 2 * VAULT_EXPUNGED_GRACE_MS;
    task_init(&task, run->now_ms);
    while (has_more)
        assert_int_equal(vault_housekeeping(transcript_vault(run->home), &task, &has_more), ERR_OK);
    task_done(&task);
}

static void on_world(struct run *run, struct str text)
{
    struct str verb, first, second = {0};
    struct buf raw;
    uint32_t count = 0;

    send_packet(run);
    imap_group_commit(run->group, run->now_ms);
    str_split(&text, ' ', &verb);
    str_split(&text, ' ', &first);
    buf_init(&raw, SIZE_MAX);
    if (str_equal(verb, STR("mail"))) {
        if (!parse_u32(text, &count))
            complain(run, "how many?", text);
        for (uint32_t i = 0; i < count; i++)
            transcript_vault_mail(run->home, first, ++run->mails, run->now_ms);
    } else if (str_equal(verb, STR("raw"))) {
        expand(run, text, &raw);
        append(run, first, buf_str(&raw), STR(""));
    } else if (str_equal(verb, STR("given"))) {
        str_split(&text, ' ', &second);
        append(run, second, STR("Subject: imported\r\n\r\nText.\r\n"), first);
    } else if (str_equal(verb, STR("purge"))) {
        purge(run);
    } else {
        complain(run, "unknown", verb);
    }
    buf_free(&raw);
    pump(run);
}

static void on_line(struct run *run, struct str line)
{
    size_t n;

    if (line.len == 0 || line.ptr[0] == '#')
        return;
    if (str_starts_with(line, STR("@ "))) {
        on_world(run, str_from(line, 2));
        return;
    }
    if (line.len < 4 || line.ptr[0] < '0' || line.ptr[0] > '9' || line.ptr[1] != ' ')
        complain(run, "not a line of a transcript", line);
    n = (size_t)(line.ptr[0] - '0');
    if (str_starts_with(str_from(line, 2), STR("C:")))
        on_client(run, n, str_from(line, 5));
    else if (str_starts_with(str_from(line, 2), STR("S:")))
        on_server(run, n, str_from(line, 5));
    else if (str_starts_with(str_from(line, 2), STR("! ")))
        on_act(run, n, str_from(line, 4));
    else
        complain(run, "not a line of a transcript", line);
}

static void run_text(const char *name, struct str text)
{
    struct run run = {.file = name, .now_ms = NOW_MS};
    struct str line;

    run.home = transcript_vault_new(&quiet);
    run.group = imap_group_new(transcript_vault(run.home));
    buf_init(&run.packet, SIZE_MAX);
    for (size_t n = 0; n < CONNECTIONS_MAX; n++)
        buf_init(&run.connections[n].output, SIZE_MAX);
    while (str_split(&text, '\n', &line)) {
        run.line_number++;
        on_line(&run, line);
    }
    send_packet(&run);
    for (size_t n = 0; n < CONNECTIONS_MAX; n++) {
        end_connection(&run, n);
        buf_free(&run.connections[n].output);
    }
    buf_free(&run.packet);
    transcript_variables_done(&run.variables);
    imap_group_free(&run.group);
    transcript_vault_free(&run.home);
}

/* ---- The tests ---- */

static void run_file(void **state)
{
    const char *path = *state;
    struct task task;
    struct buf text;

    task_init(&task, NOW_MS);
    buf_init(&text, SIZE_MAX);
    assert_int_equal(file_read(&task, AT_FDCWD, path, 1 << 20, &text), ERR_OK);
    run_text(path, buf_str(&text));
    buf_free(&text);
    task_done(&task);
}

/* An APPEND that waits for its commit is in the list of a POP3 session that begins meanwhile. */
static void test_appends_are_committed_first(void **state)
{
    static const char append[] = "a APPEND INBOX {6+}\r\nA: b\r\n\r\n";
    struct run run = {.file = "appends", .now_ms = NOW_MS};
    struct connection *imap = &run.connections[0], *pop3 = &run.connections[1];

    (void)state;
    run.home = transcript_vault_new(&quiet);
    run.group = imap_group_new(transcript_vault(run.home));
    buf_init(&imap->output, SIZE_MAX);
    buf_init(&pop3->output, SIZE_MAX);
    begin(&run, 0, &engine_imap, true, true, true);
    imap->kind->input(imap->session, str_from_c(append), NOW_MS);
    assert_int_equal(imap->kind->output(imap->session).len, 0);
    pop3->kind = &engine_pop3;
    pop3->session = engine_pop3.resume_authenticated(
        &(struct engine_options){.config = &config,
                                 .log = &quiet,
                                 .vault = transcript_vault(run.home),
                                 .appends = run.group});
    assert_true(str_starts_with(imap->kind->output(imap->session), STR("a OK")));
    assert_true(
        str_equal(engine_pop3.output(pop3->session), STR("+OK Logged in, 1 messages.\r\n")));
    imap->kind->consume_output(imap->session, SIZE_MAX);
    end_connection(&run, 0);
    end_connection(&run, 1);
    buf_free(&imap->output);
    buf_free(&pop3->output);
    imap_group_free(&run.group);
    transcript_vault_free(&run.home);
}

/* What only a failing disk brings about: pop3/session_test.c has one. */
static bool needs_a_broken_disk(enum pop3_refusal refusal)
{
    return refusal == POP3_REFUSAL_NOT_DELETED || refusal == POP3_REFUSAL_DAMAGED ||
           refusal == POP3_REFUSAL_NONE;
}

static void test_every_row_has_a_transcript(void **state)
{
    (void)state;
    for (size_t i = 0; i < pop3_command_count; i++) {
        if (!is_command_seen[i])
            fail_msg("no transcript has %s", pop3_commands[i].name.ptr);
    }
    for (size_t i = 0; i < pop3_capability_count; i++) {
        if (!is_capability_seen[i])
            fail_msg("no transcript shows the capability %s", pop3_capabilities[i].line.ptr);
    }
    for (size_t i = 0; i < POP3_REFUSAL_COUNT; i++) {
        if (!is_refusal_seen[i] && !needs_a_broken_disk((enum pop3_refusal)i))
            fail_msg("no transcript shows: %s", pop3_refusal_words((enum pop3_refusal)i).ptr);
    }
}

static int compare_tests(const void *a, const void *b)
{
    return strcmp(((const struct CMUnitTest *)a)->name, ((const struct CMUnitTest *)b)->name);
}

int main(int argc, char **argv)
{
    static struct CMUnitTest tests[FILES_MAX + 2];
    const char *source = getenv("SEALPOST_SOURCE");
    size_t count = 0;
    char folder[2048];
    struct dirent *entry;
    DIR *files;
    int failed;

    protocol = argc < 2 ? NULL : engine_for_listener(str_from_c(argv[1]));
    snprintf(folder, sizeof(folder), "%s/tests/protocol/%s", source == NULL ? "." : source,
             argc < 2 ? "" : argv[1]);
    files = opendir(folder);
    if (protocol == NULL || files == NULL)
        return 1;
    transcript_vault_init();
    while ((entry = readdir(files)) != NULL && count < FILES_MAX) {
        char path[4096];

        if (!str_ends_with(str_from_c(entry->d_name), STR(".txt")) ||
            (argc > 2 && strstr(entry->d_name, argv[2]) == NULL))
            continue;
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        tests[count].name = mem_copy_text(entry->d_name, strlen(entry->d_name));
        tests[count].test_func = run_file;
        tests[count++].initial_state = mem_copy_text(path, strlen(path));
    }
    closedir(files);
    qsort(tests, count, sizeof(tests[0]), compare_tests);
    if (argc == 2 && protocol == &engine_pop3) {
        tests[count++] = (struct CMUnitTest)cmocka_unit_test(test_appends_are_committed_first);
        tests[count++] = (struct CMUnitTest)cmocka_unit_test(test_every_row_has_a_transcript);
    }
    failed = _cmocka_run_group_tests("transcripts", tests, count, NULL, NULL);
    for (size_t i = 0; i < count; i++) {
        if (tests[i].initial_state == NULL)
            continue;
        free((void *)(uintptr_t)tests[i].name);
        free(tests[i].initial_state);
    }
    return failed;
}
