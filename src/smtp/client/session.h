/*
 * The SMTP client's engine (RFC 5321 and extensions): bytes in, bytes out, and what it waits for.
 * It does no network I/O and reads no clock. One session is one connection; it carries one mail
 * after the other.
 *
 * Used when offered: STARTTLS, PIPELINING, SIZE, 8BITMIME, SMTPUTF8, DSN, REQUIRETLS, AUTH PLAIN.
 * DATA, not BDAT: what CHUNKING would allow (BINARYMIME) nobody hands us. A message with bytes over
 * 127 goes to a server without 8BITMIME as it is: recoding it would break its signatures, and every
 * such server that is left passes them.
 *
 * The message goes out with CRLF at every line's end, whatever it has, so that no CR or LF by
 * itself lets a server that reads lines differently find an end of data where there is none.
 *
 * All `now_ms` are of a clock that never jumps (clock_monotonic_ms).
 */
#ifndef SMTP_CLIENT_SESSION_H
#define SMTP_CLIENT_SESSION_H

#include "base/log.h"
#include "secret/secret.h"
#include "smtp/client/reply.h"

#include <stdint.h>

struct smtp_client;

enum {
    SMTP_CLIENT_OUTPUT_HIGH = 64 * 1024, /* not more of a message is made ahead */
    SMTP_CLIENT_WORDS_MAX = 512,
};

/* RFC 5321 §4.5.3.2; 0: what it says. */
struct smtp_client_timeouts {
    int64_t greeting_ms; /* 5 min; also EHLO, STARTTLS, AUTH, RSET */
    int64_t mail_ms;     /* 5 min */
    int64_t rcpt_ms;     /* 5 min */
    int64_t data_ms;     /* 2 min: for 354 */
    int64_t block_ms;    /* 3 min: for the server to take more of the text */
    int64_t end_ms;      /* 10 min: for the reply to the final dot */
};

enum smtp_client_tls {
    SMTP_CLIENT_TLS_NEVER,
    SMTP_CLIENT_TLS_OFFERED,  /* if the server has it */
    SMTP_CLIENT_TLS_REQUIRED, /* nothing is sent without */
};

struct smtp_client_options {
    struct str hostname; /* of EHLO; for an address literal with its brackets */
    enum smtp_client_tls tls;
    bool is_secure;                /* TLS is up from the start (implicit TLS, port 465) */
    struct str user;               /* AUTH PLAIN; empty: none. Only over TLS */
    const struct secret *password; /* borrowed for the session's life */
    struct smtp_client_timeouts timeouts;
    const struct log *log; /* borrowed */
};

enum smtp_client_want {
    SMTP_CLIENT_WANTS_INPUT, /* or that output is taken */
    SMTP_CLIENT_WANTS_TLS,   /* send the output, start TLS, then smtp_client_secured */
    SMTP_CLIENT_WANTS_MAIL,  /* smtp_client_send, or smtp_client_quit */
    SMTP_CLIENT_WANTS_CLOSE, /* send the output, then close; see smtp_client_trouble */
};

/* Why a session ended; the caller decides by it whether another host, or going without TLS, helps.
 */
enum smtp_client_ending {
    SMTP_CLIENT_ENDED_NOT,
    SMTP_CLIENT_ENDED_QUIT,     /* as asked */
    SMTP_CLIENT_ENDED_REFUSED,  /* the greeting, EHLO and HELO, or AUTH: `code` */
    SMTP_CLIENT_ENDED_NO_TLS,   /* required, and not offered or refused */
    SMTP_CLIENT_ENDED_CLOSING,  /* 421 */
    SMTP_CLIENT_ENDED_PROTOCOL, /* what came is not SMTP, or not what was asked for */
    SMTP_CLIENT_ENDED_TIMEOUT,
    SMTP_CLIENT_ENDED_LOST, /* the connection went */
};

struct smtp_client_trouble {
    enum smtp_client_ending ending;
    bool is_tls;                   /* it ended while TLS was being started */
    unsigned code;                 /* of the reply; 0: none */
    struct smtp_enhanced enhanced; /* always set unless ENDED_NOT or QUIT */
    struct str words;              /* the server's, or ours */
};

struct smtp_client_recipient {
    struct str address;
    struct str notify, orcpt; /* RFC 3461; passed on to a server with DSN */
};

struct smtp_client_mail {
    struct str sender;                              /* empty: the null path */
    const struct smtp_client_recipient *recipients; /* copied */
    size_t recipient_count;
    struct str ret, envid; /* RFC 3461 */
    bool require_tls;      /* REQUIRETLS: for a server that offers it */
    bool needs_utf8;       /* SMTPUTF8: else 5.6.7 */
    bool is_8bit;
    struct str fields;  /* sent before the message; CRLF ends, or empty */
    struct str message; /* both borrowed until the mail is done */
};

enum smtp_client_outcome {
    SMTP_CLIENT_PENDING, /* not known yet */
    SMTP_CLIENT_DELIVERED,
    SMTP_CLIENT_TEMPORARY,
    SMTP_CLIENT_PERMANENT,
};

struct smtp_client_verdict {
    enum smtp_client_outcome outcome;
    bool is_too_many; /* TEMPORARY, only because others came before it: again in another mail */
    bool is_early; /* TEMPORARY, by the reply to MAIL or RCPT: another host may answer otherwise */
    bool is_uncertain; /* TEMPORARY: the connection went before the final reply */
    bool is_session;   /* TEMPORARY, for a reason that is the connection's: another host may do */
    unsigned code;     /* 0: no reply */
    struct smtp_enhanced enhanced;
    struct str words; /* holds until the next mail */
};

/* Strings of `options` are copied. It waits for the greeting. */
struct smtp_client *smtp_client_new(const struct smtp_client_options *options, int64_t now_ms);
void smtp_client_free(struct smtp_client **client);

/* What the server sent. */
void smtp_client_input(struct smtp_client *client, struct str bytes, int64_t now_ms);
/* What is to be sent; holds until the next call. Tell what was taken: more of a message follows. */
struct str smtp_client_output(const struct smtp_client *client);
void smtp_client_consume_output(struct smtp_client *client, size_t len, int64_t now_ms);
enum smtp_client_want smtp_client_wants(const struct smtp_client *client);
/* The connection is gone, or could not be secured (`words` say why). */
void smtp_client_lost(struct smtp_client *client, struct str words, int64_t now_ms);
/* TLS is up: what the server said before is forgotten (RFC 3207 §4.2). */
void smtp_client_secured(struct smtp_client *client, int64_t now_ms);

/* When to call smtp_client_expire, unless something happens before; INT64_MAX: never. */
int64_t smtp_client_deadline(const struct smtp_client *client);
void smtp_client_expire(struct smtp_client *client, int64_t now_ms);

/* While WANTS_MAIL. It is done when it wants MAIL or CLOSE again; then every verdict is set. */
void smtp_client_send(struct smtp_client *client, const struct smtp_client_mail *mail,
                      int64_t now_ms);
/* Of the last mail; `index` as in its recipients. */
const struct smtp_client_verdict *smtp_client_verdict(const struct smtp_client *client,
                                                      size_t index);
/* While WANTS_MAIL: says QUIT and ends. In any other state it ends without. */
void smtp_client_quit(struct smtp_client *client, int64_t now_ms);

/* Why it ended; the words hold as long as the client. */
struct smtp_client_trouble smtp_client_trouble(const struct smtp_client *client);
/* What EHLO said. */
bool smtp_client_has_dsn(const struct smtp_client *client);
bool smtp_client_is_secure(const struct smtp_client *client);

#endif
