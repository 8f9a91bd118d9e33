/*
 * Inside the engine: the session, and what the commands use of it.
 *
 *   NOT_AUTH ──────────> (gate frees it)      AUTH <──> SELECTED         any ──> LOGOUT
 *
 *   The gate's session stays NOT_AUTH; login is the mailbox process's session, born AUTH. A session
 *   that slept (hibernate.h) is born as it was.
 *   AUTH -> SELECTED   imap_session_select      SELECTED -> AUTH   imap_session_deselect
 *   any  -> LOGOUT     imap_session_end
 *   While SELECTED, `view` numbers the messages and changes only as a command ends (view.h).
 *
 * A command runs in turns. `budget` is what is left of the present one, in units of about a
 * microsecond; a long command takes from it with imap_spend, and when imap_must_give_way says so,
 * calls imap_give_way and returns ERR_OK with its progress in its arguments.
 */
#ifndef IMAP_ENGINE_H
#define IMAP_ENGINE_H

#include "imap/capability.h"
#include "imap/command.h"
#include "imap/reader.h"
#include "imap/reply.h"
#include "imap/room.h"
#include "imap/session.h"
#include "imap/use.h"
#include "imap/view.h"
#include "vault/content.h"

enum {
    IMAP_BUDGET = 8000,                    /* of one turn */
    IMAP_BAD_COMMANDS_MAX = 20,            /* one after the other, then BYE */
    IMAP_LOGIN_FAILURES_MAX = 5,           /* of a connection, then BYE */
    IMAP_LITERALS_MAX_BEFORE_LOGIN = 4096, /* bytes, all of a command */
    IMAP_LITERALS_MAX = 64 * 1024,         /* the same after login, but for a message */
    IMAP_APPEND_MESSAGES_MAX = 256,        /* of one APPEND: done in one turn */
    IMAP_PENDING_MAX = 64 * 1024,          /* input that waits behind a running command */
    IMAP_PROGRESS_MS = 10 * 1000,          /* between two words on a long command */
};

/* What a client switched on for the rest of its session (RFC 5161), or with a command that implies
 * it. A set; the values are kept by sleeping sessions, so they never change. */
enum imap_extension {
    IMAP_EXT_CONDSTORE = 1 << 0, /* MODSEQ in every FETCH (RFC 7162 §3.1) */
    IMAP_EXT_QRESYNC = 1 << 1,   /* VANISHED for EXPUNGE (RFC 7162 §3.2); implies CONDSTORE */
    IMAP_EXT_REV2 = 1 << 2,      /* IMAP4rev2 (RFC 9051 §6.3.1) */
    IMAP_EXT_UTF8 = 1 << 3,      /* UTF8=ACCEPT (RFC 6855 §3) */
    IMAP_EXT_UIDONLY = 1 << 4,   /* no message numbers (RFC 9586) */
    IMAP_EXT_METADATA = 1 << 5,  /* METADATA answers without being asked (RFC 5464 §4.4.2) */
    IMAP_EXT_ALL = (1 << 6) - 1,
};

/* Why the running command is not running now. */
enum imap_pause {
    IMAP_PAUSE_NONE,
    IMAP_PAUSE_TURN,     /* imap_session_resume goes on (with ROOM in the output) */
    IMAP_PAUSE_LINE,     /* a line from the client: `line` then holds it */
    IMAP_PAUSE_TLS,      /* imap_session_secured */
    IMAP_PAUSE_COMPRESS, /* imap_session_compressed */
    IMAP_PAUSE_LOGIN,    /* imap_session_login_failed, or the session is freed */
};

/* The answers of APPENDs that were done and wait for the commit they share. */
struct imap_held_reply {
    struct str tag;
    struct str reply; /* the tagged line, should the commit succeed */
    bool is_ok;       /* it says OK */
    struct imap_held_reply *next;
};

struct imap_session {
    struct imap_options options; /* hostname is in the arena */
    struct arena arena;
    struct vault *vault; /* borrowed; NULL before login */
    struct vault_subscriber subscriber;
    void (*on_output)(void *owner);
    void *on_output_owner;
    bool (*is_under_load)(void *owner); /* NULL: never */
    void *load_owner;
    enum imap_state state;
    enum imap_pause pause;
    struct imap_reader reader;
    struct buf out;
    int64_t now_ms;
    int64_t budget;
    unsigned bad_count;
    unsigned login_failures;
    unsigned enabled; /* a set of enum imap_extension */
    bool has_changes; /* something was committed since the last look */
    bool is_idling;
    bool is_own_metadata;     /* what changes just now is this session's doing */
    struct buf metadata_news; /* own; of others' changes, to be told */
    bool is_compressed;       /* COMPRESS was given: such a session cannot sleep */
    bool is_bulk; /* the client said with ID that nobody waits for this connection (session.h) */

    struct imap_notify *notify; /* own; NULL: NOTIFY was not used */
    bool is_running;            /* inside the command's `run`: what is committed is its doing */

    struct imap_view view; /* while SELECTED */

    /* The running command. */
    const struct imap_command *command; /* NULL: none */
    struct task task;
    union imap_args *args;         /* in the task's arena */
    struct str tag;                /* in the task's arena */
    struct str code;               /* response code of its answer, without brackets; may be empty */
    const char *words;             /* of its OK; NULL: "<NAME> completed" */
    uint32_t lowest_uid;           /* not 0: the limit cut its messages off below this one */
    bool is_bad;                   /* its failure is the client's syntax: BAD */
    enum imap_refusal refusal;     /* its failure, where it is not the outcome of a call */
    bool tells_modseq;             /* its OK has HIGHESTMODSEQ, as it is behind all changes */
    bool has_numbers;              /* message numbers are among its keys: no EXPUNGE meanwhile */
    uint64_t progress, goal;       /* how far it is, where it said; goal 0: nothing to say */
    uint64_t progress_told;        /* the last that the client heard */
    int64_t progress_due_ms;       /* when that is told next */
    bool is_input_held;            /* its arguments point into the reader's input */
    struct str line;               /* after IMAP_PAUSE_LINE */
    struct vault_content *content; /* own; of the message that FETCH or SEARCH reads */
    struct message_text_maker *text; /* own; the searchable text of the same, for SEARCH */
    struct arena message_arena;      /* what belongs to that message */
    struct task folder_task;         /* what belongs to the mailbox that ESEARCH is at */

    /* A command whose literal was refused: the rest of it is read past, then it is answered so. */
    enum imap_refusal doom; /* NONE: there is none; `tag` is its tag */

    struct imap_group *group;     /* own, or the options' */
    uint64_t literal_count;          /* of those that were accepted */
    uint64_t taken[IMAP_ROOM_COUNT]; /* of the room that the group's sessions share */
    bool is_waiting;              /* in the group, for its commit */
    struct imap_session *waiting; /* the next one in the group */
    struct arena held_arena;
    struct imap_held_reply *first_held, *last_held;
    /* APPEND's last folder: a client that fills one does not have it looked up each time. */
    struct buf append_name; /* own; empty: none */
    int64_t append_folder_id;
    uint32_t append_uidvalidity;
    bool is_append_shared; /* another that waits for the same commit fills it too */
};

/* session.c */
/* After login, with nothing said yet. */
struct imap_session *imap_session_new_authenticated(const struct imap_options *options,
                                                    struct vault *vault);
void imap_session_select(struct imap_session *s); /* the view is ready */
void imap_session_deselect(struct imap_session *s);
/* No further input; the output so far (a BYE is in it) is sent. */
void imap_session_end(struct imap_session *s);

/* dispatch.c */
/* Processes what input and room allow. */
void imap_dispatch(struct imap_session *s);
/* The same after IMAP_PAUSE_TURN. */
void imap_dispatch_resume(struct imap_session *s);
/* The command is over without a tagged answer (it was given already). */
void imap_dispatch_end_quietly(struct imap_session *s);
/* The paused command failed so. */
void imap_dispatch_refuse(struct imap_session *s, enum imap_refusal refusal);

/* group.c */
/* From here on this session's answers wait for the group's commit. */
MUST_CHECK enum err imap_group_join(struct imap_session *s, struct task *task, size_t bytes);
/* It appends to append_folder_id. */
void imap_group_note_folder(struct imap_session *s);
/* Whether what is committed to the folder just now is this session's doing, and nobody else's. */
bool imap_group_is_own(const struct imap_session *s, int64_t folder_id);
/* A tagged line that must not go before the commit. */
void imap_group_hold(struct imap_session *s, struct str tag, struct str reply, bool is_ok);
/* Commits what waits, whoever's it is: before all else that this session does with the vault. */
void imap_group_flush(struct imap_session *s);
/* Enough has come together. */
bool imap_group_is_full(const struct imap_group *group);
struct imap_room *imap_group_room(struct imap_group *group);
/* What was sorted and threaded before, by any session of the vault. */
struct imap_sort_memory *imap_group_memory(struct imap_group *group);

static inline void imap_spend(struct imap_session *s, uint64_t units)
{
    s->budget -= (int64_t)(units & INT32_MAX);
}

static inline bool imap_must_give_way(const struct imap_session *s)
{
    return s->budget <= 0 || s->out.len >= IMAP_OUTPUT_HIGH;
}

static inline void imap_give_way(struct imap_session *s)
{
    s->pause = IMAP_PAUSE_TURN;
}

/* The same between two lines of output; when it takes long, the client is told how far it is. The
 * goal is the same each time. */
static inline void imap_give_way_at(struct imap_session *s, uint64_t progress, uint64_t goal)
{
    s->progress = progress;
    s->goal = goal;
    imap_give_way(s);
}

/* A parser of what this client says. */
struct imap_parser imap_parser(const struct imap_session *s, struct task *task, struct str text);
/* A failure that is the client's syntax, found only while running: BAD with these words. */
enum err imap_bad(struct imap_session *s, struct task *task, const char *words);
/* A failure that is a rule of the protocol; for `return`. */
enum err imap_refuse(struct imap_session *s, struct task *task, enum imap_refusal refusal);
/* A sync with its failures handled: a deleted folder and a broken vault end the session. */
void imap_sync_or_end(struct imap_session *s, struct task *task, bool may_expunge);
/* Resolves a set of the command against the view; out of range is BAD. */
MUST_CHECK enum err imap_command_ranges(struct imap_session *s, struct task *task,
                                        struct imap_set set, struct imap_set *out_ranges);
/*
 * MESSAGELIMIT (RFC 9738 §3): leaves of the ranges the messages with the highest UIDs, as many as
 * one command may name; the answer then tells the lowest of them.
 */
void imap_limit_ranges(struct imap_session *s, struct imap_set *ranges);
static inline bool imap_is_by_uid(const struct imap_session *s)
{
    return (s->command->flags & IMAP_BY_UID) != 0;
}
static inline bool imap_has(const struct imap_session *s, unsigned extensions)
{
    return (s->enabled & extensions) != 0;
}
/* Mailbox names go over the wire in UTF-8 (RFC 9051 §5.1, RFC 6855 §3). */
static inline bool imap_names_are_utf8(const struct imap_session *s)
{
    return imap_has(s, IMAP_EXT_REV2 | IMAP_EXT_UTF8);
}
/* IMAP4rev2 has no \Recent (RFC 9051 Appendix E). */
static inline bool imap_tells_recent(const struct imap_session *s, uint32_t uid)
{
    return !imap_has(s, IMAP_EXT_REV2) && imap_view_is_recent(&s->view, uid);
}
/* MODSEQ was asked for: from now on it is always told; says HIGHESTMODSEQ when selected. */
void imap_enable_condstore(struct imap_session *s);
/* "* OK [HIGHESTMODSEQ 5]" */
void imap_write_highest_modseq(struct imap_session *s, uint64_t modseq);

/* "(\Seen … \*)", where no keyword can be made without "\*", or "()" as the view is. */
void imap_write_permanent_flags(struct imap_session *s);

/* cmd/status.c, also for LIST-STATUS */
MUST_CHECK enum err imap_parse_status_items(struct imap_parser *parser, unsigned *out_items);
/* "(F1-1795323600)": MAILBOXID (RFC 8474 §4). */
void imap_write_mailbox_id(struct buf *out, const struct vault_folder *folder);
MUST_CHECK enum err imap_write_status(struct imap_session *s, struct task *task,
                                      const struct vault_folder *folder, unsigned items);

/* cmd/search.c, also for SORT and THREAD */
/* What holds between the parts of a search command. */
MUST_CHECK enum err imap_search_parse_end(struct imap_parser *parser,
                                          struct imap_search_args *search);
/* Runs the search over the selected mailbox; it is done unless the session was made to give way. */
MUST_CHECK enum err imap_search_selected(struct imap_session *s, struct task *task,
                                         struct imap_search_args *search);
/* Saves the result where that was asked for, and writes it. */
MUST_CHECK enum err imap_search_answer(struct imap_session *s, struct task *task,
                                       const struct imap_search_return *wanted,
                                       const struct imap_search_result *result);
/* The command, whichever it is, is answered with NO: that leaves "$" empty where it was to be saved
 * (RFC 5182 §2.1; BAD does not). Its arguments may be there in part. */
void imap_search_refused(struct imap_session *s, const struct imap_command *command,
                         const union imap_args *args);

#endif
