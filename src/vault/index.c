/*
 * Which work on the search index comes next (index.h). Folding goes first: what is not indexed
 * costs every search; only when there are many segments does it wait, and when an index of another
 * form is there, whose room the new one shall have. Then what merging left is taken away, for the
 * same reason; then merging, the smallest segments first.
 */
#include "vault/index.h"

#include "vault/ahead.h"


enum {
    FAN_IN = 8,            /* segments of a level that become one of the next */
    BLOCKS_IN_SLICE = 100, /* removed */
    SEGMENTS_MAX = 2000,
    SEGMENTS_BEFORE_FOLDING = 80, /* more: merging goes first */
    GONE_MIN = 400,               /* contents that went from a segment: worth writing it anew, */
    GONE_PART = 4,                /* when they are one in four of it */
};

enum state { STATE_MERGING = 0, STATE_LIVE = 1, STATE_DEAD = 2 };

struct row {
    struct segment segment;
    enum state state;
    int64_t level;
    int64_t form;
};

int64_t index_form(void)
{
    return ((int64_t)WORDS_FORM << 40) + message_fold_form();
}

static enum err load_rows(struct vault *vault, struct task *task, struct row **out_rows,
                          size_t *out_count)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct row *rows = ARENA_ARRAY(&task->arena, struct row, SEGMENTS_MAX);
    size_t count = 0;
    bool has_row;

    TRY(db_prepare(vault->db, task,
                   "SELECT id, state, level, first_content_id, last_content_id, form "
                   "FROM word_segment ORDER BY first_content_id",
                   &statement));
    for (;;) {
        TRY(db_step(vault->db, task, statement, &has_row));
        if (!has_row)
            break;
        if (count == SEGMENTS_MAX || db_column_int(statement, 4) < db_column_int(statement, 3) ||
            db_column_int(statement, 3) <= 0)
            return fail(task, ERR_CORRUPT, "vault: impossible segments of the search index");
        rows[count++] = (struct row){
            .segment = {db_column_int(statement, 0), db_column_int(statement, 3),
                        db_column_int(statement, 4)},
            .state = (enum state)db_column_int(statement, 1),
            .level = db_column_int(statement, 2),
            .form = db_column_int(statement, 5),
        };
    }
    *out_rows = rows;
    *out_count = count;
    return ERR_OK;
}

enum err index_segments(struct vault *vault, struct task *task, struct segment **out_segments,
                        size_t *out_count)
{
    struct segment *segments;
    struct row *rows;
    size_t row_count, count = 0;

    TRY(load_rows(vault, task, &rows, &row_count));
    segments = ARENA_ARRAY(&task->arena, struct segment, row_count + 1);
    for (size_t i = 0; i < row_count; i++) {
        if (rows[i].state == STATE_LIVE && rows[i].form == index_form())
            segments[count++] = rows[i].segment;
    }
    *out_segments = segments;
    *out_count = count;
    return ERR_OK;
}

void index_ask_ahead(struct vault *vault, struct task *task)
{
    struct segment *segments;
    struct db_keys *heads;
    size_t count;
    bool is_cold;

    if (index_segments(vault, task, &segments, &count) != ERR_OK) {
        task_forgive(task);
        return;
    }
    heads = ARENA_ARRAY(&task->arena, struct db_keys, count + 1);
    for (size_t i = 0; i < count; i++)
        heads[i] = (struct db_keys){segment_key(&segments[i], SEGMENT_BEGINNINGS),
                                    segment_key(&segments[i], SEGMENT_NUMBER_MAX)};
    ahead_sort(heads, count);
    ahead_of_rows(vault, task, "word_terms", heads, count, AHEAD_PAGE, &is_cold);
}

static enum err load_is_unfinished(struct vault *vault, struct task *task)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    TRY(db_prepare(vault->db, task,
                   "SELECT count(*) FROM word_segment GROUP BY state, level "
                   "HAVING state <> 1 OR count(*) >= ?1 LIMIT 1",
                   &statement));
    db_bind_int(statement, 1, FAN_IN);
    TRY(db_step(vault->db, task, statement, &has_row));
    vault->has_segments_to_merge = has_row;
    return ERR_OK;
}

enum err index_load(struct vault *vault, struct task *task)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    TRY(db_prepare(
        vault->db, task,
        "SELECT coalesce(max(last_content_id) FILTER (WHERE state = 1 AND form = ?1), 0), "
        "count(*) FILTER (WHERE form <> ?1) FROM word_segment WHERE state <> 2",
        &statement));
    db_bind_int(statement, 1, index_form());
    TRY(db_step(vault->db, task, statement, &has_row));
    vault->has_index_of_other_form = db_column_int(statement, 1) > 0;
    vault->indexed_content_id = vault->has_index_of_other_form ? 0 : db_column_int(statement, 0);
    return load_is_unfinished(vault, task);
}

bool index_is_unfinished(const struct vault *vault)
{
    return vault->has_segments_to_merge || vault->has_index_of_other_form ||
           vault->indexed_content_id + 1 < vault->next_content_id;
}

bool index_is_behind(const struct vault *vault, int64_t contents)
{
    return vault->next_content_id - vault->indexed_content_id > contents;
}

enum err index_forget(struct vault *vault, struct task *task, int64_t content_id)
{
    CLEANUP(db_release) sqlite3_stmt *gone = NULL;
    CLEANUP(db_release) sqlite3_stmt *unindexed = NULL;

    if (content_id > vault->indexed_content_id && !vault->has_index_of_other_form)
        return ERR_OK;
    TRY(db_prepare(vault->db, task, "DELETE FROM unindexed WHERE content_id = ?1", &unindexed));
    db_bind_int(unindexed, 1, content_id);
    TRY(db_run(vault->db, task, unindexed));
    if (content_id > vault->indexed_content_id)
        return ERR_OK;
    TRY(db_prepare(vault->db, task, "INSERT INTO word_gone(content_id) VALUES (?1)", &gone));
    db_bind_int(gone, 1, content_id);
    vault->has_words_gone = true;
    return db_run(vault->db, task, gone);
}

/* --- Segments of another form --- */

static enum err run_statement(struct vault *vault, struct task *task, const char *sql)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(vault->db, task, sql, &statement));
    return db_run(vault->db, task, statement);
}

/* All goes, ours too where there should be any: folding begins at the first content again, and
 * notes anew what it leaves out. */
static enum err begin_anew(struct vault *vault, struct task *task)
{
    TRY(run_statement(vault, task, "UPDATE word_segment SET state = 2"));
    TRY(run_statement(vault, task, "DELETE FROM word_gone"));
    TRY(run_statement(vault, task, "DELETE FROM unindexed"));
    vault->has_index_of_other_form = false;
    return ERR_OK;
}

/* --- Removing --- */

static enum err delete_blocks(struct vault *vault, struct task *task, const char *sql,
                              int64_t segment_id, bool *out_is_empty)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(vault->db, task, sql, &statement));
    db_bind_int(statement, 1, segment_id << 24);
    db_bind_int(statement, 2, ((segment_id + 1) << 24) - 1);
    db_bind_int(statement, 3, BLOCKS_IN_SLICE);
    TRY(db_run(vault->db, task, statement));
    *out_is_empty = sqlite3_changes(db_handle(vault->db)) < BLOCKS_IN_SLICE;
    return ERR_OK;
}

static enum err delete_row(struct vault *vault, struct task *task, int64_t segment_id)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(vault->db, task, "DELETE FROM word_segment WHERE id = ?1", &statement));
    db_bind_int(statement, 1, segment_id);
    return db_run(vault->db, task, statement);
}

static enum err remove_slice(struct vault *vault, struct task *task, int64_t segment_id)
{
    bool is_empty;

    TRY(delete_blocks(vault, task,
                      "DELETE FROM word_terms WHERE key IN (SELECT key FROM word_terms "
                      "WHERE key BETWEEN ?1 AND ?2 LIMIT ?3)",
                      segment_id, &is_empty));
    if (is_empty)
        TRY(delete_blocks(vault, task,
                          "DELETE FROM word_postings WHERE key IN (SELECT key FROM word_postings "
                          "WHERE key BETWEEN ?1 AND ?2 LIMIT ?3)",
                          segment_id, &is_empty));
    return is_empty ? delete_row(vault, task, segment_id) : ERR_OK;
}

/* --- Merging --- */

static enum err run_in_range(struct vault *vault, struct task *task, const char *sql,
                             const struct segment *segment)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(vault->db, task, sql, &statement));
    db_bind_int(statement, 1, segment->id);
    db_bind_int(statement, 2, segment->first_content_id);
    db_bind_int(statement, 3, segment->last_content_id);
    return db_run(vault->db, task, statement);
}

/* A segment that will have what those in its range have, without what went until now. */
static enum err begin_merge(struct vault *vault, struct task *task, const struct segment *first,
                            const struct segment *last, int64_t level)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    struct segment output = {0, first->first_content_id, last->last_content_id};

    TRY(db_prepare(vault->db, task,
                   "INSERT INTO word_segment(state, level, first_content_id, last_content_id, "
                   "form) VALUES (0, ?1, ?2, ?3, ?4)",
                   &statement));
    db_bind_int(statement, 1, level);
    db_bind_int(statement, 2, output.first_content_id);
    db_bind_int(statement, 3, output.last_content_id);
    db_bind_int(statement, 4, index_form());
    TRY(db_run(vault->db, task, statement));
    output.id = sqlite3_last_insert_rowid(db_handle(vault->db));
    return run_in_range(vault, task,
                        "UPDATE word_gone SET segment_id = ?1 WHERE content_id BETWEEN ?2 AND ?3",
                        &output);
}

/* The inputs give way to the output. */
static enum err end_merge(struct vault *vault, struct task *task, const struct segment *output)
{
    TRY(run_in_range(vault, task,
                     "UPDATE word_segment SET state = 2 WHERE first_content_id >= ?2 "
                     "AND last_content_id <= ?3 AND id <> ?1 AND state = 1",
                     output));
    TRY(run_in_range(vault, task,
                     "UPDATE word_segment SET state = 1 WHERE id = ?1 AND first_content_id = ?2 "
                     "AND last_content_id = ?3",
                     output));
    return run_in_range(vault, task,
                        "DELETE FROM word_gone WHERE content_id BETWEEN ?2 AND ?3 "
                        "AND segment_id = ?1",
                        output);
}

static enum err merge_slice(struct vault *vault, struct task *task, const struct segment *output)
{
    bool is_whole;

    TRY(index_merge(vault, task, output, &is_whole));
    return is_whole ? end_merge(vault, task, output) : ERR_OK;
}

static const struct row *merging(const struct row *rows, size_t count, int64_t level)
{
    for (size_t i = 0; i < count; i++) {
        if (rows[i].state == STATE_MERGING && rows[i].level == level)
            return &rows[i];
    }
    return NULL;
}

/* The work at one level: to go on, or to begin. */
static enum err merge_level(struct vault *vault, struct task *task, const struct row *rows,
                            size_t count, int64_t level, bool *out_did)
{
    const struct row *output = merging(rows, count, level + 1), *first = NULL;
    size_t live = 0;

    if (output != NULL) {
        *out_did = true;
        return merge_slice(vault, task, &output->segment);
    }
    for (size_t i = 0; i < count; i++) {
        if (rows[i].state != STATE_LIVE || rows[i].level != level)
            continue;
        first = first == NULL ? &rows[i] : first;
        if (++live < FAN_IN)
            continue;
        *out_did = true;
        return begin_merge(vault, task, &first->segment, &rows[i].segment, level + 1);
    }
    return ERR_OK;
}

/* A segment much of which went, and that no merge would come to soon, is written anew. */
static enum err renew(struct vault *vault, struct task *task, const struct row *rows, size_t count,
                      bool *out_did)
{
    for (size_t i = 0; i < count && !*out_did; i++) {
        CLEANUP(db_release) sqlite3_stmt *statement = NULL;
        const struct segment *segment = &rows[i].segment;
        int64_t gone;
        bool has_row;

        if (rows[i].state != STATE_LIVE)
            continue;
        TRY(db_prepare(vault->db, task,
                       "SELECT count(*) FROM word_gone WHERE content_id BETWEEN ?1 AND ?2",
                       &statement));
        db_bind_int(statement, 1, segment->first_content_id);
        db_bind_int(statement, 2, segment->last_content_id);
        TRY(db_step(vault->db, task, statement, &has_row));
        gone = db_column_int(statement, 0);
        if (gone < GONE_MIN ||
            gone < (segment->last_content_id - segment->first_content_id + 1) / GONE_PART)
            continue;
        *out_did = true;
        TRY(begin_merge(vault, task, segment, segment, rows[i].level));
    }
    vault->has_words_gone = *out_did;
    return ERR_OK;
}

/* What one dead segment left; `of_other_form`: only such a one. */
static enum err remove_dead(struct vault *vault, struct task *task, const struct row *rows,
                            size_t count, bool of_other_form, bool *out_did)
{
    for (size_t i = 0; i < count && !*out_did; i++) {
        if (rows[i].state != STATE_DEAD || (of_other_form && rows[i].form == index_form()))
            continue;
        *out_did = true;
        TRY(remove_slice(vault, task, rows[i].segment.id));
    }
    return ERR_OK;
}

enum err index_slice(struct vault *vault, struct task *task, bool *out_did)
{
    struct row *rows;
    size_t count;
    int64_t level_max = 0;

    if (vault->has_index_of_other_form) {
        *out_did = true;
        return begin_anew(vault, task);
    }
    TRY(load_rows(vault, task, &rows, &count));
    TRY(remove_dead(vault, task, rows, count, true, out_did));
    if (!*out_did && vault->indexed_content_id + 1 < vault->next_content_id &&
        count <= SEGMENTS_BEFORE_FOLDING)
        TRY(index_fold(vault, task, out_did));
    if (*out_did)
        return ERR_OK;
    for (size_t i = 0; i < count; i++)
        level_max = rows[i].level > level_max ? rows[i].level : level_max;
    TRY(remove_dead(vault, task, rows, count, false, out_did));
    for (int64_t level = -1; level <= level_max && !*out_did; level++)
        TRY(merge_level(vault, task, rows, count, level, out_did));
    if (!*out_did && vault->has_words_gone)
        TRY(renew(vault, task, rows, count, out_did));
    return ERR_OK;
}
