/*
 * Any bytes, as a client sends them: into a session before login, and into two logged-in sessions
 * over a real vault. The first byte chooses which, whether those that are logged in sleep
 * (imap/hibernate.h) whenever they can, and how the rest is cut into packets; a NUL byte passes the
 * word to the other session. A part that begins with "@ " is none of the client's: something
 * happens around the sessions (imap/transcript_world.h), or before they begin.
 *
 * Properties: the engine always comes back to waiting for input or ends; what it says begins with a
 * tag, "*" or "+"; it keeps no more input than its limits; both sessions see the same messages in
 * the end.
 *
 * tests/fuzz_seeds.py makes such inputs of the transcripts.
 */
#include "imap/engine.h"
#include "imap/hibernate.h"
#include "imap/transcript_world.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static struct transcript_world world;

static void remove_home(void)
{
    transcript_vault_free(&world.home);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TURNS_MAX = 200000, VAULT_USES = 200, QUOTA_BYTES = 256 * 1024 };
enum { ACTS_MAX = 12, MAILS_MAX = 15 };

/* The low bits of the first byte; others are LOGGED_IN. */
enum kind { BEFORE_LOGIN = 0, LOGGED_IN = 1, ASLEEP_IN_BETWEEN = 3 };

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
            imap_session_resume(s, world.now_ms);
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
            imap_session_input(s, str_upto(bytes, packet), world.now_ms);
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

static void nap(struct imap_session **s, const struct imap_options *options)
{
    struct buf state;
    struct task task;
    enum err err;

    if (!imap_session_can_hibernate(*s))
        return;
    buf_init(&state, SIZE_MAX);
    imap_session_hibernate(*s, &state);
    assert(state.len <= IMAP_HIBERNATED_MAX);
    imap_session_free(s);
    task_init(&task, world.now_ms);
    err = imap_session_resume_hibernated(options, transcript_vault(world.home), &task,
                                         buf_str(&state), s);
    assert(err == ERR_OK);
    task_done(&task);
    buf_free(&state);
    settle(*s);
}

static bool act(struct str text)
{
    struct str line;

    if (!str_starts_with(text, STR("@ ")))
        return false;
    str_split(&text, '\n', &line);
    if (str_ends_with(line, STR("\r")))
        line.len--;
    (void)transcript_world_act(&world, str_from(line, 2));
    return true;
}

static void check_same(const struct imap_session *one, const struct imap_session *other)
{
    if (one->state != IMAP_STATE_SELECTED || other->state != IMAP_STATE_SELECTED ||
        one->view.folder_id != other->view.folder_id || one->view.modseq != other->view.modseq ||
        one->view.gone_count > 0 || other->view.gone_count > 0)
        return;
    assert(one->view.count == other->view.count);
    assert(one->view.count == 0 ||
           memcmp(one->view.uids, other->view.uids, one->view.count * sizeof(uint32_t)) == 0);
}

static void begin(struct imap_session **sessions, const struct imap_options *options)
{
    for (size_t i = 0; i < 2; i++) {
        sessions[i] =
            imap_session_resume_authenticated(options, transcript_vault(world.home), STR("L"));
        settle(sessions[i]);
        feed(sessions[i], STR("y SELECT INBOX\r\n"), SIZE_MAX);
    }
}

static void end(struct imap_session **sessions)
{
    synchronise(sessions[0]);
    synchronise(sessions[1]);
    check_same(sessions[0], sessions[1]);
    imap_session_free(&sessions[0]);
    imap_session_free(&sessions[1]);
}

static void after_login(struct str bytes, size_t packet, bool is_sleepy)
{
    struct imap_group *group = imap_group_new(transcript_vault(world.home));
    struct imap_options options = OPTIONS;
    struct imap_session *sessions[2] = {NULL, NULL};
    size_t turn = 0, acts = 0;
    struct str part;

    options.group = world.group = group;
    while (str_split(&bytes, '\0', &part)) {
        bool has_acted = acts < ACTS_MAX && act(part);

        acts += has_acted;
        if (has_acted && sessions[0] == NULL)
            continue;
        options.message_limit = world.message_limit;
        if (sessions[0] == NULL)
            begin(sessions, &options);
        if (has_acted) {
            settle(sessions[0]);
            settle(sessions[1]);
        } else {
            feed(sessions[turn++ % 2], part, packet);
        }
        for (size_t i = 0; i < 2 && is_sleepy; i++)
            nap(&sessions[i], &options);
    }
    if (sessions[0] != NULL)
        end(sessions);
    imap_group_free(&group);
}

/* Messages and folders are as other inputs left them, for a new vault takes long; the rest is as
 * ever. */
static void make_home(void)
{
    static unsigned uses;
    bool is_new;

    if (world.home != NULL && ++uses % VAULT_USES == 0)
        transcript_vault_free(&world.home);
    is_new = world.home == NULL;
    world = (struct transcript_world){.home = is_new ? transcript_vault_new(&quiet) : world.home,
                                      .mails_max = MAILS_MAX,
                                      .now_ms = NOW_MS};
    /* COPY of everything into its own folder doubles it: without a limit, for 200 inputs. */
    vault_set_limit(transcript_vault(world.home), QUOTA_BYTES);
    vault_set_message_limit(transcript_vault(world.home), UINT64_MAX);
    for (unsigned i = 1; i <= 3 && is_new; i++)
        transcript_vault_mail(world.home, STR("INBOX"), i, NOW_MS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool is_ready;
    size_t packet;
    struct str bytes;

    if (size < 2)
        return 0;
    if (!is_ready) {
        transcript_vault_init();
        (void)atexit(remove_home);
        world.now_ms = NOW_MS;
        is_ready = true;
    }
    packet = (data[0] >> 2) == 0 ? SIZE_MAX : data[0] >> 2;
    bytes = str_make(data + 1, size - 1);
    if ((data[0] & 3) == BEFORE_LOGIN) {
        before_login(bytes, packet, (data[0] & 4) != 0);
        return 0;
    }
    make_home();
    after_login(bytes, packet, (data[0] & 3) == ASLEEP_IN_BETWEEN);
    return 0;
}
