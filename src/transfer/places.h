/*
 * Inside read.c only: what is known of the folders of a tree, from the files that say something of
 * messages (our index, Dovecot's lists), and which file of the tree is what.
 */
#ifndef TRANSFER_PLACES_H
#define TRANSFER_PLACES_H

#include "transfer/index.h"
#include "transfer/maildir.h"
#include "transfer/tree.h"

enum { PLACES_MAX = 20000, PLACE_FILE_BYTES_MAX = TRANSFER_INDEX_BYTES_MAX };

enum place_kind {
    PLACE_NOTHING,
    PLACE_MAILDIR, /* a message of a Maildir */
    PLACE_EML,     /* a message */
    PLACE_MBOX,    /* a folder's messages */
    /* What says something of messages. */
    PLACE_INDEX,
    PLACE_UIDS,
    PLACE_KEYWORDS,
    PLACE_COURIER, /* of POP3's unique-ids */
    PLACE_SUBSCRIPTIONS,
    PLACE_SIGN, /* nothing but that there is a folder */
};
/* What a file of this path is; `out_folder` is the path of the place that it belongs to. */
enum place_kind place_kind_of(struct str path, struct str *out_folder, struct str *out_file);

struct place_row {
    struct str file;
    struct transfer_message message;
};

struct place {
    struct str path;
    size_t number;
    bool is_maildir, is_announced;
    bool has_folder; /* an index told: */
    struct transfer_folder folder;
    struct place_row *rows; /* own; by file */
    size_t row_count, row_room;
    size_t taken; /* of them, messages that came */
    struct maildir_uids uids, courier;
    struct str keywords[MAILDIR_KEYWORDS];
};

struct places {
    struct task task;      /* own; all their text */
    struct place **sorted; /* own; by path */
    size_t count, room;
    struct place *last; /* asked for */
    struct str root;    /* the outermost Maildir */
    bool has_root;
    struct str *subscribed;
    size_t subscribed_count;
};

void places_init(struct places *places, int64_t now_ms);
void places_done(struct places *places);
/* Made where it is new. ERR_LIMIT. */
MUST_CHECK enum err places_get(struct places *places, struct task *task, struct str path,
                               bool is_maildir, struct place **out);
/* Takes what such a file says; what is wrong in it is as if it were not there. */
void places_learn(struct places *places, struct place *place, enum place_kind kind,
                  struct str content);
/* The folder as a sink wants it; `fallback` for what has no name of its own. */
void places_folder(const struct places *places, struct task *task, const struct place *place,
                   struct str fallback, struct transfer_folder *out);
/* Flags, UID and date of a message; text in the task. */
void places_message(const struct place *place, struct task *task, enum place_kind kind,
                    struct str file, int64_t mtime_ms, struct transfer_message *out);

/* The messages that an index names, and that did not come. */
uint64_t places_missing(const struct places *places);

#endif
