/*
 * What SORT and THREAD compare (RFC 5256, RFC 5957), for many messages at once and without opening
 * a content: all of it was made when the message arrived.
 */
#ifndef VAULT_SORT_H
#define VAULT_SORT_H

#include "vault/message.h"

enum vault_sort_field { /* what is asked for, as a set; the rest stays zero */
                        VAULT_SORT_ARRIVAL = 1 << 0,
                        VAULT_SORT_SIZE = 1 << 1,
                        VAULT_SORT_SENT = 1 << 2,
                        VAULT_SORT_SUBJECT = 1 << 3, /* base_subject, is_reply */
                        VAULT_SORT_FROM = 1 << 4,    /* from and display_from; likewise */
                        VAULT_SORT_TO = 1 << 5,
                        VAULT_SORT_CC = 1 << 6,
                        VAULT_SORT_THREAD = 1 << 7, /* message_id, in_reply_to, references */
};

struct vault_sort_key {
    uint32_t uid;
    bool is_reply;       /* the subject has a reply's or forward's mark (RFC 5256 §2.1) */
    int64_t arrival_ms;  /* INTERNALDATE as UTC */
    int64_t sent_ms;     /* Date: as UTC; the internal date where there is no valid one (§2.2) */
    uint64_t size_bytes; /* RFC822.SIZE */
    struct str base_subject; /* decoded UTF-8, as written: collation is the caller's */
    struct str from, to, cc; /* addr-mailbox of the first address, as ENVELOPE has it; a group's
                                name; empty: there is none */
    struct str display_from, display_to; /* decoded UTF-8: the first address's display name, else
                                            mailbox@host (RFC 5957 §3); empty: there is none */
    /* Without angle brackets; several references are separated by one space. May be empty. */
    struct str message_id, in_reply_to, references;
};

/*
 * The keys of the folder's messages first_uid … last_uid, ascending by UID, also of those expunged
 * a moment ago (a session may not have announced it yet). At most `max_count`, so that a long
 * SORT can take turns: go on from the last UID + 1 until fewer come. All in the task's arena.
 * About 2 µs a message; ARRIVAL and SIZE alone, a third. ERR_NOT_FOUND: the folder is gone.
 */
MUST_CHECK enum err vault_sort_keys(struct vault *vault, struct task *task, int64_t folder_id,
                                    uint32_t first_uid, uint32_t last_uid, unsigned fields,
                                    size_t max_count, struct vault_sort_key **out_keys,
                                    size_t *out_count);

#endif
