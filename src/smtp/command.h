/* The grammar of command lines (RFC 5321 §4.1.1): verb, paths and parameters. */
#ifndef SMTP_COMMAND_H
#define SMTP_COMMAND_H

#include "smtp/address.h"

#include <stdint.h>

enum {
    SMTP_ENVID_MAX = 100, /* RFC 3461 §4.4 */
    SMTP_ORCPT_MAX = 500, /* RFC 3461 §4.2 */
    SMTP_COMMAND_LINE_MAX = 512,   /* §4.5.3.1.4, with the CRLF */
    SMTP_EXTENDED_LINE_MAX = 1024, /* MAIL and RCPT: the extensions add to it */
    SMTP_AUTH_LINE_MAX = 12288,    /* RFC 4954 §4 */
};

/* Splits a line without its CRLF at the first space; the argument is trimmed of blanks. */
void smtp_command_split(struct str line, struct str *out_verb, struct str *out_argument);

enum smtp_body { SMTP_BODY_7BIT, SMTP_BODY_8BITMIME };

struct smtp_mail_args {
    struct smtp_address sender;
    uint64_t size_bytes; /* SIZE (RFC 1870), 0: not told */
    enum smtp_body body; /* BODY (RFC 6152) */
    bool is_utf8;        /* SMTPUTF8 (RFC 6531) */
    bool needs_tls;      /* REQUIRETLS (RFC 8689) */
    struct str ret;      /* RET (RFC 3461): "FULL", "HDRS"; empty: not told */
    struct str envid;    /* ENVID, still xtext; empty: not told */
};

struct smtp_rcpt_args {
    struct smtp_address recipient;
    struct str notify; /* NOTIFY (RFC 3461): "NEVER", or of "SUCCESS,FAILURE,DELAY"; empty: not told */
    struct str orcpt;  /* ORCPT: address type, ";", xtext; empty: not told */
};

enum smtp_args_problem {
    SMTP_ARGS_OK,
    SMTP_ARGS_SYNTAX,             /* no FROM: or TO:, or something behind the path */
    SMTP_ARGS_ADDRESS,            /* not an address */
    SMTP_ARGS_PARAMETER_UNKNOWN,  /* a parameter that no extension of ours defines */
    SMTP_ARGS_PARAMETER_INVALID,  /* a value that it cannot have, or given twice */
    SMTP_ARGS_UTF8,               /* the address needs SMTPUTF8, which was not given */
};

/* MAIL's argument: "FROM:" reverse-path [SP parameters]. Texts are in the arena. */
enum smtp_args_problem smtp_mail_parse(struct arena *arena, struct str argument,
                                       struct smtp_mail_args *out);
/* RCPT's: "TO:" forward-path [SP parameters]. `is_utf8` as MAIL had it. */
enum smtp_args_problem smtp_rcpt_parse(struct arena *arena, struct str argument, bool is_utf8,
                                       struct smtp_rcpt_args *out);
/* BDAT's: chunk-size [SP "LAST"] (RFC 3030 §2). */
bool smtp_bdat_parse(struct str argument, uint64_t *out_size, bool *out_is_last);

#endif
