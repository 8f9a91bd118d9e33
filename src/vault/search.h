/*
 * The search index (design §4): which messages may contain a text. The answer is a superset,
 * narrowed with the vocabulary. Folded text on both sides (message_fold).
 *
 * A key that lies within one word is answered exactly, and so is one that an address or identifier
 * may have as a part (a run, words.h), in all fields but TEXT and BODY; of other keys the
 * candidates have all words of the key, and the caller confirms each with the message's own text.
 * Messages that are not in the index yet (they came a moment ago) or not in full (more text than it
 * takes) are candidates for every key; they are the open ones, and so are a few that nearly all
 * others make an exception of, where their text is read sooner than the index.
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
    VAULT_SEARCH_HEADER, /* the message's own header fields with a name; any letter case */
};

struct vault_candidates { /* arrays in the task's arena, ascending */
    uint32_t *uids;       /* in the folder; whatever matches is among them */
    size_t count;
    bool is_exact;       /* all of them match, but for those of open_uids, which may */
    uint32_t *open_uids; /* a part of `uids`; says nothing unless is_exact */
    size_t open_count;
};

/*
 * The messages of the folder that may match `key`, also of those expunged a moment ago (a session
 * may not have announced it yet); of `uids` alone, ascending, unless it is NULL: of few messages
 * that arrived together only the part of the index is read that has them. The key is UTF-8; other
 * bytes, and an empty key, make all messages candidates. `name` is HEADER's field name and not
 * looked at for other fields; with a name, the empty key asks for messages that have the field, and
 * is exact.
 *
 * A few milliseconds for a part of a word of SIGN_GRAM bytes or more that few words have (signs.h);
 * for shorter and very common ones, which many terms have, up to some 90 for 100,000 messages with
 * millions of different words. Confirming costs some 0.1 ms a message, so that for a handful of
 * messages that other keys left over, not asking is cheaper.
 */
MUST_CHECK enum err vault_search_candidates(struct vault *vault, struct task *task,
                                            int64_t folder_id, enum vault_search_field field,
                                            struct str name, struct str key, const uint32_t *uids,
                                            size_t uid_count, struct vault_candidates *out);

/*
 * These messages are going to be read, one after the other: where the file was not used for long,
 * the disk is asked for all of them now. UIDs ascending, those of messages that the folder had when
 * candidates were asked for; of others, and of those behind VAULT_AHEAD_MAX, nothing is done.
 */
enum { VAULT_AHEAD_MAX = 64 };
MUST_CHECK enum err vault_search_ahead(struct vault *vault, struct task *task, int64_t folder_id,
                                       const uint32_t *uids, size_t uid_count);

#endif
