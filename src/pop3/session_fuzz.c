/*
 * Any bytes, as a client sends them: into a session before login, and into two logged-in sessions
 * over a real vault, one of them in UTF-8 mode. The first byte chooses which and how the rest is
 * cut into packets; what stands before the last 0xFF is a message that arrives before login, beside
 * simple ones; a NUL byte passes the word to the other session.
 *
 * Properties: the engine always comes back to waiting for input or ends; every answer begins with
 * "+" or "-" and every line that it sends ends in CRLF; what it keeps of the input while it waits
 * is no more than a line; what LIST says of a message RETR sends, but for a surrogate; only QUIT
 * changes the vault.
 */
#include "pop3/engine.h"

#include "imap/transcript_vault.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct transcript_vault *home;

static void remove_home(void)
{
    transcript_vault_free(&home);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TURNS_MAX = 100000, VAULT_USES = 100, NEWEST = 3 };

static const int64_t NOW_MS = INT64_C(1795323600000);
static const struct log quiet = {.level = LOG_LEVEL_ERROR, .fd = -1, .role = "fuzz"};

static const struct pop3_options OPTIONS = {
    .hostname = STR_INIT("fuzz"),
    .is_secure = true,
    .log = &quiet,
};

/* Until it waits for the client; `seen` gets what it says. */
static void settle(struct pop3_session *s, struct buf *seen)
{
    for (size_t turns = 0;; turns++) {
        struct str output = pop3_session_output(s);

        assert(turns < TURNS_MAX);
        assert(output.len < POP3_OUTPUT_HIGH + 4 * POP3_PIECE_BYTES);
        buf_put(seen, output);
        pop3_session_consume_output(s, output.len);
        switch (pop3_session_wants(s)) {
        case POP3_WANTS_INPUT:
        case POP3_WANTS_CLOSE:
            return;
        case POP3_WANTS_ROOM:
        case POP3_WANTS_TURN:
            pop3_session_resume(s, NOW_MS);
            break;
        case POP3_WANTS_TLS:
            pop3_session_secured(s);
            break;
        case POP3_WANTS_LOGIN:
            pop3_session_login_failed(s, POP3_LOGIN_DENIED);
            break;
        }
    }
}

/* Answers are lines, and multi-line ones end with a dot. */
static void check_answers(struct str seen)
{
    if (seen.len == 0)
        return;
    assert(seen.ptr[0] == '+' || seen.ptr[0] == '-');
    assert(str_ends_with(seen, STR("\r\n")));
    for (size_t i = 0; i < seen.len; i++)
        assert(seen.ptr[i] != '\n' || (i > 0 && seen.ptr[i - 1] == '\r'));
}

static void feed(struct pop3_session *s, struct str bytes, size_t packet)
{
    struct buf seen;

    buf_init(&seen, SIZE_MAX);
    while (bytes.len > 0) {
        if (!pop3_session_is_input_full(s))
            pop3_session_input(s, str_upto(bytes, packet), NOW_MS);
        bytes = str_from(bytes, packet);
        settle(s, &seen);
        assert(s->state == POP3_STATE_END || s->reader.in.len <= POP3_LINE_MAX);
    }
    check_answers(buf_str(&seen));
    buf_free(&seen);
}

static void before_login(struct str bytes, size_t packet, bool is_secure)
{
    struct pop3_options options = OPTIONS;
    struct pop3_session *s;

    options.is_secure = is_secure;
    s = pop3_session_new(&options);
    feed(s, bytes, packet);
    pop3_session_free(&s);
}

static size_t count_messages(struct vault *vault)
{
    struct vault_usage usage;

    vault_usage(vault, &usage);
    return (size_t)usage.messages;
}

/* RETR of the newest messages, against what LIST would say. */
static void check_octets(struct pop3_session *s)
{
    size_t first = s->maildrop.count > NEWEST ? s->maildrop.count - NEWEST : 0;

    for (size_t i = first; i < s->maildrop.count && s->state == POP3_STATE_TRANSACTION; i++) {
        uint64_t octets = 0;
        struct str rest, line;
        struct buf seen;
        char command[32];

        if (s->maildrop.is_deleted[i] || s->pause != POP3_PAUSE_NONE || s->reader.in.len > 0)
            continue;
        buf_init(&seen, SIZE_MAX);
        snprintf(command, sizeof(command), "RETR %zu\r\n", i + 1);
        pop3_session_input(s, str_from_c(command), NOW_MS);
        settle(s, &seen);
        rest = buf_str(&seen);
        str_split(&rest, '\n', &line);
        if (str_starts_with(line, STR("+OK"))) {
            bool is_surrogate = !s->options.is_utf8 && str_starts_with(line, STR("+OK In ASCII"));

            assert(str_ends_with(rest, STR(".\r\n")));
            while (str_split(&rest, '\n', &line) && !str_equal(line, STR(".\r")))
                octets += line.len + 1 - (line.ptr[0] == '.');
            assert(octets == s->maildrop.messages[i].octets || is_surrogate);
            assert(str_equal(rest, STR("")));
        }
        buf_free(&seen);
    }
}

static void after_login(struct vault *vault, struct str bytes, size_t packet)
{
    struct pop3_session *sessions[2];
    size_t turn = 0, before = count_messages(vault);
    bool has_quit = false;
    struct str part;

    for (size_t i = 0; i < 2; i++) {
        struct pop3_options options = OPTIONS;

        options.is_utf8 = i == 0;
        sessions[i] = pop3_session_resume_authenticated(&options, vault, NOW_MS);
        feed(sessions[i], STR("STAT\r\n"), SIZE_MAX);
    }
    while (str_split(&bytes, '\0', &part)) {
        feed(sessions[turn % 2], part, packet);
        turn++;
    }
    for (size_t i = 0; i < 2; i++) {
        has_quit = has_quit || sessions[i]->state == POP3_STATE_END;
        check_octets(sessions[i]);
        pop3_session_free(&sessions[i]);
    }
    assert(count_messages(vault) == before || (has_quit && count_messages(vault) < before));
}

static void append(struct vault *vault, struct str raw)
{
    struct vault_append append = {.raw = raw, .internal_date_ms = NOW_MS};
    struct task task;
    int64_t inbox;
    uint32_t uid;

    task_init(&task, NOW_MS);
    if (raw.len > 0 && (vault_folder_id(vault, &task, STR("INBOX"), &inbox) != ERR_OK ||
                        vault_message_append(vault, &task, inbox, &append, &uid) != ERR_OK))
        abort();
    task_done(&task);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool is_ready;
    static unsigned uses;
    ptrdiff_t end;
    size_t packet;
    struct str bytes;

    if (size < 1)
        return 0;
    if (!is_ready) {
        transcript_vault_init();
        (void)atexit(remove_home);
        is_ready = true;
    }
    packet = (data[0] >> 2) == 0 ? SIZE_MAX : data[0] >> 2;
    bytes = str_make(data + 1, size - 1);
    if ((data[0] & 3) == 0) {
        before_login(bytes, packet, (data[0] & 4) != 0);
        return 0;
    }
    if (home != NULL && ++uses % VAULT_USES == 0)
        transcript_vault_free(&home);
    if (home == NULL)
        home = transcript_vault_new(&quiet);
    while (count_messages(transcript_vault(home)) < 3)
        transcript_vault_mail(home, STR("INBOX"), ++uses, NOW_MS);
    end = str_last_index(bytes, '\xff');
    append(transcript_vault(home), end < 0 ? STR("") : str_upto(bytes, (size_t)end));
    after_login(transcript_vault(home), str_from(bytes, (size_t)(end + 1)), packet);
    return 0;
}
