/*
 * Inside the vault only: the word indexes of design §4. What goes in is folded (message_fold), so
 * that the index and a search key, folded too, agree letter by letter.
 */
#ifndef VAULT_WORDS_H
#define VAULT_WORDS_H

#include "message/message.h"
#include "vault/state.h"

enum {
    /* Of a message's text; what is longer is a candidate for every search. */
    WORDS_TEXT_MAX = 1024 * 1024,
    /* How many bytes of text parts are looked at for it: markup and encodings take their share. */
    WORDS_RAW_MAX = 4 * 1024 * 1024,
    /* FTS5 cuts words at 32,768 bytes, so a message with longer ones is too. */
    WORDS_WORD_MAX = 30000,
};

/* The text that is indexed, made before the change begins. */
struct words {
    struct buf body;    /* own; folded; each word once */
    struct buf headers; /* own; the same of all header fields of all levels */
    struct buf fields;  /* own; folded: the five fields below, one after the other */
    struct str subject, from, to, cc, bcc; /* in `fields` */
    bool is_cut;
};

void words_make(struct words *words, struct str raw, const struct message_summary *summary);
void words_done(struct words *words);

MUST_CHECK enum err words_add(struct vault *vault, struct task *task, int64_t content_id,
                              const struct words *words);
MUST_CHECK enum err words_remove(struct vault *vault, struct task *task, int64_t content_id);
/* One slice of merging; *out_more: there is more to merge. Within a change. */
MUST_CHECK enum err words_merge(struct vault *vault, struct task *task, bool *out_more);

#endif
