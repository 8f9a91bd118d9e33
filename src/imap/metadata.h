/* Annotations (RFC 5464), as several commands use them. */
#ifndef IMAP_METADATA_H
#define IMAP_METADATA_H

#include "imap/parse.h"
#include "vault/metadata.h"

struct imap_session;

/* News that wait for the client's next command, in bytes; what comes beyond is not told. */
enum { IMAP_METADATA_NEWS_MAX = 32 * 1024 };

struct imap_metadata_names {
    struct str *entries;
    size_t count;
    bool is_too_many; /* there were more: IMAP_REFUSAL_METADATA_ENTRIES */
};

struct imap_metadata_args {
    struct str name; /* empty: the mailbox as a whole */
    struct imap_metadata_names names;
    enum vault_metadata_depth depth;
    bool has_max_size;
    uint32_t max_size;
    struct vault_metadata *changes; /* SETMETADATA */
    size_t change_count;
    bool is_too_many; /* there were more of them: NO [METADATA TOOMANY] */
    /* progress */
    bool is_started;
    struct vault_folder folder;
    size_t next;
    bool is_open;     /* the answer's parenthesis */
    uint64_t longest; /* of those left out for MAXSIZE */
};

/* entries = entry / "(" entry *(SP entry) ")" (RFC 5464 §5): those that *out does not have yet are
 * appended to it, in the task's arena. */
MUST_CHECK enum err imap_parse_metadata_entries(struct imap_parser *parser,
                                                enum vault_metadata_depth depth,
                                                struct imap_metadata_names *out);
/* "* METADATA name (…)" with the entries named; those that there are not as NIL. */
MUST_CHECK enum err imap_write_metadata(struct imap_session *s, const struct vault_folder *folder,
                                        const struct imap_metadata_names *names);

/* An annotation was changed, by another session (or this one: no news). */
void imap_metadata_heard(struct imap_session *s, int64_t folder_id, struct str entry);
/* Where untagged answers may go. */
void imap_metadata_tell(struct imap_session *s);

#endif
