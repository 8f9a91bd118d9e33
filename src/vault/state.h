/*
 * Inside the vault only: the open mailbox, and how a change is made.
 *
 * Folders, keywords and counters are held in memory, as the one process that has the file open may.
 * A change works on this mirror and is flushed in the transaction that carries it; when anything
 * fails after the first write, the transaction is rolled back and the mirror read anew.
 *
 *   TRY(vault_write_begin(vault, task));          also inside a batch
 *   err = do_it(...);                             finds out all that may be refused first, then
 *                                                 calls vault_touch, then writes
 *   return vault_write_end(vault, task, err, VAULT_DURABLE);
 *
 * Inside a batch there are no savepoints: what is refused before vault_touch leaves no trace, and a
 * failure after it, which can only be the disk's, fails the whole batch.
 */
#ifndef VAULT_STATE_H
#define VAULT_STATE_H

#include "sqlite/db.h"
#include "vault/change.h"

#include <zstd.h>

enum {
    VAULT_CHANGES_KEPT = 256,
    VAULT_DELIVERY_MEMORY_MS = 24 * 60 * 60 * 1000, /* in which a retransmission is known */
};

struct folder_contents;

/* How many messages are recent, and of which state of their folder that is; all 0: not counted. */
struct recent {
    uint32_t first_uid, uidnext;
    uint64_t modseq, message_count;
    uint32_t count;
};

/* A folder's row. */
struct folder {
    int64_t id;
    struct str name; /* own */
    enum vault_special_use use;
    bool is_selectable;
    bool is_dirty; /* and then in vault->dirty_folders (folder_mirror_soil) */
    struct folder *next_dirty;
    uint32_t uidvalidity;
    uint32_t incarnation; /* the UIDVALIDITY that it was made with */
    uint32_t uidnext;
    uint32_t first_recent_uid;
    uint64_t highest_modseq;
    uint64_t message_count;
    uint64_t unseen_count;
    uint64_t deleted_count;
    uint64_t size_bytes;
    struct recent recent;
};

/* What one change touched, to answer "what happened since" without looking at a whole folder. */
struct change {
    int64_t folder_id;
    uint64_t modseq;
    uint32_t first_uid, last_uid; /* 0, 0: none that is still there */
};

/* An annotation that changed, to be told after the commit. */
struct metadata_note {
    int64_t folder_id;
    struct str entry; /* own */
};

/* message.is_expunged */
enum row_state {
    ROW_LIVE = 0,
    /* Until it is purged; then kept for its owner (undelete.h), if that is wanted. 0 and 1 take no octet
     * in a row, any other number does: of 20,000 that are expunged in full pages, 15 ms. */
    ROW_HIDDEN = 1,
    ROW_GOING = 2, /* for good, when it is purged: moved away */
};

enum vault_batch { VAULT_BATCH_NONE, VAULT_BATCH_OPEN, VAULT_BATCH_FAILED };
enum vault_durability { VAULT_DURABLE, VAULT_RELAXED };

struct vault {
    struct db *db; /* own */
    int lock_fd;   /* own: no other process of ours opens this file */
    struct id id;
    const struct log *log;
    uint64_t limit_bytes, limit_messages;
    bool was_rolled_back;

    /* The mirror. */
    bool is_stale;                   /* it must be read anew before anything is done */
    struct folder **folders;         /* own, and each of them; by id (folder_mirror.h) */
    struct folder **folders_by_name; /* own; the same, by vault_folder_compare_names */
    size_t folder_count, folder_room;
    bool is_sorting_folders;      /* the latter is out of order for the moment */
    struct folder *dirty_folders; /* borrowed; a list */
    uint64_t names_compared;      /* ever, to find folders: for tests */
    int64_t former_count;         /* of former_name's rows; -1: not counted yet */
    struct str keywords[64];      /* own */
    uint64_t keywords_state;      /* vault_keywords_state */
    bool has_keyword_left;        /* a bit without one; noted with the former */
    int64_t keywords_looked_ms;   /* for those that no message carries; 0: not yet */
    uint64_t epoch;
    uint64_t change_counter;
    uint32_t next_uidvalidity;
    int64_t next_content_id;
    uint64_t size_bytes;
    uint64_t message_count;
    bool is_mailbox_dirty;

    /* The change under way. */
    enum vault_batch batch;
    bool is_writing;  /* between vault_write_begin and vault_write_end */
    bool has_touched; /* this write changed something */
    bool has_modseq;  /* and its number was taken */
    int64_t *notes;   /* own; folders to tell the subscribers of after the commit */
    size_t note_count, note_room;
    struct metadata_note *metadata_notes; /* own; likewise */
    size_t metadata_note_count, metadata_note_room;

    struct change changes[VAULT_CHANGES_KEPT]; /* the newest, in a ring */
    size_t change_count;                       /* ever */
    uint64_t changes_floor;                    /* what happened up to this modseq is not in it */

    struct vault_subscriber *subscribers; /* borrowed */
    ZSTD_CCtx *compressor;                /* own, made when needed */
    ZSTD_DCtx *decompressor;              /* likewise */
    int64_t purge_open_id; /* purge rows up to this one are from an earlier session */
    bool has_purges;
    int64_t undelete_keep_ms; /* 0: what is expunged is not kept; -1: that was not said yet */
    uint64_t undelete_limit_bytes;
    uint64_t hidden_bytes, hidden_count; /* of table hidden */
    int64_t hidden_oldest_ms;            /* when its first row was expunged; INT64_MAX: none */
    struct folder_contents *contents;  /* own; of the folder that was searched last (folder_contents.h), or NULL */
    int64_t indexed_content_id; /* contents up to this one are in the search index */
    bool has_index_of_other_form; /* which is in the way (index.h) */
    bool has_segments_to_merge;   /* or to remove, as the mirror was read */
    bool has_words_gone; /* contents went, and it was not looked at yet whether that matters */
    uint64_t misses;     /* of pages, when messages were asked for last (vault_search_ahead) */
    uint64_t search_misses;    /* … when the index was searched last; */
    bool search_was_cold;      /* then it asked for some that were missing */
    struct vault_rekey *rekey; /* borrowed; the copy under another key that is being made (rekey.c), or NULL */
    struct kept_list *kept_list;     /* own; of the folder that was listed last; NULL: none */
    int64_t delivery_purged_ms;
    int64_t junk_form;     /* of the tokens learned (learn.h) */
    uint32_t junk_learned, wanted_learned;
    bool has_junk_waiting; /* contents are to be learned */
    bool has_identities;   /* all contents have their row of identity (facts.h) */
    int64_t previews_from; /* contents from this one on have their row of preview */
    int64_t sort_next_id;  /* contents below it have their row of sort_key (sort_keep.h) */
    size_t vanished_next;      /* the folder whose log of expunges is looked at next (vanished.c) */
    unsigned vanished_written; /* rows since the last look */
    bool vanished_looked;      /* since the file was opened */
};

/* message_list.c: makes kept_list NULL. */
void message_list_forget(struct vault *vault);
/* The kept list, where it is this folder's as it is now, else NULL. Ascending UIDs; borrowed until the vault
 * is used again. */
const struct vault_uid_flags *message_list_current(const struct vault *vault, const struct folder *folder,
                                                   size_t *out_count);
/* The first of `messages` that has this UID or a higher one; `count`: none has. */
size_t message_list_at(const struct vault_uid_flags *messages, size_t count, uint32_t uid);
/* Behind a commit that took the folder from MODSEQ `since` to its highest one and changed no more than these
 * messages' flags (`now`: ascending): where the kept list was the folder's at `since`, it is so again. */
void message_list_enter(struct vault *vault, const struct folder *folder, uint64_t since,
                        const struct vault_uid_flags *now, size_t count);

/* keyword.c: the names, or whose bits they are, are others now. */
void keyword_note_state(struct vault *vault);

/* Closed, and with nothing in it. */
struct vault *vault_new(const struct vault_options *options);
/* The vault's own connection (vault->db, which is closed before); db_open's errors. */
MUST_CHECK enum err vault_open_file(struct vault *vault, struct task *task, const char *path,
                                    const struct secret *key);
/* No other process of ours opens this file. ERR_BUSY: one has it. */
MUST_CHECK enum err vault_lock_file(struct task *task, const char *path, int *out_fd);
/* The file as a reader beside the process that has it open: takes no lock, writes nothing. */
MUST_CHECK enum err vault_open_beside(struct task *task, const struct vault_options *options,
                                      const struct secret *key, struct vault **out_vault);
/* Reads folders, keywords and counters from the file. */
MUST_CHECK enum err vault_state_load(struct vault *vault, struct task *task);
/* The same of a file that any version of the schema made: folders and keywords, which is what
 * reading its mail needs. */
MUST_CHECK enum err vault_state_load_mail(struct vault *vault, struct task *task);
void vault_state_free(struct vault *vault);

/* ERR_IO when the handle is broken; reads the mirror anew where needed. Before any reading. */
MUST_CHECK enum err vault_check(struct vault *vault, struct task *task);

MUST_CHECK enum err vault_write_begin(struct vault *vault, struct task *task);
/* `err` is what the change gave; it is passed on, or what committing gave. */
MUST_CHECK enum err vault_write_end(struct vault *vault, struct task *task, enum err err,
                                    enum vault_durability durability);
/* From here on the change writes: gives its MODSEQ, one for a whole change. */
uint64_t vault_touch(struct vault *vault);
/* A relaxed change writes: no MODSEQ, no change of the counter. */
void vault_touch_quietly(struct vault *vault);
/* Subscribers hear of this folder (-1: of the list) after the commit. */
void vault_note(struct vault *vault, int64_t folder_id);
/* The same, for messages first_uid … last_uid that have this modseq now; 0, 0: expunged only. */
void vault_note_messages(struct vault *vault, struct folder *folder, uint64_t modseq,
                         uint32_t first_uid, uint32_t last_uid);

/* The same, for an annotation. */
void vault_note_metadata(struct vault *vault, int64_t folder_id, struct str entry);
/* Within the change that deletes the folder (metadata.c). */
MUST_CHECK enum err metadata_forget(struct vault *vault, struct task *task, int64_t folder_id);
/* Within the change that makes the second folder. ERR_LIMIT: too many. */
MUST_CHECK enum err metadata_copy(struct vault *vault, struct task *task, int64_t from_id,
                                  int64_t to_id);

/* The folder of this name in the change under way: made, with its parents, if there is none, and
 * selectable again if it was not (folder.c). `use` is given unless another folder has it. */
MUST_CHECK enum err vault_folder_obtain(struct vault *vault, struct task *task, struct str name,
                                        enum vault_special_use use, struct folder **out_folder);
/* NULL: none. The pointer holds until that folder is deleted (folder_mirror.h). */
struct folder *vault_folder_get(const struct vault *vault, int64_t folder_id);
struct folder *vault_folder_named(struct vault *vault, struct str name);
/* Adds to the mirror and the file. The name is copied. Gives NULL in *out_folder on error. */
MUST_CHECK enum err vault_folder_insert(struct vault *vault, struct task *task, struct str name,
                                        enum vault_special_use use, bool is_selectable,
                                        struct folder **out_folder);
uint32_t vault_next_uidvalidity(struct vault *vault, struct task *task);

static inline int64_t message_key(int64_t folder_id, uint32_t uid)
{
    return folder_id << 32 | uid;
}

static inline uint32_t key_uid(int64_t key)
{
    return (uint32_t)(key & UINT32_MAX);
}

#endif
