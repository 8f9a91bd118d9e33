/*
 * Any bytes, as a client sends them: into a session before login, and into two logged-in sessions
 * over a real vault. The first byte chooses which and how the rest is cut into packets; a NUL byte
 * passes the word to the other session.
 *
 * Properties: the engine always comes back to waiting for input or ends; what it says begins with a
 * tag, "*" or "+"; it keeps no more input than its limits; both sessions see the same messages in
 * the end.
 */
#include "imap/engine.h"
#include "imap/transcript_vault.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static struct transcript_vault *home;

static void remove_home(void)
{
    transcript_vault_free(&home);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TURNS_MAX = 200000, VAULT_USES = 200, QUOTA_BYTES = 256 * 1024 };

static const int64_t NOW_MS = INT64_C(1795323600000);
static const struct log quiet = {.level = LOG_LEVEL_ERROR, .fd = -1, .role = "fuzz"};

static const struct imap_options OPTIONS = {
    .hostname = STR_INIT("fuzz"),
    .append_limit_bytes = 20000,
    .is_secure = true,
    .log = &quiet,
};

static void take_output(struct imap_session *s)
{
    struct str output = imap_session_output(s);

    assert(output.len < IMAP_OUTPUT_HIGH * 8);
    imap_session_consume_output(s, output.len);
}

/* Until it waits for the client. */
static void settle(struct imap_session *s)
{
    struct str output = imap_session_output(s);

    if (output.len > 0)
        assert(output.ptr[0] == '*' || output.ptr[0] == '+' || imap_is_astring_char(output.ptr[0]));
    for (size_t turns = 0;; turns++) {
        assert(turns < TURNS_MAX);
        take_output(s);
        switch (imap_session_wants(s)) {
        case IMAP_WANTS_INPUT:
        case IMAP_WANTS_CLOSE:
            return;
        case IMAP_WANTS_ROOM:
        case IMAP_WANTS_TURN:
            imap_session_resume(s, NOW_MS);
            break;
        case IMAP_WANTS_COMPRESS:
            imap_session_compressed(s);
            break;
        case IMAP_WANTS_TLS:
            imap_session_secured(s);
            break;
        case IMAP_WANTS_LOGIN:
            imap_session_login_failed(s, IMAP_LOGIN_DENIED);
            break;
        }
    }
}

static void feed(struct imap_session *s, struct str bytes, size_t packet)
{
    while (bytes.len > 0) {
        if (!imap_session_is_input_full(s))
            imap_session_input(s, str_upto(bytes, packet), NOW_MS);
        bytes = str_from(bytes, packet);
        settle(s);
        assert(s->reader.in.len <= OPTIONS.append_limit_bytes + 3 * IMAP_LINE_MAX);
    }
}

static void before_login(struct str bytes, size_t packet, bool is_secure)
{
    struct imap_options options = OPTIONS;
    struct imap_session *s;

    options.is_secure = is_secure;
    s = imap_session_new(&options);
    settle(s);
    feed(s, bytes, packet);
    imap_session_free(&s);
}

/* Ends whatever goes on, and asks for the truth. */
static void synchronise(struct imap_session *s)
{
    if (s->state == IMAP_STATE_SELECTED && s->command == NULL && s->reader.in.len == 0 &&
        s->reader.to_discard == 0)
        feed(s, STR("z NOOP\r\n"), SIZE_MAX);
    for (size_t i = 1; i < s->view.count; i++)
        assert(s->view.uids[i - 1] < s->view.uids[i]);
}

static void after_login(struct vault *vault, struct str bytes, size_t packet)
{
    struct imap_group *group = imap_group_new(vault);
    struct imap_options options = OPTIONS;
    struct imap_session *sessions[2];
    struct str part;
    size_t turn = 0;

    options.group = group;
    for (size_t i = 0; i < 2; i++) {
        sessions[i] = imap_session_resume_authenticated(&options, vault, STR("L"));
        settle(sessions[i]);
        feed(sessions[i], STR("y SELECT INBOX\r\n"), SIZE_MAX);
    }
    while (str_split(&bytes, '\0', &part)) {
        feed(sessions[turn % 2], part, packet);
        turn++;
    }
    synchronise(sessions[0]);
    synchronise(sessions[1]);
    if (sessions[0]->state == IMAP_STATE_SELECTED && sessions[1]->state == IMAP_STATE_SELECTED &&
        sessions[0]->view.folder_id == sessions[1]->view.folder_id &&
        sessions[0]->view.modseq == sessions[1]->view.modseq && sessions[0]->view.gone_count == 0 &&
        sessions[1]->view.gone_count == 0) {
        assert(sessions[0]->view.count == sessions[1]->view.count);
        assert(sessions[0]->view.count == 0 ||
               memcmp(sessions[0]->view.uids, sessions[1]->view.uids,
                      sessions[0]->view.count * sizeof(uint32_t)) == 0);
    }
    imap_session_free(&sessions[0]);
    imap_session_free(&sessions[1]);
    imap_group_free(&group);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static unsigned uses;
    static bool is_ready;
    size_t packet;
    struct str bytes;

    if (size < 2)
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
    if (home == NULL) {
        home = transcript_vault_new(&quiet);
        /* COPY of everything into its own folder doubles it: without a limit, for 200 inputs. */
        vault_set_limit(transcript_vault(home), QUOTA_BYTES);
        for (unsigned i = 1; i <= 3; i++)
            transcript_vault_mail(home, STR("INBOX"), i, NOW_MS);
    }
    after_login(transcript_vault(home), bytes, packet);
    return 0;
}
