/*
 * What SORT and THREAD compare (RFC 5256, RFC 5957), for many messages at once and without opening
 * a content: most of it is kept in rows of its own, which are filled in idle moments (sort_keep.h);
 * of messages that came a moment ago it is made of what the content's row has.
 */
#ifndef VAULT_SORT_H
#define VAULT_SORT_H

#include "vault/message.h"

enum { /* only mail that was made for it comes near: they bound the memory */
       VAULT_SORT_TEXT_MAX = 512,      /* bytes of a text that are compared */
       VAULT_SORT_ANCESTORS_MAX = 200, /* of a message's references the last ones count */
};

enum vault_sort_field { /* what is asked for, as a set; the rest stays zero */
                        VAULT_SORT_ARRIVAL = 1 << 0,
                        VAULT_SORT_SIZE = 1 << 1,
                        VAULT_SORT_SENT = 1 << 2,
                        VAULT_SORT_SUBJECT = 1 << 3, /* base_subject, is_reply */
                        VAULT_SORT_FROM = 1 << 4,    /* from and display_from; likewise */
                        VAULT_SORT_TO = 1 << 5,
                        VAULT_SORT_CC = 1 << 6,
                        VAULT_SORT_THREAD = 1 << 7, /* message_id, ancestors */
};

/* Texts but those for THREAD are decoded UTF-8 as i;unicode-casemap compares it (message_fold), cut
 * to VAULT_SORT_TEXT_MAX: the order of their bytes is the one that is meant. */
struct vault_sort_key {
    uint32_t uid;
    bool was_made;       /* its row was not there yet: some 4 us of processor time */
    size_t text_bytes;   /* read for it of what its sender made as long as he liked */
    bool is_reply;       /* the subject has a reply's or forward's mark (RFC 5256 §2.1) */
    int64_t arrival_ms;  /* INTERNALDATE as UTC */
    int64_t sent_ms;     /* Date: as UTC; the internal date where there is no valid one (§2.2) */
    uint64_t size_bytes; /* RFC822.SIZE */
    struct str base_subject;
    struct str from, to, cc; /* addr-mailbox of the first address, as ENVELOPE has it; a group's
                                name; empty: there is none */
    struct str display_from, display_to; /* the first address's display name, else mailbox@host
                                            (RFC 5957 §3); empty: there is none */
    /* Without angle brackets, as written; several are separated by one space. May be empty.
     * `ancestors` are the last VAULT_SORT_ANCESTORS_MAX of References, or if there are none, of
     * In-Reply-To (§3). */
    struct str message_id, ancestors;
};

/*
 * The keys of the folder's messages first_uid … last_uid, ascending by UID, also of those expunged
 * a moment ago (a session may not have announced it yet). The texts hold during the call of
 * `on_key` only, which must not use the vault; it gives false to stop, so that a long SORT can take
 * turns. *out_is_end: there were no more. ERR_NOT_FOUND: the folder is gone.
 */
MUST_CHECK enum err vault_sort_keys(struct vault *vault, struct task *task, int64_t folder_id,
                                    uint32_t first_uid, uint32_t last_uid, unsigned fields,
                                    bool (*on_key)(void *owner, const struct vault_sort_key *key),
                                    void *owner, bool *out_is_end);

#endif
