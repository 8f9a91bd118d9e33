/*
 * One mail message (RFC 5322, RFC 2045-2047): its MIME structure with byte offsets, and what IMAP
 * tells about it. Parsed once on arrival; the vault keeps the results.
 *
 * Any bytes are a message: nothing here fails for bad input. Limits (parts, depth, header bytes)
 * bound the work; what lies beyond them is treated as one opaque part.
 */
#ifndef MESSAGE_MESSAGE_H
#define MESSAGE_MESSAGE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"
#include "base/task.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    MESSAGE_PARTS_MAX = 10001, /* the message itself, and 10,000 parts in it */
    MESSAGE_DEPTH_MAX = 64,
};

enum message_encoding { /* Content-Transfer-Encoding, RFC 2045 §6 */
    MESSAGE_ENCODING_7BIT,
    MESSAGE_ENCODING_8BIT,
    MESSAGE_ENCODING_BINARY,
    MESSAGE_ENCODING_QUOTED_PRINTABLE,
    MESSAGE_ENCODING_BASE64,
    MESSAGE_ENCODING_OTHER, /* unknown: handled as opaque bytes */
};

enum message_kind {
    MESSAGE_KIND_LEAF,      /* text, image, … */
    MESSAGE_KIND_MULTIPART, /* has children */
    MESSAGE_KIND_MESSAGE,   /* message/rfc822 or message/global: one child, the inner message */
};

/* One MIME entity. Offsets are into the whole message, so that any section is a range of bytes. */
struct message_part {
    enum message_kind kind;
    enum message_encoding encoding;
    uint32_t parent;      /* index of the parent; 0 for the root itself */
    uint32_t next;        /* index of the next sibling, 0: none */
    uint32_t first_child; /* index, 0: none */
    uint64_t header_start;
    uint64_t header_len; /* with the empty line that ends it */
    uint64_t body_start;
    uint64_t body_len;
    uint32_t body_lines;
    struct str type;     /* lower case: "text"; in the arena */
    struct str subtype;  /* lower case: "plain" */
    struct str charset;  /* of a text part, as written, may be empty */
    struct str filename; /* decoded to UTF-8, may be empty */
    bool is_attachment;  /* Content-Disposition: attachment */
};

/* Index 0 is the message itself; parts are in the order of their bytes. */
struct message_structure {
    struct message_part *parts;
    uint32_t part_count;
};

/* What the vault keeps of a message beside its bytes. All in the task's arena. */
struct message_summary {
    struct message_structure structure;
    struct str envelope;      /* IMAP text of ENVELOPE, parentheses included (RFC 3501 §7.4.2) */
    struct str bodystructure; /* IMAP text of BODYSTRUCTURE, extension data included */
    struct str body;          /* IMAP text of BODY: the same without extension data */
    struct str message_id;    /* without angle brackets, may be empty */
    struct str in_reply_to;   /* first message id, without brackets, may be empty */
    struct str references;    /* message ids without brackets, separated by one space */
    struct str subject;       /* decoded to UTF-8, unfolded */
    struct str base_subject;  /* RFC 5256 §2.1, for threading and sorting */
    struct str from, to, cc, bcc; /* decoded: "Name <addr>, …" in UTF-8, as SEARCH compares them */
    int64_t sent_ms;          /* Date: as UTC; sent_is_known tells */
    int64_t sent_day;         /* Date: disregarding time and zone, days since 1970 (SENTON …) */
    bool sent_is_known;
    uint32_t received_count;  /* Received fields: the hop count (RFC 5321 §6.3) */
};

/* Once in a process. */
void message_init_library(void);

/* Parses `raw` (borrowed for the call; results do not point into it). */
void message_parse(struct task *task, struct str raw, struct message_summary *out);

/* A compact form for storage, and back. ERR_CORRUPT for bytes that were not written by it. */
void message_structure_encode(const struct message_structure *structure, struct buf *out);
MUST_CHECK enum err message_structure_decode(struct task *task, struct str stored,
                                             struct message_structure *out);

/* A range of bytes of the message. */
struct message_range {
    uint64_t start;
    uint64_t len;
};

enum message_section { /* RFC 3501 §6.4.5 section-msgtext / section-text */
    MESSAGE_SECTION_ALL,    /* BODY[] or BODY[1.2] */
    MESSAGE_SECTION_HEADER, /* also the base of HEADER.FIELDS */
    MESSAGE_SECTION_TEXT,
    MESSAGE_SECTION_MIME,
};

/*
 * The range of a section: `path` are the part numbers ("1.2" is {1, 2}), empty for the message.
 * False when there is no such section; IMAP answers NIL then.
 */
bool message_section_range(const struct message_structure *structure, const uint32_t *path,
                           size_t path_len, enum message_section section,
                           struct message_range *out);

/* The part that the numbers lead to; NULL: none. {1} of a message that is no multipart is itself. */
const struct message_part *message_section_part(const struct message_structure *structure,
                                                const uint32_t *path, size_t path_len);

/*
 * Copies from a header block the fields named (or, with `is_not`, all the others), unchanged and in
 * order, and the empty line that ends it (RFC 3501 §6.4.5 HEADER.FIELDS).
 */
void message_header_fields(struct str header, const struct str *names, size_t name_count,
                           bool is_not, struct buf *out);

/*
 * The first (or, from `*position` on, the next) field with this name in a header block; its raw
 * value, unfolding not done. Start with *position = 0. False: no more.
 */
bool message_header_next(struct str header, struct str name, size_t *position,
                         struct str *out_value);
/* The same value unfolded, with encoded words (RFC 2047) decoded to UTF-8; appended. */
void message_header_decode(struct str value, struct buf *out);

/* Decodes a transfer encoding; lenient as readers must be. Appends. */
void message_decode_body(enum message_encoding encoding, struct str body, struct buf *out);

/*
 * Whether the part is searched. Servers may leave out "types other than TEXT and MESSAGE" (RFC 3501
 * §6.4.4), so the fields of a delivery report are text, too.
 */
bool message_part_holds_text(const struct message_part *part);
/*
 * The searchable text of one leaf: decoded, converted to UTF-8 from its charset (unknown: bytes
 * over 127 become U+FFFD), HTML reduced to its text. Nothing for parts that hold no text.
 */
void message_part_text(const struct message_part *part, struct str raw, struct buf *out);
/*
 * All searchable text of a message: for SEARCH BODY the text of every text part and the names of
 * attachments; with `with_headers`, for SEARCH TEXT, the decoded headers of all levels before it.
 */
void message_text(const struct message_structure *structure, struct str raw, bool with_headers,
                  struct buf *out);

/*
 * The form in which texts are compared: i;unicode-casemap's (RFC 5051, RFC 5255 §4.6), each character
 * in title case, then decomposed, compatibility included. A substring test of two folded texts is
 * SEARCH's rule, the order of their bytes that of SORT. Invalid UTF-8 passes as it is.
 *
 * The search index keeps folded words, of the form that message_fold_form tells.
 */
void message_fold(struct str text, struct buf *out);
/* Another number when message_fold may give something else for the same text: it counts our own
 * changes (FORM in fold.c), and has the version of GLib, whose Unicode tables are used. */
int64_t message_fold_form(void);
/* From `at` on, about `max` bytes of it; gives where to go on (text.len: that was all). */
size_t message_fold_some(struct str text, size_t at, size_t max, struct buf *out);

/*
 * The text of a message (message_text with headers), and the same folded, in steps: 50 MB of it can
 * take seconds, and others want their turn. `structure` and `raw` are borrowed until it is freed.
 */
struct message_text_maker;
struct message_text_maker *message_text_maker_new(const struct message_structure *structure,
                                                  struct str raw, bool keeps_plain);
void message_text_maker_free(struct message_text_maker **maker);
/* Works on about `max` bytes of one stage; only a part's transfer encoding is undone at once, and a
 * header field decoded (3 to 10 ns a byte). False: the text is there. */
bool message_text_maker_step(struct message_text_maker *maker, size_t max);
/* The whole folded text, or without the headers; borrowed from the maker. */
struct str message_text_maker_text(const struct message_text_maker *maker, bool with_headers);
/* Unfolded, if it keeps that. */
struct str message_text_maker_plain(const struct message_text_maker *maker, bool with_headers);
/* Unicode's composed form (NFC), in which names are kept; invalid UTF-8 passes as it is. Appends. */
void message_compose(struct str text, struct buf *out);

#endif
