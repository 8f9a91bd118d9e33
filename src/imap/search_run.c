#include "imap/search_run.h"

#include "imap/engine.h"
#include "imap/flags.h"
#include "imap/search_facts.h"
#include "imap/search_score.h"
#include "vault/identity.h"

#include <string.h>

enum {
    WORD_BITS = 64, /* messages that are sifted by number at once */
    WORD_UNITS = 1,
    ROW_UNITS = 1,
    CURSOR_UNITS = 10,
    INDEX_UNITS = 4000,
    NODES_PER_UNIT = 16, /* tested with what is at hand */
    SAMPLE = 1000,       /* rows that show whether rows rule out enough to come first */
    SAMPLE_KEPT_MAX = 100,
    CHUNK = 64 * 1024,      /* of a message, read at once */
    CONTENT_PER_UNIT = 128, /* bytes of it */
    TEXT_STEP = 32 * 1024,  /* of it, towards the text: 30 us as a rule, 4 ms of the worst */
    TEXT_STEP_UNITS = 1000,
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

/* ---- Before the first message ---- */

static enum err prepare_keyword(struct imap_session *s, struct task *task,
                                struct imap_search_node *node)
{
    struct imap_flags flags = {.keywords = &node->text, .keyword_count = 1};

    node->op = IMAP_SEARCH_FLAG;
    TRY(imap_flags_bits(&flags, s->vault, task, false, &node->number));
    if (node->number == 0) { /* no message has it */
        node->op = IMAP_SEARCH_NOT;
        if (node->is_absent)
            node->op = IMAP_SEARCH_ALL;
    }
    return ERR_OK;
}

/* A number beyond the folder matches nothing; "*" is its last message. */
static void cut_numbers(struct imap_set *set, uint32_t count)
{
    size_t kept = 0;

    imap_set_resolve(set, count);
    for (size_t i = 0; i < set->count && set->ranges[i].first <= count; i++) {
        set->ranges[kept] = set->ranges[i];
        if (set->ranges[kept].last > count)
            set->ranges[kept].last = count;
        kept++;
    }
    set->count = kept;
}

/* The set as indexes. */
static enum err prepare_set(struct imap_session *s, struct task *task,
                            const struct imap_search_run *run, struct imap_search_node *node)
{
    bool is_uid = node->op == IMAP_SEARCH_UID;

    if (!is_uid && node->set.count > 0 && imap_has(s, IMAP_EXT_UIDONLY)) /* RFC 9586 §3 */
        return imap_refuse(s, task, IMAP_REFUSAL_UID_REQUIRED);
    if (!is_uid && run->view == &s->view) /* RFC 9051 §7.5.1: also in UID SEARCH */
        s->has_numbers |= node->set.count > 0;
    if (!is_uid)
        cut_numbers(&node->set, (uint32_t)run->view->count);
    if (!imap_view_ranges(run->view, task, node->set, is_uid, &node->set))
        return fail(task, ERR_INVALID, "a number is beyond the folder");
    return ERR_OK;
}

/* What was asked for before is not looked up again: a thread may be as large as the mailbox. */
static enum err prepare_identity(struct imap_session *s, struct task *task,
                                 const struct imap_search_run *run, struct imap_search_node *node)
{
    enum vault_identity_kind kind =
        node->op == IMAP_SEARCH_EMAILID ? VAULT_IDENTITY_EMAIL : VAULT_IDENTITY_THREAD;
    int64_t id;

    for (const struct imap_search_node *other = run->program->nodes; other != node; other++) {
        if (other->op != node->op || !str_equal(other->text, node->text))
            continue;
        node->content_ids = other->content_ids;
        node->content_count = other->content_count;
        return ERR_OK;
    }
    if (!vault_identity_read(kind, node->text, &id)) /* never one of ours: no message has it */
        return ERR_OK;
    return vault_identity_contents(s->vault, task, kind, id, &node->content_ids,
                                   &node->content_count);
}

static enum err prepare_node(struct imap_session *s, struct task *task,
                             const struct imap_search_run *run, struct imap_search_node *node)
{
    if (node->op == IMAP_SEARCH_KEYWORD)
        return prepare_keyword(s, task, node);
    if (node->op == IMAP_SEARCH_SEQUENCE || node->op == IMAP_SEARCH_UID)
        return prepare_set(s, task, run, node);
    if (node->op == IMAP_SEARCH_STRING || node->op == IMAP_SEARCH_HEADER)
        node->folded = imap_search_fold(&task->arena, node->text);
    if (node->op == IMAP_SEARCH_EMAILID || node->op == IMAP_SEARCH_THREADID)
        return prepare_identity(s, task, run, node);
    if (node->op == IMAP_SEARCH_FUZZY)
        node->folded = imap_search_fold(&task->arena, node->text);
    if (node->op == IMAP_SEARCH_REGEX &&
        imap_regex_compile(task, node->text, &node->regex) != ERR_OK)
        return imap_refuse(s, task, IMAP_REFUSAL_PATTERN);
    return ERR_OK;
}

/* Nothing is known of any message. */
static void open_all(struct task *task, struct imap_search_run *run)
{
    size_t count = run->view->count;

    run->found_count = run->open_count = count;
    run->decided = ARENA_ARRAY(&task->arena, uint64_t, count / WORD_BITS + 1);
    run->open = ARENA_ARRAY(&task->arena, uint64_t, count / WORD_BITS + 1);
    memset(run->open, 0xff, count / WORD_BITS * sizeof(*run->open));
    run->open[count / WORD_BITS] = (UINT64_C(1) << (count % WORD_BITS)) - 1;
}

static enum err start(struct imap_session *s, struct task *task, struct imap_search_run *run)
{
    struct imap_search_program *program = run->program;

    run->is_started = true;
    if (program->has_modseq)
        imap_enable_condstore(s);
    for (uint32_t i = 0; i < program->node_count; i++)
        TRY(prepare_node(s, task, run, &program->nodes[i]));
    open_all(task, run);
    imap_search_remember(s, run);
    imap_search_recall(s, run);
    imap_spend(s, program->node_count + run->view->count / 100);
    return ERR_OK;
}

/* ---- One sieve ---- */

static bool is_index_key(const struct imap_search_node *node)
{
    return (node->op == IMAP_SEARCH_STRING && node->folded.len > 0) ||
           node->op == IMAP_SEARCH_HEADER;
}

/* Is there a key that this level decides? */
static bool has_level(const struct imap_search_run *run, enum imap_search_level level)
{
    for (uint32_t i = 0; i < run->program->node_count; i++)
        if (imap_search_level_of(&run->program->nodes[i]) == level ||
            (level == IMAP_SEARCH_BY_HEADER && imap_search_has_hint(&run->program->nodes[i])))
            return true;
    return false;
}

/* What the keys up to this level want of a row. */
static unsigned columns_for(const struct imap_search_run *run, enum imap_search_level level)
{
    unsigned columns = VAULT_COLUMN_FLAGS;

    for (uint32_t i = 0; i < run->program->node_count; i++) {
        const struct imap_search_node *node = &run->program->nodes[i];

        if (imap_search_level_of(node) <= level)
            columns |= imap_search_columns_of(node);
        if (level == IMAP_SEARCH_BY_HEADER && imap_search_has_hint(node))
            columns |= VAULT_COLUMN_MESSAGE_ID;
    }
    return columns;
}

static struct imap_search_candidate candidate_of(struct imap_session *s,
                                                 const struct imap_search_run *run, uint32_t index,
                                                 enum imap_search_level level,
                                                 const struct vault_message *row)
{
    imap_spend(s, ROW_UNITS + run->program->node_count / NODES_PER_UNIT);
    return (struct imap_search_candidate){
        .s = s,
        .level = level,
        .view = run->view,
        .index = index,
        .now_ms = s->task.now_ms,
        .regex_us = IMAP_REGEX_MESSAGE_US,
        .row = row,
    };
}

/* The next message goes on, or not. */
static void put(struct imap_search_run *run, enum imap_truth truth)
{
    if (truth != IMAP_TRUTH_NO) {
        run->found[run->kept] = run->found[run->next];
        run->is_decided[run->kept++] = truth == IMAP_TRUTH_YES;
    }
    run->next++;
}

static void put_decided(struct imap_search_run *run)
{
    while (run->next < run->found_count && run->is_decided[run->next])
        put(run, IMAP_TRUTH_YES);
}

/* What this sieve is spared. */
static void put_rest(struct imap_search_run *run)
{
    while (run->next < run->found_count)
        put(run, run->is_decided[run->next] ? IMAP_TRUTH_YES : IMAP_TRUTH_OPEN);
}

static size_t count_bits(const uint64_t *words, size_t message_count)
{
    size_t count = 0;

    for (size_t i = 0; i * WORD_BITS < message_count; i++)
        count += (size_t)__builtin_popcountll(words[i]);
    return count;
}

/* From here on the messages are looked at one by one. */
static void make_list(struct task *task, struct imap_search_run *run)
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

/* The sieve is through. */
static void settle(struct imap_search_run *run)
{
    if (!run->is_listed) {
        run->open_count = count_bits(run->open, run->view->count);
        run->next = run->kept = 0;
        return;
    }
    run->found_count = run->kept;
    run->next = run->kept = run->open_count = 0;
    for (size_t i = 0; i < run->found_count; i++)
        run->open_count += !run->is_decided[i];
}

/* Tests the next message, and puts it on or not. */
static enum err test(struct imap_session *s, struct task *task, struct imap_search_run *run,
                     struct imap_search_candidate *c)
{
    enum imap_truth truth = imap_search_matches(c, run->program);

    if (c->is_too_dear)
        return imap_refuse(s, task, IMAP_REFUSAL_PATTERN_TOO_DEAR);
    c->is_unfinished = c->is_unfinished && truth == IMAP_TRUTH_OPEN;
    if (!c->is_unfinished)
        put(run, truth);
    return ERR_OK;
}

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
            imap_spend(s, WORD_UNITS + run->program->node_count / NODES_PER_UNIT);
        }
    }
}

static void sift_numbers(struct imap_session *s, struct imap_search_run *run)
{
    if (!run->is_listed) {
        sift_words(s, run);
        return;
    }
    while (run->next < run->found_count && !imap_must_give_way(s)) {
        uint32_t word = run->found[run->next] / WORD_BITS;
        struct imap_search_word truths = imap_search_matches_word(run->view, run->program, word);

        imap_spend(s, WORD_UNITS + run->program->node_count / NODES_PER_UNIT);
        while (run->next < run->found_count && run->found[run->next] / WORD_BITS == word) {
            uint64_t bit = UINT64_C(1) << (run->found[run->next] % WORD_BITS);

            put(run, run->is_decided[run->next] || (truths.yes & bit) != 0 ? IMAP_TRUTH_YES
                     : (truths.open & bit) != 0                            ? IMAP_TRUTH_OPEN
                                                                           : IMAP_TRUTH_NO);
        }
    }
}

/* What the view's facts lack is read, then the numbers are looked at once more. */
static enum err sift_facts(struct imap_session *s, struct task *task, struct imap_search_run *run)
{
    bool is_done = run->has_facts;

    if (!is_done)
        TRY(imap_search_read_facts(s, task, run, &is_done));
    run->has_facts = is_done;
    if (is_done)
        sift_numbers(s, run);
    return ERR_OK;
}

/* A stretch of messages by what is in their rows. */
static enum err sift_rows(struct imap_session *s, struct task *task, struct imap_search_run *run,
                          enum imap_search_level level, size_t max)
{
    CLEANUP(vault_cursor_close) struct vault_cursor *cursor = NULL;
    size_t end;

    put_decided(run);
    if (run->next == run->found_count)
        return ERR_OK;
    end = imap_view_stretch(run->found, run->found_count, run->next);
    imap_spend(s, CURSOR_UNITS);
    TRY(vault_cursor_open(
        s->vault, task, run->view->folder_id, run->view->uids[run->found[run->next]],
        run->view->uids[run->found[end - 1]], columns_for(run, level), true, &cursor));
    while (run->next < end && run->next < max && !imap_must_give_way(s)) {
        struct vault_message row;
        bool has_row;

        TRY(vault_cursor_next(cursor, task, &row, &has_row));
        /* What has no row was purged meanwhile. */
        while (run->next < end && (!has_row || run->view->uids[run->found[run->next]] < row.uid))
            put(run, run->is_decided[run->next] ? IMAP_TRUTH_YES : IMAP_TRUTH_NO);
        if (run->next < end && run->view->uids[run->found[run->next]] == row.uid) {
            struct imap_search_candidate c =
                candidate_of(s, run, run->found[run->next], level, &row);

            if (run->is_decided[run->next])
                put(run, IMAP_TRUTH_YES);
            else
                TRY(test(s, task, run, &c));
        }
    }
    return ERR_OK;
}

/* Rows before the index: given up when the first ones show that most of them stay. */
static enum err sift_first_rows(struct imap_session *s, struct task *task,
                                struct imap_search_run *run)
{
    size_t max = run->next < SAMPLE ? SAMPLE : SIZE_MAX;

    TRY(sift_rows(s, task, run, IMAP_SEARCH_BY_ROW, max));
    if (run->next == SAMPLE && run->kept > SAMPLE_KEPT_MAX)
        put_rest(run);
    return ERR_OK;
}

/* ---- The index ---- */

/* For what it says of another key: the candidates, and the open ones of them. */
static bool has_room_for_key(const struct imap_search_run *run)
{
    size_t key_bytes = 2 * (run->view->count / WORD_BITS + 1) * sizeof(uint64_t);

    return run->index_keys < INDEX_KEYS_MIN || run->index_keys * key_bytes < INDEX_BYTES_MAX;
}

/* The key to ask the index for next: header fields have fewer words, longer keys fewer matches. */
static struct imap_search_node *next_index_key(const struct imap_search_run *run)
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

static size_t direct_max(const struct imap_search_run *run)
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

static enum err ask_index(struct imap_session *s, struct task *task,
                          const struct imap_search_run *run, struct imap_search_node *node)
{
    struct vault_candidates candidates;
    struct task lookup;
    uint64_t *asked = NULL;
    uint32_t *uids;
    enum err err;

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

/* ---- Texts ---- */

static struct str keep(struct imap_session *s, struct str text)
{
    return arena_copy(&s->message_arena, text);
}

static enum imap_search_level text_level(const struct imap_search_run *run)
{
    return run->sieve == IMAP_SIEVE_TEXTS ? IMAP_SEARCH_BY_TEXT : IMAP_SEARCH_BY_REGEX;
}

/* The row, kept over the turns that its message takes. */
static enum err read_row(struct imap_session *s, struct task *task, struct imap_search_run *run,
                         bool *out_is_there)
{
    CLEANUP(vault_cursor_close) struct vault_cursor *cursor = NULL;
    uint32_t uid = run->view->uids[run->found[run->next]];
    struct vault_message *row = &run->row;
    unsigned columns = run->sieve == IMAP_SIEVE_SCORES
                           ? (unsigned)VAULT_COLUMN_SEARCH | VAULT_COLUMN_STRUCTURE
                           : columns_for(run, text_level(run));

    imap_spend(s, CURSOR_UNITS);
    TRY(vault_cursor_open(s->vault, task, run->view->folder_id, uid, uid, columns, true, &cursor));
    TRY(vault_cursor_next(cursor, task, row, out_is_there));
    if (!*out_is_there)
        return ERR_OK;
    row->subject = keep(s, row->subject);
    row->from = keep(s, row->from);
    row->to = keep(s, row->to);
    row->cc = keep(s, row->cc);
    row->bcc = keep(s, row->bcc);
    row->structure = keep(s, row->structure);
    return ERR_OK;
}

static void close_message(struct imap_session *s, struct imap_search_run *run)
{
    vault_content_close(&s->content);
    message_text_maker_free(&s->text);
    arena_free(&s->message_arena);
    run->has_message = false;
}

/* ERR_NOT_FOUND: purged meanwhile. */
static enum err open_message(struct imap_session *s, struct task *task, struct imap_search_run *run)
{
    struct task reading = {.now_ms = task->now_ms};
    bool is_there;
    enum err err;

    run->has_message = true;
    run->has_text = false;
    run->regex_us = IMAP_REGEX_MESSAGE_US;
    run->scoring = (struct imap_search_scoring){0};
    run->sights = ARENA_ARRAY(&s->message_arena, enum imap_search_sight, run->program->node_count);
    TRY(read_row(s, task, run, &is_there));
    if (!is_there)
        return ERR_NOT_FOUND;
    reading.arena = s->message_arena; /* it is to stay as long as the message */
    err = message_structure_decode(&reading, run->row.structure, &run->structure);
    s->message_arena = reading.arena;
    if (err != ERR_OK)
        return fail(task, err, "%s", reading.words);
    run->raw_len = run->raw_size = 0;
    if (run->sieve == IMAP_SIEVE_SCORES && !imap_search_scores_content(run->program))
        return ERR_OK;
    TRY(vault_content_open(s->vault, task, run->row.content_id, &s->content));
    run->raw_size = vault_content_size(s->content);
    run->raw = arena_alloc(&s->message_arena, (size_t)run->raw_size + 1, 1);
    return ERR_OK;
}

static enum err read_raw(struct imap_session *s, struct task *task, struct imap_search_run *run)
{
    CLEANUP(buf_free) struct buf chunk = {0};

    buf_init(&chunk, SIZE_MAX);
    while (run->raw_len < run->raw_size && !imap_must_give_way(s)) {
        buf_truncate(&chunk, 0);
        TRY(vault_content_read(s->content, task, run->raw_len, CHUNK, &chunk));
        if (chunk.len == 0)
            return fail(task, ERR_CORRUPT, "a content is shorter than it said");
        memcpy(run->raw + run->raw_len, chunk.ptr, chunk.len);
        run->raw_len += chunk.len;
        imap_spend(s, chunk.len / CONTENT_PER_UNIT);
    }
    return ERR_OK;
}

/* In this sieve. */
static bool looks_into_text(const struct imap_search_run *run, const struct imap_search_node *node)
{
    if (node->field != VAULT_SEARCH_BODY && node->field != VAULT_SEARCH_TEXT)
        return false;
    if (node->op == IMAP_SEARCH_REGEX)
        return run->sieve != IMAP_SIEVE_TEXTS;
    if (node->op == IMAP_SEARCH_FUZZY)
        return run->sieve == IMAP_SIEVE_SCORES && node->text.len > 0;
    return node->op == IMAP_SEARCH_STRING &&
           (run->sieve == IMAP_SIEVE_SCORES || imap_search_level_of(node) == IMAP_SEARCH_BY_TEXT);
}

/* False: it has more to do. */
static bool make_text(struct imap_session *s, struct imap_search_run *run)
{
    bool is_wanted = false, has_regex = false, has_more = !run->has_text;

    for (uint32_t i = 0; i < run->program->node_count; i++) {
        is_wanted = is_wanted || looks_into_text(run, &run->program->nodes[i]);
        has_regex = has_regex || run->program->nodes[i].op == IMAP_SEARCH_REGEX;
    }
    if (!is_wanted)
        return true;
    if (s->text == NULL)
        s->text = message_text_maker_new(&run->structure, str_make(run->raw, (size_t)run->raw_size),
                                         has_regex);
    while (has_more && !imap_must_give_way(s)) {
        has_more = message_text_maker_step(s->text, TEXT_STEP);
        imap_spend(s, TEXT_STEP_UNITS);
    }
    run->has_text = !has_more;
    return run->has_text;
}

/* Of a message with many keys and a long text it takes turns. */
static enum err test_text(struct imap_session *s, struct task *task, struct imap_search_run *run)
{
    struct imap_search_candidate c =
        candidate_of(s, run, run->found[run->next], text_level(run), &run->row);
    enum err err = ERR_OK;

    c.structure = &run->structure;
    c.raw = str_make(run->raw, (size_t)run->raw_size);
    c.arena = &s->message_arena;
    c.text = s->text;
    c.sights = run->sights;
    c.regex_us = run->regex_us;
    if (run->sieve == IMAP_SIEVE_SCORES) {
        if (!imap_search_score(&c, run->program, &run->scoring))
            return ERR_OK;
        run->scores[run->kept] = imap_search_score_of(&run->scoring);
        put(run, IMAP_TRUTH_YES);
    } else {
        err = test(s, task, run, &c);
        run->regex_us = c.regex_us;
    }
    if (!c.is_unfinished)
        close_message(s, run);
    return err;
}

static enum err sift_text(struct imap_session *s, struct task *task, struct imap_search_run *run)
{
    if (!run->has_message)
        TRY(open_message(s, task, run));
    TRY(read_raw(s, task, run));
    if (run->raw_len < run->raw_size)
        return ERR_OK;
    return make_text(s, run) ? test_text(s, task, run) : ERR_OK;
}

/* Before the first one. */
static enum err ask_for_texts(struct imap_session *s, struct task *task,
                              const struct imap_search_run *run)
{
    uint32_t uids[VAULT_AHEAD_MAX];
    size_t count = 0;

    for (size_t i = 0; i < run->found_count && count < VAULT_AHEAD_MAX; i++)
        if (!run->is_decided[i])
            uids[count++] = run->view->uids[run->found[i]];
    return vault_search_ahead(s->vault, task, run->view->folder_id, uids, count);
}

static enum err sift_texts(struct imap_session *s, struct task *task, struct imap_search_run *run)
{
    enum err err;

    if (run->sieve != IMAP_SIEVE_SCORES)
        put_decided(run);
    if (run->next == run->found_count)
        return ERR_OK;
    err = sift_text(s, task, run);
    if (err == ERR_NOT_FOUND) { /* purged meanwhile */
        task_forgive(task);
        put(run, IMAP_TRUTH_NO);
        close_message(s, run);
        err = ERR_OK;
    }
    return err;
}

/* Of header fields alone without the messages' bytes. */
static enum err sift_regexes(struct imap_session *s, struct task *task, struct imap_search_run *run)
{
    for (uint32_t i = 0; i < run->program->node_count; i++)
        if (imap_search_needs_content(&run->program->nodes[i]))
            return sift_texts(s, task, run);
    return sift_rows(s, task, run, IMAP_SEARCH_BY_REGEX, SIZE_MAX);
}

/* ---- What the answer tells ---- */

static enum err read_modseqs(struct imap_session *s, struct task *task, struct imap_search_run *run)
{
    CLEANUP(vault_cursor_close) struct vault_cursor *cursor = NULL;
    size_t end = imap_view_stretch(run->found, run->found_count, run->next);
    const uint32_t *uids = run->view->uids;

    TRY(vault_cursor_open(s->vault, task, run->view->folder_id, uids[run->found[run->next]],
                          uids[run->found[end - 1]], VAULT_COLUMN_FLAGS, true, &cursor));
    imap_spend(s, CURSOR_UNITS);
    while (run->next < end && !imap_must_give_way(s)) {
        struct vault_message row;
        bool has_row;

        TRY(vault_cursor_next(cursor, task, &row, &has_row));
        while (run->next < end && (!has_row || uids[run->found[run->next]] < row.uid))
            put(run, IMAP_TRUTH_NO);
        if (run->next == end || uids[run->found[run->next]] != row.uid)
            continue;
        run->modseqs[run->kept] = row.modseq;
        if (run->scores != NULL)
            run->scores[run->kept] = run->scores[run->next];
        put(run, IMAP_TRUTH_YES);
        imap_spend(s, ROW_UNITS);
    }
    return ERR_OK;
}

/* ---- All of them ---- */

static bool is_wanted(const struct imap_session *s, struct imap_search_run *run)
{
    bool is_open = run->open_count > 0;

    switch (run->sieve) {
    case IMAP_SIEVE_NUMBERS:
        return is_open;
    case IMAP_SIEVE_FACTS:
        return is_open && has_level(run, IMAP_SEARCH_BY_ROW) && imap_search_lacks_facts(s, run);
    case IMAP_SIEVE_FIRST_ROWS:
        return is_open && has_level(run, IMAP_SEARCH_BY_ROW) && next_index_key(run) != NULL;
    case IMAP_SIEVE_INDEX:
        return run->open_count > direct_max(run) && next_index_key(run) != NULL;
    case IMAP_SIEVE_ROWS:
        return is_open && has_level(run, IMAP_SEARCH_BY_ROW);
    case IMAP_SIEVE_HEADERS:
        return is_open && has_level(run, IMAP_SEARCH_BY_HEADER);
    case IMAP_SIEVE_TEXTS:
        return is_open && has_level(run, IMAP_SEARCH_BY_TEXT);
    case IMAP_SIEVE_REGEXES:
        return is_open;
    case IMAP_SIEVE_SCORES:
        return run->wants_scores && run->found_count > 0;
    case IMAP_SIEVE_MODSEQS:
        return run->program->has_modseq && run->found_count > 0;
    case IMAP_SIEVE_DONE:
        break;
    }
    return false;
}

static bool is_by_number(enum imap_search_sieve sieve)
{
    return sieve == IMAP_SIEVE_NUMBERS || sieve == IMAP_SIEVE_FACTS || sieve == IMAP_SIEVE_INDEX;
}

static enum err begin(struct imap_session *s, struct task *task, struct imap_search_run *run)
{
    run->next = run->kept = 0;
    run->has_begun = true;
    if (!run->is_listed && !is_by_number(run->sieve))
        make_list(task, run);
    if (run->sieve == IMAP_SIEVE_INDEX) {
        struct imap_search_node *key = next_index_key(run);

        run->index_keys++;
        return ask_index(s, task, run, key);
    }
    if (run->sieve == IMAP_SIEVE_TEXTS)
        TRY(ask_for_texts(s, task, run));
    if (run->sieve == IMAP_SIEVE_SCORES)
        run->scores = ARENA_ARRAY(&task->arena, uint8_t, run->found_count);
    if (run->sieve == IMAP_SIEVE_MODSEQS)
        run->modseqs = ARENA_ARRAY(&task->arena, uint64_t, run->found_count);
    return ERR_OK;
}

static enum err sift(struct imap_session *s, struct task *task, struct imap_search_run *run)
{
    switch (run->sieve) {
    case IMAP_SIEVE_NUMBERS:
    case IMAP_SIEVE_INDEX:
        sift_numbers(s, run);
        return ERR_OK;
    case IMAP_SIEVE_FACTS:
        return sift_facts(s, task, run);
    case IMAP_SIEVE_FIRST_ROWS:
        return sift_first_rows(s, task, run);
    case IMAP_SIEVE_ROWS:
        return sift_rows(s, task, run, IMAP_SEARCH_BY_ROW, SIZE_MAX);
    case IMAP_SIEVE_HEADERS:
        return sift_rows(s, task, run, IMAP_SEARCH_BY_HEADER, SIZE_MAX);
    case IMAP_SIEVE_TEXTS:
    case IMAP_SIEVE_SCORES:
        return sift_texts(s, task, run);
    case IMAP_SIEVE_REGEXES:
        return sift_regexes(s, task, run);
    case IMAP_SIEVE_MODSEQS:
        return read_modseqs(s, task, run);
    case IMAP_SIEVE_DONE:
        break;
    }
    return ERR_OK;
}

enum err imap_search_run(struct imap_session *s, struct task *task, struct imap_search_run *run)
{
    bool is_ready = true;

    if (!run->is_started && run->program->has_identity)
        TRY(vault_identity_prepare(s->vault, task, &is_ready));
    if (!is_ready) { /* a slice of it is a turn */
        imap_give_way(s);
        return ERR_OK;
    }
    if (!run->is_started)
        TRY(start(s, task, run));
    while (run->sieve != IMAP_SIEVE_DONE) {
        if (!run->has_begun && !is_wanted(s, run)) {
            run->sieve++;
            continue;
        }
        if (imap_must_give_way(s)) {
            imap_give_way_at(s, run->next, run->found_count);
            return ERR_OK;
        }
        if (!run->has_begun)
            TRY(begin(s, task, run));
        else if (run->next < run->found_count)
            TRY(sift(s, task, run));
        if (run->next < run->found_count)
            continue;
        settle(run);
        run->has_begun = false;
        if (run->sieve != IMAP_SIEVE_INDEX) /* which is asked for one key after the other */
            run->sieve++;
    }
    if (!run->is_listed)
        make_list(task, run);
    return ERR_OK;
}
