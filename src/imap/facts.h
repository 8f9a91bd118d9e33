/*
 * What a view keeps in memory of its messages, by their index, so that SEARCH reads no rows for it:
 * flags from SELECT on, a bit for each message and flag that is in use; days and sizes from the
 * first key on that compares them, four bytes each; and which messages have the texts that were
 * last searched for, two bits each: a client that pages through an answer, or keeps a folder of
 * what it searches for, asks for the same again. (The vault's facts.h has those of contents.)
 *
 * Flags are right for every change up to `modseq`. A later one may be here already or not: whoever
 * reads the rows that changed since, all of them, may raise it.
 */
#ifndef IMAP_FACTS_H
#define IMAP_FACTS_H

#include "vault/message.h"
#include "vault/search.h"

/* What is known of one text key: a message's text never changes. */
struct imap_remembered {
    /* private, but for the index of bits: use the functions below */
    enum vault_search_field field;
    struct str name, key;    /* own */
    uint64_t *known, *truth; /* own; of `words` words; truth only where known */
    size_t words;
    uint64_t used; /* when: the highest is the latest */
};

enum { IMAP_REMEMBERED_MAX = 8 };

enum imap_column {
    IMAP_COLUMN_SENT_DAY, /* days since 1970; INT32_MIN: no valid Date: */
    IMAP_COLUMN_DAY,      /* of the internal date, as it was where that was made */
    IMAP_COLUMN_SIZE,     /* bytes; INT32_MAX: that many or more */
    IMAP_COLUMN_COUNT,
};

/* In larger folders nothing is kept but flags. */
enum { IMAP_FACTS_MESSAGES_MAX = 256 * 1024 };

struct imap_facts {
    uint64_t modseq; /* 0: no flags are known */
    uint64_t flags;  /* that have a plane; no message has another */
    /* private */
    size_t count;     /* of messages */
    uint64_t *planes; /* own; in the order of the flags' bits */
    size_t words;     /* of each of them */
    struct imap_column_values {
        int32_t *values; /* own; NULL: none yet */
        size_t count;    /* the first so many messages' are known */
        size_t room;
    } columns[IMAP_COLUMN_COUNT];
    struct imap_remembered *remembered[IMAP_REMEMBERED_MAX]; /* own */
    uint64_t uses;
};

/* Nothing is known yet. */
struct imap_facts *imap_facts_new(void);
void imap_facts_free(struct imap_facts **facts);

/* Another message, behind the last one. */
void imap_facts_add(struct imap_facts *facts, uint64_t flags);
void imap_facts_set_flags(struct imap_facts *facts, size_t index, uint64_t flags);
/* The same of `count` messages, the first of which is at this index. */
void imap_facts_set_run(struct imap_facts *facts, size_t index, const struct vault_uid_flags *now,
                        size_t count);
/* The messages at these indexes (ascending) are no longer there; those behind them move up. */
void imap_facts_remove(struct imap_facts *facts, const size_t *indexes, size_t count);

/* Whether a column is known of all messages. */
bool imap_facts_have(const struct imap_facts *facts, enum imap_column column);
/* The index of the first message whose value is not known. */
size_t imap_facts_known(const struct imap_facts *facts, enum imap_column column);
/* Of the message at imap_facts_known. */
void imap_facts_put(struct imap_facts *facts, enum imap_column column, int64_t value);
/* The client does nothing for now: frees what is remembered of text keys, and columns that are
 * large. */
enum { IMAP_FACTS_IDLE_MESSAGES_MAX = 64 * 1024 };
void imap_facts_rest(struct imap_facts *facts);

/*
 * What is known of a text key, made if there is nothing yet; whoever calls this for one key after
 * the other may use as many as IMAP_REMEMBERED_MAX at a time. Borrowed until imap_facts_rest.
 */
struct imap_remembered *imap_facts_remember(struct imap_facts *facts, enum vault_search_field field,
                                            struct str name, struct str key);
/* Of the messages in `mask`, those that match are `matches`. */
void imap_remembered_put(struct imap_remembered *key, size_t word, uint64_t mask, uint64_t matches);
/* Which of them are known, and match; else 0. */
uint64_t imap_remembered_known(const struct imap_remembered *key, size_t word);
uint64_t imap_remembered_matches(const struct imap_remembered *key, size_t word);
/* It is known of all messages. */
bool imap_facts_know_all(const struct imap_facts *facts, const struct imap_remembered *key);

/* Which of the messages 64 * word … 64 * word + 63 have one of the flags: a bit for each. */
uint64_t imap_facts_with_flags(const struct imap_facts *facts, uint64_t flags, size_t word);
/* Likewise, whose value is at least, or at most, this one. The column must be known. */
uint64_t imap_facts_from(const struct imap_facts *facts, enum imap_column column, int64_t value,
                         size_t word);
uint64_t imap_facts_to(const struct imap_facts *facts, enum imap_column column, int64_t value,
                       size_t word);

#endif
