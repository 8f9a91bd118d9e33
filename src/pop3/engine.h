/*
 * Inside the engine: the session, and what the commands use of it.
 *
 *   AUTHORIZATION ──> (gate frees it)     OPENING ──> TRANSACTION        any ──> END
 *
 *   OPENING -> TRANSACTION   pop3_maildrop_open, when all octets are known
 *   any     -> END           pop3_session_end; QUIT deletes before it (RFC 1939 §6, UPDATE)
 *   While in TRANSACTION the list of messages never changes, only their marks.
 *
 * A command runs in turns. `budget` is what is left of the present one, in units of about a
 * microsecond; a long command takes from it with pop3_spend, and when pop3_must_give_way says so,
 * calls pop3_give_way and returns ERR_OK with its progress in its arguments.
 */
#ifndef POP3_ENGINE_H
#define POP3_ENGINE_H

#include "base/macros.h"
#include "pop3/capability.h"
#include "pop3/command.h"
#include "pop3/lines.h"
#include "pop3/reader.h"
#include "pop3/reply.h"
#include "pop3/session.h"
#include "pop3/surrogate.h"
#include "vault/content.h"
#include "vault/maildrop.h"

enum {
    POP3_BUDGET = 8000,           /* of one turn */
    POP3_COMMAND_UNITS = 20,      /* what any command takes */
    POP3_PIECE_BYTES = 32 * 1024, /* read of a message at a time */
    POP3_PIECE_UNITS = 60,
    POP3_BAD_COMMANDS_MAX = 20,   /* one after the other, then the end */
    POP3_LOGIN_FAILURES_MAX = 5,  /* of a connection, then the end */
    POP3_PENDING_MAX = 16 * 1024, /* input that waits behind a running command */
    POP3_AHEAD_MS = 10 * 1000,    /* then an answer that was prepared is made again */
    POP3_AHEAD_BYTES = 128 * 1024, /* a longer message is not prepared */
};

/* Why the session does not go on by itself. */
enum pop3_pause {
    POP3_PAUSE_NONE,
    POP3_PAUSE_TURN,  /* pop3_session_resume goes on (with room in the output) */
    POP3_PAUSE_LINE,  /* a line from the client: `line` then holds it */
    POP3_PAUSE_TLS,   /* pop3_session_secured */
    POP3_PAUSE_LOGIN, /* pop3_session_login_failed, or the session is freed */
};

/* INBOX as it was at login. */
struct pop3_maildrop {
    int64_t folder_id;
    uint32_t uidvalidity;
    struct task task;                        /* owns the list */
    struct vault_maildrop_message *messages; /* in the task's arena */
    bool *is_deleted;                        /* likewise; marked by DELE */
    size_t count;
    size_t deleted_count;
    uint64_t octets; /* of those not deleted */
    /* OPENING: octets are counted up to here. */
    size_t measured;
    bool has_measured;
    struct vault_line_ends line_ends;
};

/*
 * Whoever takes one message after the other will ask for the next: its answer is made while the client
 * reads this one, as soon as the output was taken (a turn of its own would cost as much as a command),
 * unless the message is long.
 */
struct pop3_ahead {
    size_t retrieved; /* as many as the last RETR's number; 0: none yet */
    bool is_wanted;   /* of the message at `index` */
    bool is_ready;    /* `answer` is RETR's to it */
    size_t index;
    int64_t made_ms;
    struct buf answer; /* own; at most what POP3_AHEAD_BYTES of a message become */
};

struct pop3_session {
    struct pop3_options options; /* hostname is in the arena */
    struct arena arena;
    struct vault *vault; /* borrowed; NULL before login */
    enum pop3_state state;
    enum pop3_pause pause;
    struct pop3_reader reader;
    struct buf out;
    int64_t now_ms;
    int64_t budget;
    unsigned bad_count;
    unsigned login_failures;
    struct buf username; /* of USER; empty: none */
    struct pop3_maildrop maildrop;

    /* The running command. */
    const struct pop3_command *command; /* NULL: none */
    struct task task;
    union pop3_args args;      /* texts are in the task's arena */
    enum pop3_refusal refusal; /* its failure, where it is not the outcome of a call */
    bool is_answered;          /* its "+OK" is out: a failure can only end the session */
    struct str line;           /* after POP3_PAUSE_LINE */
    struct str login_username, login_password; /* while POP3_PAUSE_LOGIN; in the task's arena */

    /* The message that is read. */
    struct vault_content *content; /* own */
    uint64_t offset;
    struct buf piece; /* own */
    struct pop3_lines lines;
    struct pop3_surrogate_rest rest; /* of a header that is too long for its surrogate */
    struct pop3_ahead ahead;
};

/* dispatch.c */
/* Processes what input and room allow. */
void pop3_dispatch(struct pop3_session *s);
/* The paused command failed so. */
void pop3_dispatch_refuse(struct pop3_session *s, enum pop3_refusal refusal);
/* The paused command is over; it was answered already. */
void pop3_dispatch_end_quietly(struct pop3_session *s);
/* A failure that is a rule of the protocol; for `return`. */
enum err pop3_refuse(struct pop3_session *s, struct task *task, enum pop3_refusal refusal);
/* "+OK words" */
void pop3_write_ok(struct pop3_session *s, const char *words);

/* maildrop.c */
/* Lists INBOX; gives way while octets are counted. */
MUST_CHECK enum err pop3_maildrop_open(struct pop3_session *s, struct task *task);
/* The message of this number, or refused: none such, or deleted. */
MUST_CHECK enum err pop3_maildrop_find(struct pop3_session *s, struct task *task, uint32_t number,
                                       size_t *out_index);
/* What others have under way in the vault is committed: before it is listed or written to. */
void pop3_before_vault(struct pop3_session *s);

/* retrieve.c */
/* The message as a multi-line response, in as many turns as it takes; `args` are RETR's or TOP's.
 * ERR_NOT_FOUND: it is gone. */
MUST_CHECK enum err pop3_retrieve(struct pop3_session *s, struct task *task, union pop3_args *args,
                                  uint64_t body_lines);
/* RETR of this message is over: is it worth to prepare the one behind it? */
void pop3_ahead_note(struct pop3_session *s, uint32_t number);
/* Whether there is something to prepare, now that no command runs and all output was taken;
 * prepares it. */
bool pop3_ahead_is_due(const struct pop3_session *s);
void pop3_ahead_read(struct pop3_session *s);

static inline void pop3_spend(struct pop3_session *s, int64_t units)
{
    s->budget -= units;
}

static inline bool pop3_must_give_way(const struct pop3_session *s)
{
    return s->budget <= 0 || s->out.len >= POP3_OUTPUT_HIGH;
}

static inline void pop3_give_way(struct pop3_session *s)
{
    s->pause = POP3_PAUSE_TURN;
}

#endif
