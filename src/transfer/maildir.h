/* What a Maildir says about its messages: in their names, and in the files that Dovecot and Courier
 * keep. */
#ifndef TRANSFER_MAILDIR_H
#define TRANSFER_MAILDIR_H

#include "transfer/transfer.h"

enum { MAILDIR_KEYWORDS = 26 };

/* The part of a file's name that never changes: "1763787600.M1P2.host,S=12" of "…:2,FS". */
struct str maildir_base(struct str file);
/*
 * Flags and keywords behind it. `keywords` are the folder's by letter, empty where there is none;
 * those found go to `out_keywords` (room for MAILDIR_KEYWORDS).
 */
uint64_t maildir_flags(struct str file, const struct str keywords[static MAILDIR_KEYWORDS],
                       struct str out_keywords[static MAILDIR_KEYWORDS], size_t *out_count);
/* The time in the name, in milliseconds; 0: none. */
int64_t maildir_time(struct str file);

/* dovecot-keywords: "0 $Forwarded". Views into `text`. */
void maildir_parse_keywords(struct str text, struct str out[static MAILDIR_KEYWORDS]);

struct maildir_uid {
    struct str base; /* in the text */
    uint32_t uid;
    struct str uidl; /* POP3's unique-id, if it is another than that of all; in the text or arena */
};
struct maildir_uids {
    uint32_t uidvalidity, uidnext;
    struct maildir_uid *rows; /* sorted by base; in the arena */
    size_t count;
};
/* dovecot-uidlist, versions 1 and 3. False: it is none. What is wrong in it is left out. */
bool maildir_parse_uids(struct arena *arena, struct str text, struct maildir_uids *out);
/* courierpop3dsizelist, versions 2 and 3: of each message POP3's unique-id, and no UID. False: it
 * is none. */
bool maildir_parse_courier(struct arena *arena, struct str text, struct maildir_uids *out);
/* NULL: nothing is said of it. */
const struct maildir_uid *maildir_uid_of(const struct maildir_uids *uids, struct str base);

/* The names in `subscriptions`, in either of its forms, as ours; in the arena. */
void maildir_parse_subscriptions(struct arena *arena, struct str text, struct str **out_names,
                                 size_t *out_count);

#endif
