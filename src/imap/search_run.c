#include "imap/search_run_internal.h"

#include "imap/engine.h"
#include "imap/search_facts.h"
#include "imap/search_score.h"
#include "vault/identity.h"

#include <string.h>

enum {
    ROW_UNITS = 1,
    CURSOR_UNITS = 10,
    SAMPLE = 1000, /* rows that show whether rows rule out enough to come first */
    SAMPLE_KEPT_MAX = 100,
    CHUNK = 64 * 1024,      /* of a message, read at once */
    CONTENT_PER_UNIT = 128, /* bytes of it */
    TEXT_STEP = 32 * 1024,  /* of it, towards the text: 30 us as a rule, 4 ms of the worst */
    TEXT_STEP_UNITS = 1000,
};

/* ---- Before the first message ---- */

static enum err start(struct imap_session *s, struct task *task, struct imap_search_run *run)
{
    struct imap_search_program *program = run->program;

    run->is_started = true;
    if (program->has_modseq)
        imap_enable_condstore(s);
    TRY(imap_search_prepare(s, task, run));
    imap_spend(s, program->node_count);
    imap_search_recall(s, run);
    if (imap_search_matches_none(run->view, program)) {
        run->found = ARENA_ARRAY(&task->arena, uint32_t, 1);
        run->is_listed = true;
        run->sieve = IMAP_SIEVE_DONE;
        return ERR_OK;
    }
    imap_search_open_all(task, run);
    imap_search_remember(s, run);
    imap_spend(s, run->view->count / 100);
    return ERR_OK;
}

/* ---- One sieve ---- */

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
    imap_spend(s, ROW_UNITS + run->program->node_count / IMAP_SEARCH_NODES_PER_UNIT);
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

void imap_search_put(struct imap_search_run *run, enum imap_truth truth)
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
        imap_search_put(run, IMAP_TRUTH_YES);
}

/* What this sieve is spared. */
static void put_rest(struct imap_search_run *run)
{
    while (run->next < run->found_count)
        imap_search_put(run, run->is_decided[run->next] ? IMAP_TRUTH_YES : IMAP_TRUTH_OPEN);
}

/* The sieve is through. */
static void settle(struct imap_search_run *run)
{
    if (!run->is_listed) {
        run->open_count = imap_search_count_open(run);
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
        imap_search_put(run, truth);
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
            imap_search_put(run, run->is_decided[run->next] ? IMAP_TRUTH_YES : IMAP_TRUTH_NO);
        if (run->next < end && run->view->uids[run->found[run->next]] == row.uid) {
            struct imap_search_candidate c =
                candidate_of(s, run, run->found[run->next], level, &row);

            if (run->is_decided[run->next])
                imap_search_put(run, IMAP_TRUTH_YES);
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
        imap_search_put(run, IMAP_TRUTH_YES);
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
        imap_search_put(run, IMAP_TRUTH_NO);
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
            imap_search_put(run, IMAP_TRUTH_NO);
        if (run->next == end || uids[run->found[run->next]] != row.uid)
            continue;
        run->modseqs[run->kept] = row.modseq;
        if (run->scores != NULL)
            run->scores[run->kept] = run->scores[run->next];
        imap_search_put(run, IMAP_TRUTH_YES);
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
        return is_open && has_level(run, IMAP_SEARCH_BY_ROW) &&
               imap_search_next_index_key(run) != NULL;
    case IMAP_SIEVE_INDEX:
        return run->open_count > imap_search_direct_max(run) &&
               imap_search_next_index_key(run) != NULL;
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
        imap_search_make_list(task, run);
    if (run->sieve == IMAP_SIEVE_INDEX)
        return imap_search_ask_index(s, task, run, imap_search_next_index_key(run));
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
        imap_search_sift_numbers(s, run);
        return ERR_OK;
    case IMAP_SIEVE_FACTS:
        return imap_search_sift_facts(s, task, run);
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

/* How far in the folder: how many messages a sieve will see is not known before it is at them. */
static void give_way(struct imap_session *s, const struct imap_search_run *run)
{
    uint64_t position = run->next;

    if (run->is_listed)
        position = run->next < run->found_count ? run->found[run->next] : run->view->count;
    imap_give_way_at(s, position, run->view->count);
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
            give_way(s, run);
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
        imap_search_make_list(task, run);
    return ERR_OK;
}
