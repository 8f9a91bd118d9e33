/*
 * What a reader sees of a message: its first header's fields and its text parts, decoded. Made once
 * and looked at by the tokenizer, the rules and the search for phishing.
 */
#ifndef SPAM_VIEW_H
#define SPAM_VIEW_H

#include "message/address.h"
#include "message/message.h"

enum {
    SPAM_VIEW_TEXTS_MAX = 32,
    SPAM_VIEW_RAW_MAX = 256 * 1024,     /* of all text parts, as they are in the message */
    SPAM_VIEW_REACH_MAX = 1024 * 1024,  /* text parts that begin further behind are not looked at */
    SPAM_VIEW_FIELD_MAX = 4 * 1024,     /* of one header field */
};

struct spam_text {
    uint32_t part; /* its index */
    bool is_html;
    struct str source; /* UTF-8, as written */
    struct str text;   /* without markup; `source` if there is none */
};

struct spam_view {
    struct str message;
    const struct message_structure *structure;
    struct str header; /* the message's own, not its parts' */
    struct str subject; /* UTF-8 */
    struct address_list from, reply_to;
    struct spam_text texts[SPAM_VIEW_TEXTS_MAX];
    size_t text_count;
};

/* Everything is in the task's arena, or a view of the message. Bounded by the limits above. */
void spam_view_make(struct task *task, struct str message,
                    const struct message_structure *structure, struct spam_view *out);

/* A field of the header, decoded to UTF-8; empty: there is none. In the task's arena. */
struct str spam_view_field(struct task *task, const struct spam_view *view, struct str name);
/* A part's bytes as they are in the message. */
struct str spam_view_body(struct str message, const struct message_part *part);

#endif
