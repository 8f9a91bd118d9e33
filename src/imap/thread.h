/*
 * THREAD's algorithms (RFC 5256 §3; REFS: draft-ietf-morg-inthread-01), over messages that are
 * given one after the other, in turns and without recursion: a chain of messages may be as long as
 * the mailbox.
 *
 * A node stands for a Message-ID: a message, or a dummy that was only referred to. Ids and subjects
 * are known by their keyed hashes, so that their length costs no memory.
 */
#ifndef IMAP_THREAD_H
#define IMAP_THREAD_H

#include "base/buf.h"
#include "base/hash.h"
#include "imap/merge.h"
#include "imap/parse.h"

enum imap_thread_algorithm {
    IMAP_THREAD_ORDEREDSUBJECT,
    IMAP_THREAD_REFERENCES,
    IMAP_THREAD_REFS, /* REFERENCES without its step 5; the thread with the newest message last */
};

enum {
    /* Only mail that was made for it comes near: it bounds the memory. */
    IMAP_THREAD_DUMMIES_MAX = 1000000,
    /* How far a chain is climbed to see whether a link would close it: beyond, it is not linked.
     * Bounds the time that one message takes. */
    IMAP_THREAD_CLIMB_MAX = 10000,
};
#define IMAP_THREAD_NONE UINT32_MAX

struct imap_thread_message {
    int64_t sent_ms;
    bool is_reply;           /* the subject was that of a reply or forward (RFC 5256 §2.1) */
    struct str base_subject; /* in its collation's form */
    struct str message_id, ancestors; /* see vault/sort.h */
};

struct imap_thread_node {
    uint32_t parent;
    uint32_t message; /* NONE: a dummy */
    uint32_t first_child, last_child, next;
    uint32_t child_count;
    bool is_placed;
};

/* From a hash to a node. */
struct imap_thread_table {
    struct imap_thread_slot {
        uint64_t hash;
        uint32_t node; /* + 1; 0: free */
    } * slots;
    size_t room, count;
};

struct imap_threads {
    struct arena *arena; /* borrowed */
    enum imap_thread_algorithm algorithm;
    struct hash_key key;
    /* of each message, in the order of the mailbox */
    struct imap_thread_fact {
        int64_t sent_ms;
        uint64_t subject; /* hash; 0: empty */
        uint32_t node;
        bool is_reply;
    } * facts;
    size_t count, room;
    struct imap_thread_node *nodes;
    uint32_t node_count, dummy_count;
    size_t node_room;
    struct imap_thread_table ids, subjects;
    struct imap_merge order; /* messages by sent date */
    uint32_t *roots;         /* nodes */
    uint32_t root_count;
    uint32_t *tops; /* REFS: of each node, a node above it */
    uint32_t first_root, last_root;
    /* progress */
    enum imap_thread_phase {
        IMAP_THREAD_ADDING,
        IMAP_THREAD_SORTING,
        IMAP_THREAD_PRUNING,
        IMAP_THREAD_COUNTING,
        IMAP_THREAD_ROOTS,
        IMAP_THREAD_GATHERING,
        IMAP_THREAD_MERGING,
        IMAP_THREAD_NEWEST,
        IMAP_THREAD_PLACING,
        IMAP_THREAD_PLACING_ROOTS,
        IMAP_THREAD_DONE,
    } phase;
    size_t at;
    /* of writing */
    uint32_t current;
    bool has_begun, needs_space;
};

/* thread-alg = "ORDEREDSUBJECT" / "REFERENCES" / "REFS" */
MUST_CHECK enum err imap_thread_parse(struct imap_parser *parser, enum imap_thread_algorithm *out);

/* For at most `room` messages. Everything is in the arena. */
void imap_threads_init(struct imap_threads *threads, struct arena *arena,
                       enum imap_thread_algorithm algorithm, size_t room);
/* The next message of the mailbox; it has the number `count` - 1 from then on. Gives the work done,
 * in steps. */
size_t imap_threads_add(struct imap_threads *threads, const struct imap_thread_message *message);
/* When all are there: goes on for about so many steps. True: done. */
bool imap_threads_step(struct imap_threads *threads, size_t max, size_t *out_steps);
/*
 * Then: appends "(1)(2 (3)(4))" until about `max` bytes came (RFC 5256 §4 thread-data); name_of
 * gives what a message is called. True: done.
 */
bool imap_threads_write(struct imap_threads *threads, struct buf *out, size_t max,
                        uint32_t (*name_of)(const void *context, uint32_t message),
                        const void *context);

#endif
