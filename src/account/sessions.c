/* Live sessions: two hash tables of chains, by session and by mailbox. */
#include "account/sessions.h"

#include "base/buf.h"
#include "base/memory.h"
#include "base/random.h"
#include "secret/crypt.h"
#include "secret/pass.h"

#include <assert.h>
#include <string.h>

enum {
    BUCKETS_AT_FIRST = 64,
    SESSIONS_MAX = 1000 * 1000,
    SEALED_BYTES = 2 * MAILBOX_KEY_BYTES + CRYPT_SEAL_OVERHEAD,
};

struct holder { /* a mailbox with live sessions */
    struct holder *next;
    struct id id;
    struct secret *sealed; /* own; the mailbox's keys under the process's key */
    struct secret *former_pass_key; /* own; NULL: the key is the one that it was */
    size_t session_count;
};

struct session {
    struct session *next;
    struct id id;
    struct holder *holder; /* borrowed from the table of holders, which it keeps alive */
    const void *opener;
};

struct account_sessions {
    struct secret *process_key; /* own; made at start, never leaves */
    struct session **sessions;
    struct holder **holders;
    size_t bucket_count; /* of both tables; a power of two */
    size_t session_count;
    size_t holder_count;
    uint32_t hash_seed;
};

struct account_sessions *account_sessions_new(void)
{
    struct account_sessions *sessions = NEW(struct account_sessions);

    sessions->process_key = secret_new(CRYPT_KEY_BYTES);
    random_bytes(secret_bytes(sessions->process_key), CRYPT_KEY_BYTES);
    random_bytes(&sessions->hash_seed, sizeof(sessions->hash_seed));
    sessions->bucket_count = BUCKETS_AT_FIRST;
    sessions->sessions = NEW_ARRAY(struct session *, sessions->bucket_count);
    sessions->holders = NEW_ARRAY(struct holder *, sessions->bucket_count);
    return sessions;
}

/* Ids are random hex digits from our own processes: FNV-1a spreads them well enough. */
static size_t bucket_of(const struct account_sessions *sessions, const struct id *id)
{
    uint32_t hash = 2166136261u ^ sessions->hash_seed;

    for (size_t i = 0; i < ID_TEXT_LEN; i++)
        hash = (hash ^ (unsigned char)id->text[i]) * 16777619u;
    return hash & (sessions->bucket_count - 1);
}

static struct holder *find_holder(const struct account_sessions *sessions, const struct id *id)
{
    struct holder *holder = sessions->holders[bucket_of(sessions, id)];

    while (holder != NULL && !id_equal(&holder->id, id))
        holder = holder->next;
    return holder;
}

static struct session *find_session(const struct account_sessions *sessions, const struct id *id)
{
    struct session *session = sessions->sessions[bucket_of(sessions, id)];

    while (session != NULL && !id_equal(&session->id, id))
        session = session->next;
    return session;
}

static void grow(struct account_sessions *sessions)
{
    struct session **old_sessions = sessions->sessions;
    struct holder **old_holders = sessions->holders;
    size_t old_count = sessions->bucket_count;

    sessions->bucket_count *= 2;
    sessions->sessions = NEW_ARRAY(struct session *, sessions->bucket_count);
    sessions->holders = NEW_ARRAY(struct holder *, sessions->bucket_count);
    for (size_t i = 0; i < old_count; i++) {
        while (old_sessions[i] != NULL) {
            struct session *session = old_sessions[i];
            size_t bucket = bucket_of(sessions, &session->id);

            old_sessions[i] = session->next;
            session->next = sessions->sessions[bucket];
            sessions->sessions[bucket] = session;
        }
        while (old_holders[i] != NULL) {
            struct holder *holder = old_holders[i];
            size_t bucket = bucket_of(sessions, &holder->id);

            old_holders[i] = holder->next;
            holder->next = sessions->holders[bucket];
            sessions->holders[bucket] = holder;
        }
    }
    mem_free(&old_sessions);
    mem_free(&old_holders);
}

static enum err seal(const struct account_sessions *sessions, const struct id *mailbox,
                     const struct secret *key, struct secret **out_sealed)
{
    CLEANUP(buf_free) struct buf sealed;

    buf_init(&sealed, SEALED_BYTES);
    TRY(crypt_seal(&sealed, secret_str(sessions->process_key), id_str(mailbox), secret_str(key)));
    *out_sealed = secret_copy(buf_str(&sealed));
    return ERR_OK;
}

static enum err hold(struct account_sessions *sessions, struct task *task,
                     const struct id *mailbox, const struct secret *key,
                     struct holder **out_holder)
{
    struct secret *sealed = NULL;
    struct holder *holder;
    size_t bucket;

    if (seal(sessions, mailbox, key, &sealed) != ERR_OK)
        return fail(task, ERR_IO, "a session's key could not be sealed");
    holder = find_holder(sessions, mailbox);
    if (holder == NULL) {
        holder = NEW(struct holder);
        holder->id = *mailbox;
        bucket = bucket_of(sessions, mailbox);
        holder->next = sessions->holders[bucket];
        sessions->holders[bucket] = holder;
        sessions->holder_count++;
    }
    /* The newest login knows best: the key may have changed since. */
    secret_free(&holder->sealed);
    holder->sealed = sealed;
    *out_holder = holder;
    return ERR_OK;
}

static void let_go(struct account_sessions *sessions, struct holder *holder)
{
    struct holder **link = &sessions->holders[bucket_of(sessions, &holder->id)];

    assert(holder->session_count > 0);
    if (--holder->session_count > 0)
        return;
    while (*link != holder)
        link = &(*link)->next;
    *link = holder->next;
    secret_free(&holder->sealed);
    secret_free(&holder->former_pass_key);
    mem_free(&holder);
    sessions->holder_count--;
}

enum err account_sessions_open(struct account_sessions *sessions, struct task *task,
                               const struct id *session_id, const struct id *mailbox,
                               const void *opener, const struct secret *mailbox_key)
{
    struct session *session;
    struct holder *holder = NULL;
    size_t bucket;

    if (!id_is_set(session_id) || find_session(sessions, session_id) != NULL)
        return fail(task, ERR_EXISTS, "a session with this id lives already");
    if (sessions->session_count >= SESSIONS_MAX)
        return fail(task, ERR_LIMIT, "there are %d sessions", SESSIONS_MAX);
    TRY(hold(sessions, task, mailbox, mailbox_key, &holder));
    session = NEW(struct session);
    session->id = *session_id;
    session->holder = holder;
    session->opener = opener;
    holder->session_count++;
    if (sessions->session_count >= sessions->bucket_count)
        grow(sessions);
    bucket = bucket_of(sessions, session_id);
    session->next = sessions->sessions[bucket];
    sessions->sessions[bucket] = session;
    sessions->session_count++;
    return ERR_OK;
}

/* Takes *link out of its chain. */
static void drop(struct account_sessions *sessions, struct session **link)
{
    struct session *session = *link;

    *link = session->next;
    let_go(sessions, session->holder);
    mem_free(&session);
    sessions->session_count--;
}

void account_sessions_close(struct account_sessions *sessions, const struct id *session,
                            const void *opener)
{
    struct session **link = &sessions->sessions[bucket_of(sessions, session)];

    while (*link != NULL && !id_equal(&(*link)->id, session))
        link = &(*link)->next;
    if (*link != NULL && (*link)->opener == opener)
        drop(sessions, link);
}

/* All that `opener` opened, or all of `holder`, whichever is not NULL. */
static void drop_all(struct account_sessions *sessions, const void *opener,
                     const struct holder *holder)
{
    for (size_t i = 0; i < sessions->bucket_count; i++) {
        struct session **link = &sessions->sessions[i];

        while (*link != NULL) {
            if ((opener != NULL && (*link)->opener == opener) ||
                (holder != NULL && (*link)->holder == holder))
                drop(sessions, link);
            else
                link = &(*link)->next;
        }
    }
}

void account_sessions_close_opener(struct account_sessions *sessions, const void *opener)
{
    drop_all(sessions, opener, NULL);
}

void account_sessions_close_mailbox(struct account_sessions *sessions, const struct id *mailbox)
{
    const struct holder *holder = find_holder(sessions, mailbox);

    /* `holder` goes with its last session; its address is only compared after that. */
    if (holder != NULL)
        drop_all(sessions, NULL, holder);
}

enum err account_sessions_key(struct account_sessions *sessions, struct task *task,
                              const struct id *mailbox, struct secret **out_key)
{
    const struct holder *holder = find_holder(sessions, mailbox);
    CLEANUP(buf_free) struct buf key;

    buf_init(&key, SEALED_BYTES);
    if (holder == NULL)
        return fail(task, ERR_NOT_FOUND, "no session of this mailbox lives");
    if (crypt_open(&key, secret_str(sessions->process_key), id_str(mailbox),
                   secret_str(holder->sealed)) != ERR_OK)
        return fail(task, ERR_CORRUPT, "a session's key does not open");
    *out_key = secret_copy(buf_str(&key));
    return ERR_OK;
}

void account_sessions_advance(struct account_sessions *sessions, const struct id *mailbox,
                              const struct secret *key)
{
    struct holder *holder = find_holder(sessions, mailbox);
    CLEANUP(secret_free) struct secret *keys = NULL;
    CLEANUP(secret_free) struct secret *former = NULL;
    CLEANUP(task_done) struct task task;
    struct secret *sealed = NULL;

    task_init(&task, 0);
    if (account_sessions_key(sessions, &task, mailbox, &keys) != ERR_OK ||
        seal(sessions, mailbox, key, &sealed) != ERR_OK)
        return;
    former = secret_copy(str_upto(secret_str(keys), MAILBOX_KEY_BYTES));
    secret_free(&holder->former_pass_key);
    holder->former_pass_key = pass_key(former);
    secret_free(&holder->sealed);
    holder->sealed = sealed;
}

const struct secret *account_sessions_former_pass_key(const struct account_sessions *sessions,
                                                      const struct id *mailbox)
{
    const struct holder *holder = find_holder(sessions, mailbox);

    return holder == NULL ? NULL : holder->former_pass_key;
}

size_t account_sessions_of(const struct account_sessions *sessions, const struct id *mailbox)
{
    const struct holder *holder = find_holder(sessions, mailbox);

    return holder == NULL ? 0 : holder->session_count;
}

size_t account_sessions_count(const struct account_sessions *sessions)
{
    return sessions->session_count;
}

size_t account_sessions_mailbox_count(const struct account_sessions *sessions)
{
    return sessions->holder_count;
}

void account_sessions_free(struct account_sessions **sessions)
{
    struct account_sessions *s = *sessions;

    if (s == NULL)
        return;
    for (size_t i = 0; i < s->bucket_count; i++) {
        while (s->sessions[i] != NULL)
            drop(s, &s->sessions[i]);
    }
    mem_free(&s->sessions);
    mem_free(&s->holders);
    secret_free(&s->process_key);
    mem_free(sessions);
}
