/*
 * The sieves that look at all messages of the folder by number, a bit for each: 64 at once, by what
 * the view knows and by what the index says.
 */
#include "imap/search_run_internal.h"

#include "imap/engine.h"
#include "imap/search_facts.h"

#include <string.h>

enum {
    WORD_BITS = 64, /* messages that are sifted by number at once */
    WORD_UNITS = 1,
    INDEX_UNITS = 4000,
    /* So many messages are read rather than looked for in the index, or fewer in a small folder,
     * where that costs less: one in DIRECT_PART of it. */
    DIRECT_MAX = 64,
    DIRECT_MIN = 8,
    DIRECT_PART = 1000,
    /* What the index said of each key is kept as bits for all messages: so many bytes of them, or
     * of so many keys, which only a program that was made for it has. Others are left to the texts.
     */
    INDEX_BYTES_MAX = 2 * 1024 * 1024,
    INDEX_KEYS_MIN = 64,
};

/* Nothing is known of any message. */
void imap_search_open_all(struct task *task, struct imap_search_run *run)
{
    size_t count = run->view->count;

    run->found_count = run->open_count = count;
    run->decided = ARENA_ARRAY(&task->arena, uint64_t, count / WORD_BITS + 1);
    run->open = ARENA_ARRAY(&task->arena, uint64_t, count / WORD_BITS + 1);
    memset(run->open, 0xff, count / WORD_BITS * sizeof(*run->open));
    run->open[count / WORD_BITS] = (UINT64_C(1) << (count % WORD_BITS)) - 1;
}

static size_t count_bits(const uint64_t *words, size_t message_count)
{
    size_t count = 0;

    for (size_t i = 0; i * WORD_BITS < message_count; i++)
        count += (size_t)__builtin_popcountll(words[i]);
    return count;
}

/* From here on the messages are looked at one by one. */
void imap_search_make_list(struct task *task, struct imap_search_run *run)
{
    size_t all = run->view->count, count = 0;
    size_t room = count_bits(run->decided, all) + count_bits(run->open, all);

    run->found = ARENA_ARRAY(&task->arena, uint32_t, room + 1);
    run->is_decided = ARENA_ARRAY(&task->arena, bool, room + 1);
    for (size_t word = 0; word * WORD_BITS < all; word++) {
        for (uint64_t left = run->decided[word] | run->open[word]; left != 0; left &= left - 1) {
            unsigned bit = (unsigned)__builtin_ctzll(left);

            run->found[count] = (uint32_t)(word * WORD_BITS + bit);
            run->is_decided[count++] = (run->decided[word] >> bit & 1) != 0;
        }
    }
    run->found_count = count;
    run->is_listed = true;
}

size_t imap_search_count_open(const struct imap_search_run *run)
{
    return count_bits(run->open, run->view->count);
}

/* ---- Numbers ---- */

/* Before there is a list. */
static void sift_words(struct imap_session *s, struct imap_search_run *run)
{
    while (run->next < run->found_count && !imap_must_give_way(s)) {
        size_t word = run->next / WORD_BITS;

        run->next += WORD_BITS;
        if (run->next > run->found_count)
            run->next = run->found_count;
        if (run->open[word] != 0) {
            struct imap_search_word truths =
                imap_search_matches_word(run->view, run->program, word);

            run->decided[word] |= run->open[word] & truths.yes;
            run->open[word] &= truths.open & ~truths.yes;
            imap_spend(s, WORD_UNITS + run->program->node_count / IMAP_SEARCH_NODES_PER_UNIT);
        }
    }
}

void imap_search_sift_numbers(struct imap_session *s, struct imap_search_run *run)
{
    if (!run->is_listed) {
        sift_words(s, run);
        return;
    }
    while (run->next < run->found_count && !imap_must_give_way(s)) {
        uint32_t word = run->found[run->next] / WORD_BITS;
        struct imap_search_word truths = imap_search_matches_word(run->view, run->program, word);

        imap_spend(s, WORD_UNITS + run->program->node_count / IMAP_SEARCH_NODES_PER_UNIT);
        while (run->next < run->found_count && run->found[run->next] / WORD_BITS == word) {
            uint64_t bit = UINT64_C(1) << (run->found[run->next] % WORD_BITS);

            imap_search_put(run, run->is_decided[run->next] || (truths.yes & bit) != 0
                                     ? IMAP_TRUTH_YES
                                 : (truths.open & bit) != 0 ? IMAP_TRUTH_OPEN
                                                            : IMAP_TRUTH_NO);
        }
    }
}

/* What the view's facts lack is read, then the numbers are looked at once more. */
enum err imap_search_sift_facts(struct imap_session *s, struct task *task,
                                struct imap_search_run *run)
{
    bool is_done = run->has_facts;

    if (!is_done)
        TRY(imap_search_read_facts(s, task, run, &is_done));
    run->has_facts = is_done;
    if (is_done)
        imap_search_sift_numbers(s, run);
    return ERR_OK;
}

/* ---- The index ---- */

static bool is_index_key(const struct imap_search_node *node)
{
    return (node->op == IMAP_SEARCH_STRING && node->folded.len > 0) ||
           node->op == IMAP_SEARCH_HEADER;
}

/* For what it says of another key: the candidates, and the open ones of them. */
static bool has_room_for_key(const struct imap_search_run *run)
{
    size_t key_bytes = 2 * (run->view->count / WORD_BITS + 1) * sizeof(uint64_t);

    return run->index_keys < INDEX_KEYS_MIN || run->index_keys * key_bytes < INDEX_BYTES_MAX;
}

/* The key to ask the index for next: header fields have fewer words, longer keys fewer matches. */
struct imap_search_node *imap_search_next_index_key(const struct imap_search_run *run)
{
    struct imap_search_node *best = NULL;

    if (!has_room_for_key(run))
        return NULL;
    for (uint32_t i = 0; i < run->program->node_count; i++) {
        struct imap_search_node *node = &run->program->nodes[i];
        bool is_better;

        if (!is_index_key(node) || node->has_candidates || node->is_at_hand)
            continue;
        is_better = best == NULL || imap_search_level_of(node) < imap_search_level_of(best) ||
                    (imap_search_level_of(node) == imap_search_level_of(best) &&
                     node->folded.len > best->folded.len);
        if (is_better)
            best = node;
    }
    return best;
}

size_t imap_search_direct_max(const struct imap_search_run *run)
{
    size_t part = run->view->count / DIRECT_PART;

    return part < DIRECT_MIN ? DIRECT_MIN : part > DIRECT_MAX ? DIRECT_MAX : part;
}

static uint64_t *bits_of(const struct imap_search_run *run, struct task *task, const uint32_t *uids,
                         size_t count)
{
    uint64_t *bits = ARENA_ARRAY(&task->arena, uint64_t, run->view->count / 64 + 1);
    size_t index = 0;

    for (size_t i = 0; i < count; i++) {
        while (index < run->view->count && run->view->uids[index] < uids[i])
            index++;
        if (index < run->view->count && run->view->uids[index] == uids[i])
            bits[index / 64] |= UINT64_C(1) << (index % 64);
    }
    return bits;
}

/* The messages that are still open, ascending; NULL: all of the folder are. */
static uint32_t *open_uids(const struct imap_search_run *run, struct task *task)
{
    uint32_t *uids;
    size_t count = 0;

    if (run->open_count == run->view->count)
        return NULL;
    uids = ARENA_ARRAY(&task->arena, uint32_t, run->open_count);
    for (size_t i = 0; run->is_listed && i < run->found_count; i++)
        if (!run->is_decided[i])
            uids[count++] = run->view->uids[run->found[i]];
    for (size_t word = 0; !run->is_listed && word * WORD_BITS < run->view->count; word++)
        for (uint64_t left = run->open[word]; left != 0; left &= left - 1)
            uids[count++] = run->view->uids[word * WORD_BITS + (size_t)__builtin_ctzll(left)];
    return uids;
}

/* Those that were not asked for stay open: nothing is known of them. */
static uint64_t *bits_of_asked(const struct imap_search_run *run, struct task *task,
                               const uint64_t *asked, const uint32_t *uids, size_t count)
{
    uint64_t *bits = bits_of(run, task, uids, count);

    for (size_t word = 0; asked != NULL && word * WORD_BITS < run->view->count; word++)
        bits[word] |= ~asked[word];
    return bits;
}

enum err imap_search_ask_index(struct imap_session *s, struct task *task, struct imap_search_run *run,
                               struct imap_search_node *node)
{
    struct vault_candidates candidates;
    struct task lookup;
    uint64_t *asked = NULL;
    uint32_t *uids;
    enum err err;

    run->index_keys++;
    task_init(&lookup, task->now_ms);
    uids = open_uids(run, &lookup);
    if (uids != NULL)
        asked = bits_of(run, &lookup, uids, run->open_count);
    err = vault_search_candidates(s->vault, &lookup, run->view->folder_id, node->field, node->name,
                                  node->text, uids, run->open_count, &candidates);
    if (err == ERR_OK) {
        node->candidates = bits_of_asked(run, task, asked, candidates.uids, candidates.count);
        node->has_candidates = true;
        node->is_exact = candidates.is_exact;
        node->has_open = candidates.is_exact && candidates.open_count > 0;
        if (node->is_exact)
            node->open =
                bits_of_asked(run, task, asked, candidates.open_uids, candidates.open_count);
        imap_search_note_candidates(run, node);
        imap_spend(s, INDEX_UNITS + candidates.count / 50 + run->view->count / 500);
    } else {
        err = fail(task, err, "%s", lookup.words);
    }
    task_done(&lookup);
    return err;
}
