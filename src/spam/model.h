/*
 * Naive Bayes over the tokens of a message: counts of each token in spam and in ham. One model is
 * shared by the host, in a file that the administrator trains; each mailbox has its own, inside its
 * encrypted file (vault), trained by what its owner moves into and out of Junk.
 *
 * The file of the shared model: "SPMODEL1", then little-endian u32 form (SPAM_TOKEN_FORM), u32 spam
 * and u32 ham messages learned, u32 number of tokens; the tokens by ascending hash, each u64 hash,
 * u32 spam, u32 ham; at the end a u64 checksum (SipHash) of all that.
 */
#ifndef SPAM_MODEL_H
#define SPAM_MODEL_H

#include "message/message.h"

enum {
    SPAM_TOKENS_MAX = 4096, /* of one message, the first different ones */
    SPAM_TOKEN_FORM = 1,    /* counted up with every change of what the tokens of a message are */
    SPAM_MODEL_TOKENS_MAX = 2 * 1000 * 1000,
    SPAM_MODEL_LEARNED_MIN = 50, /* messages of each kind, before the shared model counts */
};

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
/* How many messages it learned, and how many different tokens. */
struct spam_count spam_model_total(const struct spam_model *model);
size_t spam_model_token_count(const struct spam_model *model);
/* From the bytes of a file. ERR_CORRUPT; ERR_INVALID: of another version, train anew. */
MUST_CHECK enum err spam_model_read(struct task *task, struct str bytes,
                                    struct spam_model **out_model);

/*
 * Training. A trainer begins empty or with what a model has, and writes the next one: durable and
 * atomic, so that whoever reads the file meanwhile finds the old model or the new.
 */
struct spam_trainer;
struct spam_trainer *spam_trainer_new(const struct spam_model *model); /* NULL: empty */
void spam_trainer_free(struct spam_trainer **trainer);
/* Once for each message. ERR_LIMIT: it cannot count more messages. */
MUST_CHECK enum err spam_trainer_learn(struct spam_trainer *trainer, struct task *task,
                                       const struct spam_tokens *tokens, bool is_spam);
struct spam_count spam_trainer_total(const struct spam_trainer *trainer);
/* The file's bytes. Of more than SPAM_MODEL_TOKENS_MAX tokens the rarest are left out. Appends. */
void spam_trainer_write(const struct spam_trainer *trainer, struct buf *out);

#endif
