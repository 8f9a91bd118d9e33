/*
 * Naive Bayes over the tokens of a message: counts of each token in spam and in ham. One model is
 * shared by the host, in a file that the administrator trains; each mailbox has its own, inside its
 * encrypted file (vault), trained by what its owner moves into and out of Junk.
 */
#ifndef SPAM_MODEL_H
#define SPAM_MODEL_H

#include "message/message.h"

enum { SPAM_TOKENS_MAX = 4096 }; /* of one message, the first different ones */

struct spam_model; /* a shared model in memory, read-only */

/* A token is known by the first 64 bits of a hash of it. */
struct spam_tokens {
    uint64_t hashes[SPAM_TOKENS_MAX]; /* ascending, each once */
    size_t count;
};

struct spam_count {
    uint32_t spam, ham; /* in how many messages of each */
};

/* The tokens of a message: words of text and subject, names and hosts of links, senders, and a few
 * marks of its structure. Bounded work. */
void spam_tokenize(struct task *task, struct str message,
                   const struct message_structure *structure, struct spam_tokens *out);
/* Robinson's combination of the most telling tokens: 0 ham … 1000 spam; 500: nothing known. `counts`
 * are those of tokens->hashes, `total` how many messages were learned of each kind. */
unsigned spam_probability(const struct spam_tokens *tokens, const struct spam_count *counts,
                          struct spam_count total);

/* Reads the host's model file; ERR_NOT_FOUND: none was trained. */
MUST_CHECK enum err spam_model_open(struct task *task, const char *path,
                                    struct spam_model **out_model);
void spam_model_close(struct spam_model **model);
unsigned spam_model_probability(const struct spam_model *model, const struct spam_tokens *tokens);

#endif
