/*
 * Leaving and arriving: a mailbox's folders and messages, on their way between the vault and the
 * formats that others read.
 *
 * Whatever gives messages is a source, whatever takes them a sink: export.h reads the vault into a
 * sink that writes mbox, Maildir or eml (write.h); read.h and fetch.h read those formats and other
 * servers into a sink that writes the stream (stream.h), and absorb.h takes that stream into the
 * vault. So a foreign format is never parsed where a mailbox's key is: only the stream is.
 *
 * A sink hears, for each folder:
 *
 *   folder, [plan* …, planned,]  (message, bytes …, finish) …
 *
 * All of it is borrowed for the call. A source stops at the first error and passes it on.
 */
#ifndef TRANSFER_TRANSFER_H
#define TRANSFER_TRANSFER_H

#include "base/task.h"
#include "vault/folder.h"

enum {
    TRANSFER_MESSAGE_BYTES_MAX = 128 * 1024 * 1024, /* larger ones are left out, and counted */
    TRANSFER_CHUNK_BYTES = 64 * 1024,
    TRANSFER_KEYWORDS_MAX = 60, /* of one message */
    TRANSFER_SOURCE_MAX = 4000,
};

struct transfer_folder {
    struct str name; /* as the vault's: UTF-8, '/' between levels */
    enum vault_special_use use;
    bool is_subscribed, is_selectable;
    uint32_t uidvalidity, uidnext; /* 0: not known */
    /* "imap://someone@host/folder", empty: none. What came from there is remembered under it. */
    struct str source;
    /* How its server makes POP3's unique-ids (uidl.h), for a message without one; empty: not known.
     * It is for the feeding end, and not in the stream. */
    struct str uidl_template;
};

struct transfer_message {
    uint32_t uid;   /* 0: has none */
    uint64_t flags; /* the system flags of vault/message.h only */
    const struct str *keywords;
    size_t keyword_count;
    int64_t date_ms; /* internal date */
    int16_t zone_minutes;
    uint64_t size_bytes; /* what will come; UINT64_MAX: not known yet */
    struct str uidl;     /* POP3's unique-id, of those in INBOX; empty: not known */
};

enum transfer_plan {
    TRANSFER_PLAN_NONE,
    TRANSFER_PLAN_ROWS,  /* the sink wants to see every message of a folder before their bytes */
    TRANSFER_PLAN_BYTES, /* and the bytes, too: they are read twice */
};

struct transfer_sink {
    enum err (*folder)(void *owner, struct task *task, const struct transfer_folder *folder);
    enum err (*message)(void *owner, struct task *task, const struct transfer_message *message);
    enum err (*bytes)(void *owner, struct task *task, struct str bytes);
    enum err (*finish)(void *owner, struct task *task);
    /* May be NULL: a message was too large or unreadable; how many there will be. */
    enum err (*left_out)(void *owner, struct task *task);
    enum err (*total)(void *owner, struct task *task, uint64_t messages);
    /* Called only where `plan` asks for it; planned comes behind the folder's last one. */
    enum transfer_plan plan;
    enum err (*plan_message)(void *owner, struct task *task,
                             const struct transfer_message *message);
    enum err (*plan_bytes)(void *owner, struct task *task, struct str bytes);
    enum err (*plan_finish)(void *owner, struct task *task);
    enum err (*planned)(void *owner, struct task *task);
    void *owner;
};

struct transfer_events {
    void (*on_progress)(void *owner, const char *what, uint64_t done, uint64_t total);
    bool (*is_wanted)(void *owner); /* false: give up, ERR_BUSY */
    void *owner;
};

struct transfer_totals {
    uint64_t folders, messages, bytes;
    uint64_t skipped;  /* there already */
    uint64_t left_out; /* too large, or unreadable */
};

/* The names of the system flags ("\Seen"), and what a name stands for: 0, a keyword. */
struct transfer_flag {
    struct str name;
    uint64_t flag;
    char maildir; /* its letter in a file name */
};
enum { TRANSFER_FLAG_COUNT = 5 };
extern const struct transfer_flag transfer_flags[TRANSFER_FLAG_COUNT];
uint64_t transfer_flag_named(struct str name);

/* "sent" and so on, for the index; empty for none. */
struct str transfer_use_name(enum vault_special_use use);
enum vault_special_use transfer_use_named(struct str name);
/* What a folder of this name usually is ("Sent Items", "[Gmail]/Spam", …), by its last level. */
enum vault_special_use transfer_use_guess(struct str name);

#endif
