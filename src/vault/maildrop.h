/*
 * A folder as POP3 sees it (RFC 1939): its messages with their unique-ids and the octets that
 * sending them takes.
 *
 * A message is kept byte for byte as it came; POP3 sends lines that end in CRLF. Where the two
 * differ (a line that ends in a bare LF, a last line without an end) the octets are counted once,
 * at arrival, so that LIST can tell exactly what RETR will send without reading the message.
 *
 * The unique-id is the one that the message brought along from another server, or else made of the
 * folder's UIDVALIDITY and the message's UID. The latter never names another message, so neither
 * does the former as long as it has another shape; a given one of this folder's own shape is not
 * used (uidl.c).
 */
#ifndef VAULT_MAILDROP_H
#define VAULT_MAILDROP_H

#include "vault/message.h"

enum {
    VAULT_UIDL_MAX = 70,     /* RFC 1939 §7 */
    VAULT_OWN_UIDL_LEN = 16, /* hexadecimal UIDVALIDITY and UID */
};

#define VAULT_OCTETS_UNKNOWN UINT64_MAX

struct vault_maildrop_message {
    uint32_t uid;
    int64_t content_id;     /* for vault_content_open */
    uint64_t size_bytes;    /* as it is stored */
    uint64_t octets;        /* as it is sent, without byte-stuffing; VAULT_OCTETS_UNKNOWN */
    const char *given_uidl; /* NULL: none. In the task's arena. */
};

/* uidl.c: 1 to 70 characters from 0x21 to 0x7E (RFC 1939 §7). */
bool vault_uidl_is_valid(struct str uidl);
/* The one made by us; out has room for VAULT_OWN_UIDL_LEN + 1. */
void vault_uidl_own(uint32_t uidvalidity, uint32_t uid, char out[static VAULT_OWN_UIDL_LEN + 1]);

/* All messages of the folder by UID, in the task's arena. ERR_NOT_FOUND: no such folder. */
MUST_CHECK enum err vault_maildrop_list(struct vault *vault, struct task *task, int64_t folder_id,
                                        struct vault_maildrop_message **out_messages,
                                        size_t *out_count);

struct vault_given_uidl {
    uint32_t uid;
    const char *uidl; /* in the task's arena */
};
/* The unique-ids that the folder's messages brought along, by UID, in the task's arena. */
MUST_CHECK enum err vault_uidl_given(struct vault *vault, struct task *task, int64_t folder_id,
                                     struct vault_given_uidl **out_given, size_t *out_count);

/* Counts what is to be added to bytes for all lines to end in CRLF; a message comes in pieces. */
struct vault_line_ends {
    uint64_t missing_octets;
    bool has_begun;
    char last; /* of the bytes so far */
};
void vault_line_ends_add(struct vault_line_ends *ends, struct str bytes);
/* The result, at the end of the message. */
uint64_t vault_line_ends_octets(const struct vault_line_ends *ends);

/* Keeps what was counted for messages whose octets were unknown; those that are gone are skipped.
 * Not durable: what is lost is counted again. */
MUST_CHECK enum err vault_maildrop_note_octets(struct vault *vault, struct task *task,
                                               int64_t folder_id,
                                               const struct vault_maildrop_message *messages,
                                               size_t count);

#endif
