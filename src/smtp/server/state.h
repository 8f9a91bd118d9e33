/*
 * The inside of a session, for the files of this folder.
 *
 *   COMMAND ──> LOGIN_LINE ──> WAITING ──> COMMAND          STARTTLS: COMMAND ──> TLS ──> COMMAND
 *   COMMAND ──> WAITING (a sender, the DNS, a recipient) ──> COMMAND
 *   COMMAND ──> DATA ──> WAITING (authors, examination, delivery) ──> COMMAND
 *   COMMAND <──> CHUNK ──> WAITING (authors, examination, delivery) ──> COMMAND
 *   COMMAND <──> OVERLONG                                   any ──> CLOSED
 *
 *   COMMAND -> LOGIN_LINE, WAITING    smtp_run_auth (auth.c)
 *   COMMAND -> WAITING                smtp_run_mail, smtp_run_rcpt (mail.c)
 *   COMMAND -> DATA, CHUNK, WAITING   smtp_run_data, smtp_run_bdat, and the end of data (data.c)
 *   WAITING -> COMMAND                the smtp_session_…_done functions
 *   any     -> CLOSED                 smtp_close
 */
#ifndef SMTP_SERVER_STATE_H
#define SMTP_SERVER_STATE_H

#include "base/arena.h"
#include "examiner/verdict.h"
#include "secret/secret.h"
#include "smtp/command.h"
#include "smtp/header.h"
#include "smtp/reader.h"
#include "smtp/server/reply.h"
#include "smtp/server/session.h"

enum {
    SMTP_ERRORS_MAX = 20,             /* bad commands on a connection */
    SMTP_UNKNOWN_RECIPIENTS_MAX = 100, /* on a connection: no fishing for addresses */
    SMTP_LOGIN_FAILURES_MAX = 3,
    SMTP_ROUTES_MAX = 1024 * 1024, /* of all recipients of a message together */
    SMTP_ENVELOPE_MAX = 96 * 1024, /* for the queue, of a frame's 128 KiB (wire/channel.h) */
    SMTP_COMMAND_TIMEOUT_MS = 5 * 60 * 1000, /* RFC 5321 §4.5.3.2.7 */
    SMTP_ANSWER_TIMEOUT_MS = 5 * 60 * 1000,  /* of another role */
    /* While a message comes in: so much in such a time, or the connection is cut. */
    SMTP_DATA_WINDOW_MS = 5 * 60 * 1000,
    SMTP_DATA_WINDOW_BYTES = 16 * 1024,
    /* After a false end of data (reader.h), a client that falls silent waits for a reply. */
    SMTP_FALSE_END_MS = 3000,
};

enum smtp_state {
    SMTP_STATE_COMMAND,    /* a command line is read */
    SMTP_STATE_OVERLONG,   /* the rest of a line that was too long is skipped */
    SMTP_STATE_LOGIN_LINE, /* the client's answer to a 334 is read */
    SMTP_STATE_DATA,       /* text up to <CRLF>.<CRLF> is read */
    SMTP_STATE_CHUNK,      /* `chunk_left` bytes of BDAT are read */
    SMTP_STATE_WAITING,    /* for another role: `asked` */
    SMTP_STATE_TLS,        /* for the handshake */
    SMTP_STATE_CLOSED,
    SMTP_STATE_COUNT
};

enum smtp_login_step { SMTP_LOGIN_PLAIN, SMTP_LOGIN_USERNAME, SMTP_LOGIN_PASSWORD };

/* Where the mail for an accepted one goes; texts are in the transaction's arena. */
struct smtp_recipient {
    struct str address;
    struct str notify, orcpt; /* RFC 3461; may be empty */
    struct str folder;        /* empty: INBOX */
    struct str routes;        /* JSON; empty: none */
    struct id mailbox;
    bool has_mailbox;
    bool is_remote;  /* on another server: the courier's */
    bool is_trusted; /* an allow list names the sender */
    bool is_checked; /* spam is looked for */
};

/* Of the recipients first … end - 1 those that are remote, or those of ours that the courier hears of:
 * one message for the queue. */
struct smtp_batch {
    size_t first, end;
    bool is_remote;
};

/* What the examiner said; texts are in the transaction's arena. */
struct smtp_verdict {
    enum examiner_action action;
    struct str fields; /* to go before the message */
    struct str bounce; /* JSON for the courier; usually empty */
    bool may_reply;
    bool is_from_sender; /* MAIL's address is where it comes from: a report reaches nobody else */
};

/* From MAIL to the reply that ends it (RFC 5321 §3.3). */
struct smtp_transaction {
    struct arena arena;
    bool is_open; /* MAIL was accepted */
    struct smtp_mail_args mail;
    struct str reverse_name; /* of the client, confirmed; in the arena */
    bool is_nameless;
    uint64_t list_score;
    struct smtp_rcpt_args asked; /* the recipient that is being looked up */
    struct smtp_recipient *recipients; /* own */
    size_t recipient_count, recipient_room;
    size_t routes_bytes; /* of all of them */
    struct wire_recipients_unused unused; /* of them; count 0: none. `sender` stays empty */

    bool is_chunked; /* BDAT was begun */
    bool is_text_begun;
    bool is_last_chunk;
    uint64_t chunk_left;
    bool is_chunk_refused;
    enum smtp_reply chunk_refusal;
    struct smtp_reader reader;
    struct smtp_content content;
    enum err content_err; /* ERR_LIMIT, ERR_BUSY: the text is skipped */

    struct smtp_header header;
    struct smtp_authors authors;
    size_t author; /* that is being asked about */
    struct smtp_verdict verdict;
    struct smtp_ranges *removals; /* in the arena; NULL: none */
    struct smtp_target *targets; /* in the arena; those for the queue last, one for each batch */
    size_t target_count, answered_count;
    struct smtp_batch *batches; /* in the arena */
    size_t batch_count;
    struct id trace_id;
    struct buf trace;
};

struct smtp_session {
    struct smtp_options options; /* strings in the arena */
    struct arena arena;
    enum smtp_state state; /* set by smtp_enter alone */
    enum smtp_want asked;  /* while WAITING */
    enum smtp_question question; /* of SMTP_WANTS_SENDER: SENDER or AUTHOR */
    struct buf pending;    /* input that was not used yet */
    struct buf output;

    struct buf helo;   /* as the client named itself; empty: not yet */
    bool is_extended;  /* it said EHLO, not HELO */
    bool is_tls;
    struct str tls_words;
    bool is_admitted;  /* the first MAIL was accepted, or the login: patience from now on */
    bool is_stopping;
    struct id mailbox; /* of the login */
    enum smtp_login_step login_step;
    struct secret *username, *password; /* own; while a login is under way */
    unsigned error_count, unknown_count, login_failure_count;

    int64_t started_ms; /* the connection, or TLS on it */
    int64_t waiting_since_ms; /* of the state */
    int64_t window_start_ms;  /* while a message comes in */
    uint64_t window_bytes;

    struct smtp_transaction transaction;
};

/* ---- session.c ---- */
void smtp_enter(struct smtp_session *s, enum smtp_state next, int64_t now_ms);
void smtp_reply(struct smtp_session *s, enum smtp_reply reply);
/* The same for a mistake of the client's; the connection ends after too many. */
void smtp_reply_error(struct smtp_session *s, enum smtp_reply reply);
/* Waits for another role. */
void smtp_ask(struct smtp_session *s, enum smtp_want asked, int64_t now_ms);
/* The answer came, or what was read is over: back to commands. */
void smtp_next_command(struct smtp_session *s, int64_t now_ms);
void smtp_close(struct smtp_session *s);

/* ---- transaction.c ---- */
void smtp_transaction_init(struct smtp_session *s);
void smtp_transaction_done(struct smtp_session *s);
/* RSET: whatever was begun is forgotten. */
void smtp_transaction_reset(struct smtp_session *s);
/* The keeper counts it among those of this day (0: it does not), until somebody has the message. */
void smtp_transaction_count(struct smtp_session *s, uint64_t day);
/* The recipient that was asked about; as the keeper describes it, or a remote one (NULL). */
void smtp_transaction_add_recipient(struct smtp_session *s,
                                    const struct wire_recipient_reply *reply);
/* Whether the examiner's verdict makes it junk for this recipient. */
bool smtp_transaction_is_junk(const struct smtp_transaction *transaction,
                              const struct smtp_recipient *recipient);
/* Junk for an alias that only passes on: it gets nothing of it. */
bool smtp_transaction_is_held_back(const struct smtp_transaction *transaction,
                                   const struct smtp_recipient *recipient);
/* One target for each mailbox, one for the author's copy, and what there is for the queue. */
void smtp_transaction_make_targets(struct smtp_session *s);

/* Whether the recipient of this number is one of the batch's. */
bool smtp_transaction_is_in(const struct smtp_transaction *transaction, size_t recipient,
                            const struct smtp_batch *batch);

/* ---- dispatch.c ---- */
struct smtp_command {
    struct str verb;
    unsigned flags;     /* what the dispatcher ensures (dispatch.c) */
    size_t line_max;    /* with the CRLF */
    const char *syntax; /* for HELP */
    void (*run)(struct smtp_session *s, struct str argument, int64_t now_ms);
};
extern const struct smtp_command smtp_commands[];
extern const size_t smtp_command_count;

/* A command line without its CRLF; `raw_len` with it. */
void smtp_dispatch(struct smtp_session *s, struct str line, size_t raw_len, int64_t now_ms);

/* ---- the commands: one argument, blanks trimmed ---- */
void smtp_run_mail(struct smtp_session *s, struct str argument, int64_t now_ms); /* mail.c */
void smtp_run_rcpt(struct smtp_session *s, struct str argument, int64_t now_ms);
void smtp_run_data(struct smtp_session *s, struct str argument, int64_t now_ms); /* data.c */
void smtp_run_bdat(struct smtp_session *s, struct str argument, int64_t now_ms);
void smtp_run_auth(struct smtp_session *s, struct str argument, int64_t now_ms); /* auth.c */

/* Input in the states of theirs; how much was used. */
size_t smtp_data_input(struct smtp_session *s, struct str bytes, int64_t now_ms);
void smtp_login_line(struct smtp_session *s, struct str line, int64_t now_ms);
void smtp_login_forget(struct smtp_session *s);

/* ---- data.c ---- */
/* The message is refused: the transaction is over. Code and words as in smtp_reply_write_as. */
void smtp_end_transaction(struct smtp_session *s, enum smtp_reply reply, struct str words,
                          int64_t now_ms);
/* The answer about one of the message's authors. */
void smtp_author_known(struct smtp_session *s, enum wire_status status, int64_t now_ms);

/* ---- examination.c: the text is whole and well-formed ---- */
void smtp_judge(struct smtp_session *s, int64_t now_ms);

/* ---- delivery.c: the message is wanted ---- */
void smtp_deliver(struct smtp_session *s, int64_t now_ms);

/* ---- envelope.c ---- */
/* The JSON for the courier (docs/routes.md), in the transaction's arena. */
struct str smtp_envelope_write(struct smtp_session *s, const struct smtp_batch *batch);

/* ---- trace.c ---- */
void smtp_trace_write(const struct smtp_session *s, int64_t wall_ms, struct buf *out);

#endif
