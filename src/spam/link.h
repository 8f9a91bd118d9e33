/*
 * Links in a message's texts: where they lead, and what the reader is shown instead. Read as browsers
 * read them, which take much that no standard allows.
 */
#ifndef SPAM_LINK_H
#define SPAM_LINK_H

#include "spam/view.h"

enum { SPAM_LINKS_MAX = 256, SPAM_LINK_URL_MAX = 2048, SPAM_LINK_SHOWN_MAX = 256 };

struct spam_link {
    struct str url;      /* as written, character references resolved */
    struct str shown;    /* the text between the tags; empty in plain text */
    struct str host;     /* lower case, without port; of the form that the writer chose */
    struct str userinfo; /* what stands before an @ in front of the host */
    bool is_ip;          /* the host is an address, in any spelling */
    bool is_inline;      /* data:, javascript:, vbscript: there is no host */
};

/* Different links, at most SPAM_LINKS_MAX, in the task's arena. Linear in the texts. */
void spam_link_find(struct task *task, const struct spam_view *view, struct spam_link **out_links,
                    size_t *out_count);
/* Reads one URL; false: it leads to no host (mailto:, #name, a relative path). */
bool spam_link_parse(struct task *task, struct str url, struct spam_link *out);
/* A host name as people write it: "www.example.com" or an URL; empty: `text` is not one. */
struct str spam_link_host_shown(struct task *task, struct str text);
/* Decimal, octal, hexadecimal, one to four numbers, or an IPv6 address in brackets. */
bool spam_link_is_ip(struct str host);

#endif
