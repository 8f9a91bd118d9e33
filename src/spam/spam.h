/*
 * Is it spam? One message against all that can be seen in it without a network: the shared model
 * (naive Bayes), links and names that pretend, executables by their content, archives, GTUBE, and
 * what others found (authentication, block lists, scanners). Points are added up; every reason that
 * gave any is named.
 *
 * All bytes are foreign: at most 2 s of processor time and 128 MiB, whatever they are.
 */
#ifndef SPAM_SPAM_H
#define SPAM_SPAM_H

#include "dns/source.h"
#include "mailauth/mailauth.h"
#include "message/message.h"
#include "spam/model.h"

enum {
    SPAM_REASONS_MAX = 64,
    /* In thousandths. From JUNK on it goes to Junk; from REFUSE on it is refused at DATA. */
    SPAM_SCORE_JUNK = 5000,
    SPAM_SCORE_REFUSE = 15000,
};

struct spam_request {
    struct str message;                        /* as it came */
    const struct message_structure *structure; /* of it */
    const struct mailauth_verdict *auth;       /* may be NULL */
    struct str helo, client, reverse_name;     /* may be empty */
    bool is_nameless;                          /* the DNS says that the client has no name */
    int64_t list_score;                        /* of DNS block lists, in thousandths */
    const struct spam_model *model;            /* shared model; may be NULL: not trained */
    const struct dns_source *link_check;       /* filtering resolver; NULL: none configured */
    int64_t now_ms;
};

/* Names, with what each is worth when nothing else is said, are in report.c (docs/spam.md). */
struct spam_reason {
    const char *name;  /* constant, upper case: "LINK_MISMATCH" */
    int64_t score;     /* thousandths; negative speaks for the message */
    struct str detail; /* for the header: short, ASCII; may be empty */
};

struct spam_verdict {
    int64_t score; /* thousandths */
    struct spam_reason reasons[SPAM_REASONS_MAX];
    size_t reason_count;
    /* An executable, a script, an archive bomb: refused whatever the score; NULL: no. */
    const char *refusal;
};

/* Results are in the task's arena. Never fails. */
void spam_judge(struct task *task, const struct spam_request *request, struct spam_verdict *out);
/* Adds a reason that was found elsewhere (a scanner's virus, rspamd's score); `name` is constant, and
 * one of the table in report.c or not. Does nothing when there is no room left. */
void spam_verdict_add(struct task *task, struct spam_verdict *verdict, const char *name,
                      int64_t score, struct str detail);
/*
 * The header fields that report it, in printable ASCII, CRLF at their ends:
 *
 *   X-Spam-Status: Yes, score=7.200 required=5.000
 *   	tests=BAYES_SPAM=4.500,LINK_MISMATCH=2.700
 *   X-Spam-Report: 4.500 BAYES_SPAM (probability 0.998)
 *   	2.700 LINK_MISMATCH (bank.example leads to evil.example)
 */
void spam_write_fields(const struct spam_verdict *verdict, struct buf *out);

/* What such fields say, in the part of a message that we wrote ourselves. */
struct spam_status {
    bool is_there;
    bool is_junk; /* "Yes" */
    bool is_hard; /* for a reason that its owner's habits cannot know better: a virus, a forged
                   * sender, a program, phishing */
};
void spam_read_status(struct str trace, struct spam_status *out);

#endif
