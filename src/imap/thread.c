#include "imap/thread.h"

#include <assert.h>
#include <string.h>

static const struct str NAMES[] = {
    [IMAP_THREAD_ORDEREDSUBJECT] = STR_INIT("ORDEREDSUBJECT"),
    [IMAP_THREAD_REFERENCES] = STR_INIT("REFERENCES"),
    [IMAP_THREAD_REFS] = STR_INIT("REFS"),
};

enum err imap_thread_parse(struct imap_parser *parser, enum imap_thread_algorithm *out)
{
    for (size_t i = 0; i < ARRAY_LEN(NAMES); i++) {
        if (!imap_take_word(parser, NAMES[i]))
            continue;
        *out = (enum imap_thread_algorithm)i;
        return ERR_OK;
    }
    return imap_expected(parser, "a threading algorithm");
}

/* ---- Tables ---- */

static struct imap_thread_slot *find_slot(const struct imap_thread_table *table, uint64_t hash)
{
    size_t at = (size_t)hash & (table->room - 1);

    while (table->slots[at].node != 0 && table->slots[at].hash != hash)
        at = (at + 1) & (table->room - 1);
    return &table->slots[at];
}

static void grow_table(struct arena *arena, struct imap_thread_table *table, size_t room)
{
    struct imap_thread_table old = *table;

    table->room = room;
    table->slots = ARENA_ARRAY(arena, struct imap_thread_slot, room);
    for (size_t i = 0; i < old.room; i++)
        if (old.slots[i].node != 0)
            *find_slot(table, old.slots[i].hash) = old.slots[i];
}

/* A free slot stays free until its `node` is set and the table's count with it. */
static struct imap_thread_slot *slot_for(struct arena *arena, struct imap_thread_table *table,
                                         uint64_t hash)
{
    if ((table->count + 1) * 2 > table->room)
        grow_table(arena, table, table->room * 2);
    return find_slot(table, hash);
}

static void fill_slot(struct imap_thread_table *table, struct imap_thread_slot *slot, uint64_t hash,
                      uint32_t node)
{
    table->count += slot->node == 0;
    slot->hash = hash;
    slot->node = node + 1;
}

static uint32_t new_node(struct imap_threads *t, uint32_t message)
{
    if (t->node_count == t->node_room)
        t->nodes = arena_grow(t->arena, t->nodes, &t->node_room, t->room + 16, sizeof(*t->nodes));
    t->nodes[t->node_count] = (struct imap_thread_node){
        .parent = IMAP_THREAD_NONE,
        .message = message,
        .first_child = IMAP_THREAD_NONE,
        .last_child = IMAP_THREAD_NONE,
        .next = IMAP_THREAD_NONE,
    };
    t->dummy_count += message == IMAP_THREAD_NONE;
    return t->node_count++;
}

void imap_threads_init(struct imap_threads *t, struct arena *arena,
                       enum imap_thread_algorithm algorithm, size_t room)
{
    *t = (struct imap_threads){
        .arena = arena,
        .algorithm = algorithm,
        .key = hash_key_random(),
        .room = room,
        .first_root = IMAP_THREAD_NONE,
        .last_root = IMAP_THREAD_NONE,
    };
    t->facts = ARENA_ARRAY(arena, struct imap_thread_fact, room);
    grow_table(arena, &t->ids, 64);
    grow_table(arena, &t->subjects, 64);
}

/* ---- Step 1: links by references ---- */

static bool is_dummy(const struct imap_threads *t, uint32_t node)
{
    return t->nodes[node].message == IMAP_THREAD_NONE;
}

/* Would `child` be above `parent`? Yes, if it is too far to see. */
static bool makes_loop(const struct imap_threads *t, uint32_t parent, uint32_t child, size_t *steps)
{
    size_t end = *steps + IMAP_THREAD_CLIMB_MAX;

    if (parent == child)
        return true;
    if (t->nodes[child].child_count == 0)
        return false;
    for (; parent != IMAP_THREAD_NONE && parent != child && *steps < end;
         parent = t->nodes[parent].parent)
        ++*steps;
    return parent != IMAP_THREAD_NONE;
}

static void unlink_node(struct imap_threads *t, uint32_t child)
{
    if (t->nodes[child].parent != IMAP_THREAD_NONE)
        t->nodes[t->nodes[child].parent].child_count--;
    t->nodes[child].parent = IMAP_THREAD_NONE;
}

static void link_node(struct imap_threads *t, uint32_t parent, uint32_t child)
{
    unlink_node(t, child);
    t->nodes[child].parent = parent;
    t->nodes[parent].child_count++;
}

/* Quotes around a local part that needs none make no difference (RFC 5256 §3, step 1). */
static uint64_t hash_id(const struct imap_threads *t, struct str id)
{
    struct buf plain;
    uint64_t hash;

    if (str_index(id, '"') < 0)
        return hash_text(&t->key, id);
    buf_init(&plain, SIZE_MAX);
    for (size_t i = 0; i < id.len; i++)
        if (id.ptr[i] != '"' && id.ptr[i] != '\\')
            buf_put(&plain, str_make(id.ptr + i, 1));
    hash = hash_text(&t->key, buf_str(&plain));
    buf_free(&plain);
    return hash;
}

/* The node of an id that was referred to; NONE: no more dummies. */
static uint32_t node_of_reference(struct imap_threads *t, struct str id)
{
    uint64_t hash = hash_id(t, id);
    struct imap_thread_slot *slot = slot_for(t->arena, &t->ids, hash);
    uint32_t node;

    if (slot->node != 0)
        return slot->node - 1;
    if (t->dummy_count == IMAP_THREAD_DUMMIES_MAX)
        return IMAP_THREAD_NONE;
    node = new_node(t, IMAP_THREAD_NONE);
    fill_slot(&t->ids, slot, hash, node);
    return node;
}

/*
 * "If two or more messages have the same Message ID, then only use that Message ID in the first
 * (lowest sequence number) message, and assign a unique Message ID to each of the subsequent
 * messages"; likewise without one.
 */
static uint32_t node_of_message(struct imap_threads *t, struct str id, uint32_t message)
{
    uint64_t hash;
    struct imap_thread_slot *slot;
    uint32_t node;

    if (id.len == 0)
        return new_node(t, message);
    hash = hash_id(t, id);
    slot = slot_for(t->arena, &t->ids, hash);
    if (slot->node != 0 && is_dummy(t, slot->node - 1)) {
        t->nodes[slot->node - 1].message = message;
        t->dummy_count--;
        return slot->node - 1;
    }
    node = new_node(t, message);
    if (slot->node == 0)
        fill_slot(&t->ids, slot, hash, node);
    return node;
}

/* Step 1 (RFC 5256 §3, REFERENCES). */
static size_t link_message(struct imap_threads *t, uint32_t node,
                           const struct imap_thread_message *message)
{
    struct str rest = message->ancestors, id;
    uint32_t last = IMAP_THREAD_NONE;
    size_t steps = 0;

    while (str_split(&rest, ' ', &id)) {
        uint32_t reference = id.len == 0 ? IMAP_THREAD_NONE : node_of_reference(t, id);

        steps++;
        if (reference == IMAP_THREAD_NONE)
            continue;
        /* A: "If a message already has a parent, don't change the existing link." */
        if (last != IMAP_THREAD_NONE && t->nodes[reference].parent == IMAP_THREAD_NONE &&
            !makes_loop(t, last, reference, &steps))
            link_node(t, last, reference);
        last = reference;
    }
    /* B: this link is the right one; an earlier one is from a truncated References field. */
    if (last == IMAP_THREAD_NONE)
        unlink_node(t, node);
    else if (t->nodes[node].parent != last && !makes_loop(t, last, node, &steps))
        link_node(t, last, node);
    return steps;
}

size_t imap_threads_add(struct imap_threads *t, const struct imap_thread_message *message)
{
    uint32_t number = (uint32_t)t->count;
    struct imap_thread_fact *fact = &t->facts[t->count];

    assert(t->count < t->room);
    t->count++;
    fact->sent_ms = message->sent_ms;
    fact->is_reply = message->is_reply;
    /* Bit 0 set, so that no subject's hash is that of the empty one. */
    fact->subject =
        message->base_subject.len == 0 ? 0 : hash_text(&t->key, message->base_subject) | 1;
    if (t->algorithm == IMAP_THREAD_ORDEREDSUBJECT) {
        fact->node = new_node(t, number);
        return 1;
    }
    fact->node = node_of_message(t, message->message_id, number);
    return 1 + link_message(t, fact->node, message);
}

/* ---- Step 4, once for all: messages by sent date, then by their place in the mailbox ---- */

static int compare_messages(const void *context, uint32_t a, uint32_t b)
{
    const struct imap_threads *t = context;
    int64_t left = t->facts[a].sent_ms, right = t->facts[b].sent_ms;

    if (left != right)
        return left < right ? -1 : 1;
    return a < b ? -1 : a > b;
}

/* ---- Steps 2 and 3: dummies go, but for roots with several children ---- */

/*
 * The node above, of those that stay: the nearest message, or else the highest dummy. The dummies
 * on the way are made to point there, so that a long chain of them is climbed once.
 */
static uint32_t climb(struct imap_threads *t, uint32_t node, size_t *steps)
{
    uint32_t top = t->nodes[node].parent, next;

    while (top != IMAP_THREAD_NONE && is_dummy(t, top) &&
           t->nodes[top].parent != IMAP_THREAD_NONE) {
        top = t->nodes[top].parent;
        ++*steps;
    }
    for (uint32_t at = t->nodes[node].parent; at != top; at = next) {
        next = t->nodes[at].parent;
        t->nodes[at].parent = top;
    }
    return top;
}

static size_t prune(struct imap_threads *t, uint32_t message)
{
    uint32_t node = t->facts[message].node;
    size_t steps = 1;

    t->nodes[node].parent = climb(t, node, &steps);
    return steps;
}

static void add_root(struct imap_threads *t, uint32_t node)
{
    t->roots[t->root_count++] = node;
}

/*
 * In the order of sent dates, so that the roots come in order, a dummy by its first child, which
 * is noted in it. "Do not promote the children if doing so would promote them to the root, unless
 * there is only one child."
 */
static void find_root(struct imap_threads *t, uint32_t message)
{
    uint32_t node = t->facts[message].node, parent = t->nodes[node].parent;

    if (parent == IMAP_THREAD_NONE) {
        add_root(t, node);
    } else if (is_dummy(t, parent) && t->nodes[parent].child_count == 1) {
        t->nodes[node].parent = IMAP_THREAD_NONE;
        add_root(t, node);
    } else if (is_dummy(t, parent) && t->nodes[parent].first_child == IMAP_THREAD_NONE) {
        t->nodes[parent].first_child = node;
        add_root(t, parent);
    }
}

/* child_count now counts the messages that will be a dummy's children. */
static size_t count_child(struct imap_threads *t, uint32_t message)
{
    uint32_t parent = t->nodes[t->facts[message].node].parent;

    if (parent != IMAP_THREAD_NONE && is_dummy(t, parent)) {
        if (!t->nodes[parent].is_placed)
            t->nodes[parent].child_count = 0;
        t->nodes[parent].is_placed = true;
        t->nodes[parent].child_count++;
    }
    return 1;
}

/* ---- Step 5: threads of one subject ---- */

/* "The base subject from the current message, or its first child if the current is a dummy". */
static const struct imap_thread_fact *subject_of(const struct imap_threads *t, uint32_t root)
{
    uint32_t node = is_dummy(t, root) ? t->nodes[root].first_child : root;

    return &t->facts[t->nodes[node].message];
}

static void gather(struct imap_threads *t, uint32_t root)
{
    const struct imap_thread_fact *fact = subject_of(t, root), *other;
    struct imap_thread_slot *slot;

    if (fact->subject == 0)
        return;
    slot = slot_for(t->arena, &t->subjects, fact->subject);
    if (slot->node != 0) {
        if (is_dummy(t, slot->node - 1))
            return;
        other = subject_of(t, slot->node - 1);
        if (!is_dummy(t, root) && (fact->is_reply || !other->is_reply))
            return;
    }
    fill_slot(&t->subjects, slot, fact->subject, root);
}

/* A root below another, which stays one. A dummy's children follow it in `place`. */
static void merge(struct imap_threads *t, uint32_t root)
{
    const struct imap_thread_fact *fact = subject_of(t, root);
    struct imap_thread_slot *slot;
    uint32_t other, dummy;

    if (fact->subject == 0)
        return;
    slot = find_slot(&t->subjects, fact->subject);
    other = slot->node - 1;
    if (other == root)
        return;
    if (is_dummy(t, other) || (fact->is_reply && !subject_of(t, other)->is_reply)) {
        t->nodes[root].parent = other;
        return;
    }
    dummy = new_node(t, IMAP_THREAD_NONE);
    t->nodes[dummy].first_child = other;
    t->nodes[other].parent = t->nodes[root].parent = dummy;
    slot->node = dummy + 1;
}

/* ORDEREDSUBJECT: the first message of a subject, by sent date, has the others as children. */
static void group(struct imap_threads *t, uint32_t message)
{
    const struct imap_thread_fact *fact = &t->facts[message];
    struct imap_thread_slot *slot = slot_for(t->arena, &t->subjects, fact->subject);

    if (slot->node == 0)
        fill_slot(&t->subjects, slot, fact->subject, fact->node);
    else
        t->nodes[fact->node].parent = slot->node - 1;
}

/* ---- REFS: roots by their newest message ---- */

static size_t find_newest(struct imap_threads *t, uint32_t message, uint32_t rank)
{
    uint32_t node = t->facts[message].node, top = node, next;
    size_t steps = 1;

    while (t->tops[top] != IMAP_THREAD_NONE) {
        top = t->tops[top];
        steps++;
    }
    for (uint32_t at = node; at != top; at = next) {
        next = t->tops[at];
        t->tops[at] = top;
    }
    t->roots[rank] = top; /* the last one for a root counts */
    return steps;
}

static void prepare_newest(struct imap_threads *t)
{
    t->tops = ARENA_ARRAY(t->arena, uint32_t, t->node_count);
    for (uint32_t i = 0; i < t->node_count; i++)
        t->tops[i] = t->nodes[i].parent;
}

/* ---- Steps 4 and 6: the lists, in order since the messages come so ---- */

static void append_root(struct imap_threads *t, uint32_t node)
{
    if (t->first_root == IMAP_THREAD_NONE)
        t->first_root = node;
    else
        t->nodes[t->last_root].next = node;
    t->last_root = node;
    t->nodes[node].is_placed = true;
}

static void append_child(struct imap_threads *t, uint32_t parent, uint32_t node)
{
    if (t->nodes[parent].last_child == IMAP_THREAD_NONE)
        t->nodes[parent].first_child = node;
    else
        t->nodes[t->nodes[parent].last_child].next = node;
    t->nodes[parent].last_child = node;
}

static void place(struct imap_threads *t, uint32_t message)
{
    uint32_t node = t->facts[message].node, parent = t->nodes[node].parent;
    bool has_order = t->algorithm == IMAP_THREAD_REFS;

    /* A dummy that was merged into another. */
    if (parent != IMAP_THREAD_NONE && is_dummy(t, parent) &&
        t->nodes[parent].parent != IMAP_THREAD_NONE)
        parent = t->nodes[node].parent = t->nodes[parent].parent;
    if (parent == IMAP_THREAD_NONE) {
        if (!has_order)
            append_root(t, node);
        return;
    }
    append_child(t, parent, node);
    if (is_dummy(t, parent) && !t->nodes[parent].is_placed && !has_order)
        append_root(t, parent);
}

static void begin_placing(struct imap_threads *t)
{
    for (uint32_t i = 0; i < t->node_count; i++) {
        t->nodes[i].first_child = t->nodes[i].last_child = IMAP_THREAD_NONE;
        t->nodes[i].is_placed = false;
    }
}

/* Newest last: a root is placed where it comes for the last time. */
static void place_root(struct imap_threads *t, uint32_t rank)
{
    uint32_t root = t->roots[rank];

    if (--t->tops[root] == 0)
        append_root(t, root);
}

/* How often a root comes. */
static void count_roots(struct imap_threads *t)
{
    memset(t->tops, 0, t->node_count * sizeof(*t->tops));
    for (size_t i = 0; i < t->count; i++)
        t->tops[t->roots[i]]++;
}

/* ---- All of it ---- */

/* What follows when a phase is through. */
static enum imap_thread_phase phase_after(struct imap_threads *t)
{
    switch (t->phase) {
    case IMAP_THREAD_ADDING:
        imap_merge_init(&t->order, t->arena, t->count, compare_messages, t);
        return IMAP_THREAD_SORTING;
    case IMAP_THREAD_SORTING:
        t->roots = ARENA_ARRAY(t->arena, uint32_t, t->count);
        return IMAP_THREAD_PRUNING;
    case IMAP_THREAD_PRUNING:
        return IMAP_THREAD_COUNTING;
    case IMAP_THREAD_COUNTING:
        return IMAP_THREAD_ROOTS;
    case IMAP_THREAD_ROOTS:
        if (t->algorithm == IMAP_THREAD_REFERENCES)
            return IMAP_THREAD_GATHERING;
        if (t->algorithm == IMAP_THREAD_REFS) {
            prepare_newest(t);
            return IMAP_THREAD_NEWEST;
        }
        begin_placing(t);
        return IMAP_THREAD_PLACING;
    case IMAP_THREAD_GATHERING:
        return IMAP_THREAD_MERGING;
    case IMAP_THREAD_MERGING:
    case IMAP_THREAD_NEWEST:
        begin_placing(t);
        return IMAP_THREAD_PLACING;
    case IMAP_THREAD_PLACING:
        if (t->algorithm != IMAP_THREAD_REFS)
            return IMAP_THREAD_DONE;
        count_roots(t);
        return IMAP_THREAD_PLACING_ROOTS;
    case IMAP_THREAD_PLACING_ROOTS:
    case IMAP_THREAD_DONE:
        break;
    }
    return IMAP_THREAD_DONE;
}

static size_t do_one(struct imap_threads *t, size_t at)
{
    switch (t->phase) {
    case IMAP_THREAD_ADDING:
    case IMAP_THREAD_SORTING:
    case IMAP_THREAD_DONE:
        break;
    case IMAP_THREAD_PRUNING:
        return prune(t, (uint32_t)at);
    case IMAP_THREAD_COUNTING:
        return count_child(t, (uint32_t)at);
    case IMAP_THREAD_ROOTS:
        if (t->algorithm == IMAP_THREAD_ORDEREDSUBJECT)
            group(t, t->order.items[at]);
        else
            find_root(t, t->order.items[at]);
        break;
    case IMAP_THREAD_GATHERING:
        gather(t, t->roots[at]);
        break;
    case IMAP_THREAD_MERGING:
        merge(t, t->roots[at]);
        break;
    case IMAP_THREAD_NEWEST:
        return find_newest(t, t->order.items[at], (uint32_t)at);
    case IMAP_THREAD_PLACING:
        place(t, t->order.items[at]);
        break;
    case IMAP_THREAD_PLACING_ROOTS:
        place_root(t, (uint32_t)at);
        break;
    }
    return 1;
}

/* How many there are to be done in this phase. */
static size_t phase_count(const struct imap_threads *t)
{
    if (t->phase == IMAP_THREAD_ADDING || t->phase == IMAP_THREAD_DONE)
        return 0;
    return t->phase == IMAP_THREAD_GATHERING || t->phase == IMAP_THREAD_MERGING ? t->root_count
                                                                                : t->count;
}

bool imap_threads_step(struct imap_threads *t, size_t max, size_t *out_steps)
{
    *out_steps = 0;
    while (t->phase != IMAP_THREAD_DONE) {
        if (t->phase == IMAP_THREAD_SORTING) {
            size_t comparisons;

            t->at = imap_merge_step(&t->order, max, &comparisons) ? t->count : 0;
            *out_steps += comparisons;
        }
        while (t->at < phase_count(t) && t->phase != IMAP_THREAD_SORTING && *out_steps < max)
            *out_steps += do_one(t, t->at++);
        if (t->at < phase_count(t))
            return false;
        t->phase = phase_after(t);
        t->at = 0;
        if (*out_steps >= max)
            return t->phase == IMAP_THREAD_DONE;
    }
    return true;
}
