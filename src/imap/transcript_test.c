/*
 * Runs the conversations in tests/protocol/imap on the engine and a real vault in a temporary
 * folder; each file has a vault of its own. A check at the end fails for a row of the command or
 * the capability table that no conversation covers.
 *
 *   # text                  a comment; "# capability: NAME" says what the file covers
 *   2 C: text               connection 2 sends a line; lines that follow each other are one packet
 *   2 S: text               ... and gets this line. $name captures a word, or demands the same
 * again;
 *                           $name! captures one that no variable has yet.
 *                           "..." is any text; after OK, NO, BAD, BYE or "]" any words may follow
 *   2 ! gate                connection 2 is one before login (gate: no TLS yet, gate-tls: with it)
 *   2 ! secured | compressed | denied | unavailable | login user password | close | closed
 *   @ mail INBOX 3          something happens around the connections (imap/transcript_world.h)
 *   $(x$i *70000)           in a C line: x1, x2 … x70000;  \xNN: that byte
 *
 * A connection that is not announced is born logged in, with the tag L; its answer is read past.
 *
 * Each file is run twice: as it stands, and with every connection asleep (imap/hibernate.h)
 * whenever it can be. A sleeper wakes to speak, and one in IDLE when something happened; nobody may
 * notice.
 * "# awake: why" in a file says that from there on all stay awake.
 */
#include "imap/command.h"
#include "imap/capability.h"
#include "imap/hibernate.h"
#include "imap/session.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/random.h"
#include "imap/transcript_world.h"
#include "transcript.h"

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

enum { CONNECTIONS_MAX = 10, FILES_MAX = 200, NAMES_MAX = 300 };

static const int64_t NOW_MS = INT64_C(1795323600000); /* 2026-11-22T05:00:00Z */
static const struct log quiet = {.level = LOG_LEVEL_ERROR, .fd = 2, .role = "test"};

struct run {
    const char *file;
    size_t line_number;
    struct transcript_world world;
    struct imap_session *sessions[CONNECTIONS_MAX];
    bool is_sleepy;
    struct sleeper {
        struct buf state; /* empty: awake */
        bool is_watching;
    } sleepers[CONNECTIONS_MAX];
    size_t sleep_count;
    struct buf output[CONNECTIONS_MAX]; /* what the server said and no S line has matched yet */
    struct buf packet;                  /* C lines that are not sent yet */
    size_t packet_to;
    struct transcript_variables variables;
    struct arena arena;
};

/* What all files cover together. */
static struct {
    struct arena arena;
    struct str commands[NAMES_MAX], capabilities[NAMES_MAX];
    size_t command_count, capability_count;
    size_t sleep_count;
} covered;

static _Noreturn void complain(const struct run *run, const char *what, struct str text)
{
    print_error("%s:%zu: %s: %.*s\n", run->file, run->line_number, what, STR_ARG(text));
    fail();
    abort();
}

static bool is_named(const struct str *names, size_t count, struct str name)
{
    for (size_t i = 0; i < count; i++)
        if (str_equal_nocase(names[i], name))
            return true;
    return false;
}

/* ---- The conversation's machinery ---- */

static void drain(struct run *run, size_t n)
{
    struct str output = imap_session_output(run->sessions[n]);

    buf_put(&run->output[n], output);
    imap_session_consume_output(run->sessions[n], output.len);
}

static struct imap_options options_of(bool is_secure)
{
    return (struct imap_options){
        .hostname = STR("mail.example"),
        .append_limit_bytes = 1000000,
        .is_secure = is_secure,
        .is_tls = is_secure,
        .log = &quiet,
    };
}

static void wake(struct run *run, size_t n)
{
    struct imap_options options = options_of(true);
    struct sleeper *sleeper = &run->sleepers[n];
    struct task task;

    if (sleeper->state.len == 0)
        return;
    options.group = run->world.group;
    options.message_limit = run->world.message_limit;
    task_init(&task, run->world.now_ms);
    assert_int_equal(imap_session_resume_hibernated(&options, transcript_vault(run->world.home),
                                                    &task, buf_str(&sleeper->state),
                                                    &run->sessions[n]),
                     ERR_OK);
    task_done(&task);
    buf_reset(&sleeper->state);
}

static void sleep_if_possible(struct run *run, size_t n)
{
    struct sleeper *sleeper = &run->sleepers[n];

    if (!run->is_sleepy || run->sessions[n] == NULL ||
        !imap_session_can_hibernate(run->sessions[n]))
        return;
    imap_session_hibernate(run->sessions[n], &sleeper->state);
    assert_true(sleeper->state.len > 0 && sleeper->state.len <= IMAP_HIBERNATED_MAX);
    sleeper->is_watching = imap_session_watched_folder(run->sessions[n]) != 0;
    imap_session_free(&run->sessions[n]);
    run->sleep_count++;
}

/* Until every session waits for its client. */
static void pump(struct run *run)
{
    bool has_work = true;

    for (size_t n = 0; n < CONNECTIONS_MAX; n++)
        if (run->sleepers[n].is_watching)
            wake(run, n);
    while (has_work) {
        has_work = false;
        for (size_t n = 0; n < CONNECTIONS_MAX; n++) {
            enum imap_want want;

            if (run->sessions[n] == NULL)
                continue;
            drain(run, n);
            want = imap_session_wants(run->sessions[n]);
            if (want == IMAP_WANTS_ROOM || want == IMAP_WANTS_TURN) {
                imap_session_resume(run->sessions[n], run->world.now_ms);
                has_work = true;
            }
            drain(run, n);
        }
    }
    for (size_t n = 0; n < CONNECTIONS_MAX; n++)
        sleep_if_possible(run, n);
}

static struct imap_session *session_of(struct run *run, size_t n)
{
    struct imap_options options = options_of(true);

    wake(run, n);
    options.group = run->world.group;
    options.message_limit = run->world.message_limit;
    if (run->sessions[n] == NULL) {
        run->sessions[n] = imap_session_resume_authenticated(
            &options, transcript_vault(run->world.home), STR("L"));
        drain(run, n);
        buf_reset(&run->output[n]);
    }
    return run->sessions[n];
}

static void send_packet(struct run *run)
{
    if (run->packet.len == 0)
        return;
    imap_session_input(session_of(run, run->packet_to), buf_str(&run->packet), run->world.now_ms);
    buf_reset(&run->packet);
    pump(run);
}

/* The commands that a C line seems to hold; more than needed does not matter. */
static void cover(struct str line)
{
    const struct imap_command *command = imap_command_of_line(line);

    if (command != NULL && covered.command_count < NAMES_MAX &&
        !is_named(covered.commands, covered.command_count, command->name))
        covered.commands[covered.command_count++] = command->name;
}

static void on_client(struct run *run, size_t n, struct str text)
{
    if (run->packet.len > 0 && run->packet_to != n)
        send_packet(run);
    if (run->output[n].len > 0)
        complain(run, "the server said more", buf_str(&run->output[n]));
    cover(text);
    run->packet_to = n;
    if (!transcript_expand(&run->variables, text, &run->packet))
        complain(run, "this means nothing", text);
    buf_put(&run->packet, STR("\r\n"));
}

static bool may_have_words(struct str expected)
{
    return str_ends_with(expected, STR(" OK")) || str_ends_with(expected, STR(" NO")) ||
           str_ends_with(expected, STR(" BAD")) || str_ends_with(expected, STR(" BYE")) ||
           (str_ends_with(expected, STR("]")) && str_find(expected, STR("BODY[")) < 0);
}

static void on_server(struct run *run, size_t n, struct str expected)
{
    struct str line;
    ptrdiff_t end;

    send_packet(run);
    (void)session_of(run, n);
    end = str_index(buf_str(&run->output[n]), '\n');
    if (end < 0)
        complain(run, "the server said nothing, expected", expected);
    line = str_upto(buf_str(&run->output[n]), (size_t)end);
    if (str_ends_with(line, STR("\r")))
        line.len--;
    if (!transcript_match(&run->variables, expected, line, may_have_words(expected))) {
        print_error("expected: %.*s\n", STR_ARG(expected));
        complain(run, "the server said", line);
    }
    buf_consume(&run->output[n], (size_t)end + 1);
}

static void end_connection(struct run *run, size_t n)
{
    wake(run, n);
    if (run->output[n].len > 0)
        complain(run, "the server said more", buf_str(&run->output[n]));
    imap_session_free(&run->sessions[n]);
}

static void check_login(struct run *run, size_t n, struct str arguments)
{
    struct str tag, username, password, expected_username, expected_password;

    if (imap_session_wants(run->sessions[n]) != IMAP_WANTS_LOGIN)
        complain(run, "no login is wanted", arguments);
    imap_session_login(run->sessions[n], &tag, &username, &password);
    str_split(&arguments, ' ', &expected_username);
    expected_password = arguments;
    if (!str_equal(username, expected_username) || !str_equal(password, expected_password))
        complain(run, "other credentials", username);
}

static void on_act(struct run *run, size_t n, struct str act)
{
    send_packet(run);
    wake(run, n);
    if (str_starts_with(act, STR("gate"))) {
        struct imap_options options = options_of(str_equal(act, STR("gate-tls")));

        run->sessions[n] = imap_session_new(&options);
    } else if (str_equal(act, STR("secured"))) {
        if (imap_session_wants(run->sessions[n]) != IMAP_WANTS_TLS)
            complain(run, "TLS is not wanted", act);
        imap_session_secured(run->sessions[n]);
    } else if (str_equal(act, STR("compressed"))) {
        if (imap_session_wants(run->sessions[n]) != IMAP_WANTS_COMPRESS)
            complain(run, "COMPRESS is not wanted", act);
        imap_session_compressed(run->sessions[n]);
    } else if (str_equal(act, STR("denied"))) {
        imap_session_login_failed(run->sessions[n], IMAP_LOGIN_DENIED);
    } else if (str_equal(act, STR("unavailable"))) {
        imap_session_login_failed(run->sessions[n], IMAP_LOGIN_UNAVAILABLE);
    } else if (str_starts_with(act, STR("login "))) {
        check_login(run, n, str_from(act, 6));
    } else if (str_equal(act, STR("close"))) {
        end_connection(run, n);
    } else if (str_equal(act, STR("closed"))) {
        if (imap_session_wants(run->sessions[n]) != IMAP_WANTS_CLOSE)
            complain(run, "the session goes on", act);
        end_connection(run, n);
    } else {
        complain(run, "no such act", act);
    }
    pump(run);
}

/* "@ mail INBOX 3", "@ quota 5000" */
static void on_world(struct run *run, struct str text)
{
    send_packet(run);
    if (!transcript_world_act(&run->world, text))
        complain(run, "this cannot happen", text);
    pump(run);
}

static void on_line(struct run *run, struct str line)
{
    size_t n;

    if (line.len == 0)
        return;
    if (line.ptr[0] == '#') {
        if (str_starts_with(line, STR("# capability: ")) && covered.capability_count < NAMES_MAX)
            covered.capabilities[covered.capability_count++] =
                arena_copy(&covered.arena, str_from(line, 14));
        if (str_starts_with(line, STR("# awake: ")))
            run->is_sleepy = false;
        return;
    }
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

static void run_text(const char *name, struct str text, bool is_sleepy)
{
    struct run run = {.file = name, .is_sleepy = is_sleepy, .world = {.now_ms = NOW_MS}};
    struct str line;

    run.world.home = transcript_vault_new(&quiet);
    run.world.group = imap_group_new(transcript_vault(run.world.home));
    buf_init(&run.packet, SIZE_MAX);
    for (size_t n = 0; n < CONNECTIONS_MAX; n++) {
        buf_init(&run.output[n], SIZE_MAX);
        buf_init(&run.sleepers[n].state, SIZE_MAX);
    }
    while (str_split(&text, '\n', &line)) {
        run.line_number++;
        on_line(&run, line);
    }
    send_packet(&run);
    for (size_t n = 0; n < CONNECTIONS_MAX; n++) {
        end_connection(&run, n);
        buf_free(&run.output[n]);
        buf_free(&run.sleepers[n].state);
    }
    covered.sleep_count += run.sleep_count;
    buf_free(&run.packet);
    transcript_variables_done(&run.variables);
    arena_free(&run.arena);
    imap_group_free(&run.world.group);
    transcript_vault_free(&run.world.home);
}

/* ---- The tests ---- */

static void run_as(const char *path, bool is_sleepy)
{
    struct task task;
    struct buf text;

    task_init(&task, NOW_MS);
    buf_init(&text, SIZE_MAX);
    assert_int_equal(file_read(&task, AT_FDCWD, path, 1 << 20, &text), ERR_OK);
    run_text(path, buf_str(&text), is_sleepy);
    buf_free(&text);
    task_done(&task);
}

static void run_file(void **state)
{
    run_as(*state, false);
}

static void run_file_asleep(void **state)
{
    run_as(*state, true);
}

static void test_every_row_has_a_transcript(void **state)
{
    (void)state;
    for (size_t i = 0; i < imap_command_count; i++) {
        if (!is_named(covered.commands, covered.command_count, imap_commands[i].name))
            fail_msg("no transcript has %s", imap_commands[i].name.ptr);
        if (imap_commands[i].rfc == NULL)
            fail_msg("the row of %s does not say where it is defined", imap_commands[i].name.ptr);
    }
    for (size_t i = 0; i < imap_capability_count; i++) {
        if (!is_named(covered.capabilities, covered.capability_count, imap_capabilities[i].name))
            fail_msg("no transcript covers %s", imap_capabilities[i].name.ptr);
        if (imap_capabilities[i].rfc == NULL)
            fail_msg("the row of %s does not say where it is defined",
                     imap_capabilities[i].name.ptr);
    }
    assert_true(covered.sleep_count > 100); /* else nobody slept */
}

static int compare_tests(const void *a, const void *b)
{
    return strcmp(((const struct CMUnitTest *)a)->name, ((const struct CMUnitTest *)b)->name);
}

int main(int argc, char **argv)
{
    static struct CMUnitTest tests[2 * FILES_MAX + 1];
    const char *source = getenv("SEALPOST_SOURCE");
    size_t count = 0;
    char folder[2048];
    struct dirent *entry;
    DIR *files;
    int failed;

    snprintf(folder, sizeof(folder), "%s/tests/protocol/imap", source == NULL ? "." : source);
    files = opendir(folder);
    if (files == NULL)
        return 1;
    transcript_vault_init();
    while ((entry = readdir(files)) != NULL && count < 2 * FILES_MAX) {
        char path[4096], name[512];

        if (!str_ends_with(str_from_c(entry->d_name), STR(".txt")) ||
            (argc > 1 && strstr(entry->d_name, argv[1]) == NULL))
            continue;
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        tests[count].name = mem_copy_text(entry->d_name, strlen(entry->d_name));
        tests[count].test_func = run_file;
        tests[count++].initial_state = mem_copy_text(path, strlen(path));
        snprintf(name, sizeof(name), "%s, asleep in between", entry->d_name);
        tests[count].name = mem_copy_text(name, strlen(name));
        tests[count].test_func = run_file_asleep;
        tests[count++].initial_state = mem_copy_text(path, strlen(path));
    }
    closedir(files);
    qsort(tests, count, sizeof(tests[0]), compare_tests);
    if (argc == 1)
        tests[count++] = (struct CMUnitTest)cmocka_unit_test(test_every_row_has_a_transcript);
    failed = _cmocka_run_group_tests("transcripts", tests, count, NULL, NULL);
    for (size_t i = 0; i < count; i++) {
        if (tests[i].initial_state == NULL)
            continue;
        free((void *)(uintptr_t)tests[i].name);
        free(tests[i].initial_state);
    }
    arena_free(&covered.arena);
    return failed;
}
