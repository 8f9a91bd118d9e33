/* Between session.c (the connection's life) and mail.c (one mail on it). */
#ifndef SMTP_CLIENT_STATE_H
#define SMTP_CLIENT_STATE_H

#include "base/arena.h"
#include "smtp/client/extension.h"
#include "smtp/client/session.h"
#include "smtp/client/text.h"

enum smtp_client_state {
    SMTP_CLIENT_GREETING,
    SMTP_CLIENT_HELLO,     /* EHLO is sent */
    SMTP_CLIENT_OLD_HELLO, /* HELO is */
    SMTP_CLIENT_STARTTLS,  /* STARTTLS is */
    SMTP_CLIENT_SECURING,  /* the caller shakes hands */
    SMTP_CLIENT_LOGIN,     /* AUTH is sent */
    SMTP_CLIENT_READY,
    SMTP_CLIENT_ENVELOPE, /* MAIL, RCPT, DATA; how far they are is in `mail` */
    SMTP_CLIENT_TEXT,     /* behind 354 */
    SMTP_CLIENT_END,      /* behind the final dot */
    SMTP_CLIENT_RESET,    /* RSET is sent: the transaction was left open */
    SMTP_CLIENT_CLOSED,
    SMTP_CLIENT_STATE_COUNT,
};

/* A mail on its way. Step 0 is MAIL, 1 … told_count are RCPT, the next is DATA. */
struct mail_state {
    struct arena arena; /* what is copied of the mail, and its verdicts */
    struct smtp_client_mail mail;
    struct smtp_client_verdict *verdicts; /* one a recipient */
    size_t *told;                         /* indexes of the recipients that RCPT names */
    size_t told_count;
    size_t sent_steps, answered_steps;
    size_t accepted; /* recipients that were, and have no verdict yet */
    bool is_open;    /* MAIL was accepted, and nothing has ended it since */
    struct smtp_text text;
    uint64_t taken_bytes; /* of the text's output, since `deadline_ms` was put off */
};

struct smtp_client {
    struct smtp_client_options options; /* strings in `arena`; password and log borrowed */
    struct arena arena;
    enum smtp_client_state state;
    bool is_secure;
    struct smtp_extensions extensions;
    struct smtp_reply_reader reader;
    struct buf output;
    int64_t deadline_ms;
    int64_t text_end_ms; /* TEXT: later than this it is given up, however the server nibbles */
    struct smtp_client_trouble trouble;
    struct mail_state mail;
};

/* session.c, for mail.c */
void smtp_client_enter(struct smtp_client *client, enum smtp_client_state next);
void smtp_client_wait(struct smtp_client *client, int64_t for_ms, int64_t now_ms);
/* Ends the session, and the mail under way with it. `code` 0 and words of our own, or a reply's. */
void smtp_client_end(struct smtp_client *client, enum smtp_client_ending ending,
                     const struct smtp_reply *reply, struct str words);

/* mail.c, for session.c */
void smtp_client_mail_reply(struct smtp_client *client, const struct smtp_reply *reply,
                            int64_t now_ms);
/* More of the text into the output. */
void smtp_client_mail_fill(struct smtp_client *client, int64_t now_ms);
/* The session ended: whoever has no verdict gets one. */
void smtp_client_mail_broken(struct smtp_client *client);

#endif
