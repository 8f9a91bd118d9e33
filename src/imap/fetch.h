/* What FETCH asks for (RFC 3501 §6.4.5), parsed. */
#ifndef IMAP_FETCH_H
#define IMAP_FETCH_H

#include "imap/set.h"
#include "message/transfer.h"
#include "vault/message.h"

enum { IMAP_SECTIONS_MAX = 1000, IMAP_SECTION_DEPTH_MAX = MESSAGE_DEPTH_MAX };

/* A set. */
enum imap_fetch_item {
    IMAP_FETCH_UID = 1 << 0,
    IMAP_FETCH_FLAGS = 1 << 1,
    IMAP_FETCH_INTERNALDATE = 1 << 2,
    IMAP_FETCH_SIZE = 1 << 3,
    IMAP_FETCH_ENVELOPE = 1 << 4,
    IMAP_FETCH_BODYSTRUCTURE = 1 << 5,
    IMAP_FETCH_BODY = 1 << 6,
    IMAP_FETCH_MODSEQ = 1 << 7,
    IMAP_FETCH_EMAILID = 1 << 8,
    IMAP_FETCH_THREADID = 1 << 9,
    IMAP_FETCH_SAVEDATE = 1 << 10,
    IMAP_FETCH_PREVIEW = 1 << 11,
};

enum imap_section_form {
    IMAP_SECTION_BODY,
    IMAP_SECTION_BINARY, /* decoded (RFC 3516) */
    IMAP_SECTION_BINARY_SIZE,
};

/* One BODY[…]<…>, BINARY[…]<…>, or RFC822, RFC822.HEADER, RFC822.TEXT. */
struct imap_section {
    struct str label; /* as the answer names it: "BODY[1.2.MIME]<0>" */
    uint32_t *path;
    size_t path_len;
    enum imap_section_form form;
    enum message_section kind;
    struct str *fields; /* HEADER.FIELDS; NULL: the whole section */
    size_t field_count;
    bool is_not; /* HEADER.FIELDS.NOT */
    bool is_partial;
    uint64_t offset, len;
};

enum imap_fetch_phase {
    IMAP_FETCH_START,
    IMAP_FETCH_ROWS,    /* between messages */
    IMAP_FETCH_SECTION, /* inside a message: `section` comes next */
    IMAP_FETCH_MEASURE, /* looking at what BINARY is to give */
    IMAP_FETCH_LITERAL, /* inside a section's literal */
};

struct imap_fetch_args {
    struct imap_set set;
    unsigned items; /* enum imap_fetch_item */
    struct imap_section *sections;
    size_t section_count, section_room;
    bool sets_seen;       /* a section without PEEK */
    bool is_preview_lazy; /* PREVIEW (LAZY) */
    bool has_changed_since;
    uint64_t changed_since;
    bool is_vanished; /* RFC 7162 §3.2.6 */
    bool has_partial; /* RFC 9394 §3.3 */
    int64_t partial_first, partial_last;
    /* progress */
    enum imap_fetch_phase phase;
    struct imap_set ranges;           /* of indexes in the view */
    size_t range;                     /* in which of them */
    uint32_t index;                   /* the next message */
    uint32_t batch_end;               /* of sets_seen: up to here \Seen is set already */
    struct vault_uid_flags *now_seen; /* of the batch: on which this command set it, ascending */
    size_t now_seen_count;
    bool has_unknown_encoding; /* BINARY of a message was refused */
    bool has_missing;          /* a message was purged meanwhile */
    enum err message_err;      /* a message could not be read: told at the end */
    /* the message whose sections are being written */
    struct message_structure structure; /* in the session's message arena */
    size_t section;
    uint64_t position; /* in the message */
    uint64_t left;     /* of the literal */
    struct str preview;
    bool has_preview;
    bool has_nul;     /* of BINARY: it takes a literal8 */
    bool is_decoding; /* the section is decoded: */
    struct transfer transfer;
    uint64_t raw_left; /* still to be read of it */
    uint64_t measured; /* bytes looked at so far, decoded */
    uint64_t skip;     /* decoded bytes before those that were asked for */
};

#endif
