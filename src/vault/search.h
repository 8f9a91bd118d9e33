/*
 * The search index (design §4): which messages may contain a text. The answer is a superset,
 * narrowed with the vocabulary; the caller confirms with the message's own text unless
 * *out_is_exact. Folded text on both sides (message_fold).
 */
#ifndef VAULT_SEARCH_H
#define VAULT_SEARCH_H

#include "vault/message.h"

enum vault_search_field {
    VAULT_SEARCH_TEXT, /* headers and body */
    VAULT_SEARCH_BODY,
    VAULT_SEARCH_SUBJECT,
    VAULT_SEARCH_FROM,
    VAULT_SEARCH_TO,
    VAULT_SEARCH_CC,
    VAULT_SEARCH_BCC,
    VAULT_SEARCH_HEADER, /* any header field */
};

/* Ascending UIDs in the folder that may match `key` (UTF-8); in the task's arena. */
MUST_CHECK enum err vault_search_candidates(struct vault *vault, struct task *task,
                                            int64_t folder_id, enum vault_search_field field,
                                            struct str key, uint32_t **out_uids, size_t *out_count,
                                            bool *out_is_exact);

#endif
