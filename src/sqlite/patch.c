/*
 * A record (SQLite's "Database File Format", 2.1): the length of its header, in the header a type
 * for each value, then the values. Headers and types of one byte are all that is dealt with here;
 * they are what a row of integers and short texts has, and a changed integer's type has one byte,
 * too, so the header keeps its length. An integer keeps its width where it fits: then the row keeps
 * its length and is overwritten in its place, where SQLite would take it out of the page and put it
 * in again, since a 0 and a 1 are shorter than a 4.
 */
#include "sqlite/patch.h"

#include "base/memory.h"
#include "sqlite/row_cursor.h"

#include <string.h>

enum {
    ONE_BYTE_END = 0x80, /* a number below it is a varint of one byte */
    TYPE_INT8 = 1, /* 1 … 6: integers of 8, 16, 24, 32, 48 and 64 bits, the highest byte first */
    TYPE_INT64 = 6,
    TYPE_REAL = 7,
    TYPE_ZERO = 8, /* the integers 0 and 1, with no bytes */
    TYPE_ONE = 9,
    TYPE_BYTES = 12, /* and above: blobs and texts */
};

struct db_patch {
    struct db *db;             /* borrowed */
    struct row_cursor *row;    /* own */
    struct db_patch_plan plan; /* names are borrowed by the opening only */
    struct db_patch_positions positions;
    unsigned char record[DB_PATCH_RECORD_MAX + DB_PATCH_GROWTH_MAX];
};

/* ---- One record ---- */

static bool is_integer(unsigned type)
{
    return (type >= TYPE_INT8 && type <= TYPE_INT64) || type == TYPE_ZERO || type == TYPE_ONE;
}

static size_t size_of(unsigned type)
{
    static const unsigned char sizes[TYPE_BYTES] = {0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0};

    return type < TYPE_BYTES ? sizes[type] : (type - TYPE_BYTES) / 2;
}

static int64_t integer_at(const unsigned char *bytes, unsigned type)
{
    size_t size = size_of(type);
    uint64_t value = size > 0 && bytes[0] >= 0x80 ? UINT64_MAX : 0;

    if (size == 0)
        return type == TYPE_ONE;
    for (size_t i = 0; i < size; i++)
        value = value << 8 | bytes[i];
    return (int64_t)value;
}

static bool fits(int64_t value, unsigned type)
{
    size_t bits = size_of(type) * 8;

    if (type == TYPE_ZERO || type == TYPE_ONE)
        return value == (type == TYPE_ONE);
    return bits == 64 || (value >= -(INT64_C(1) << (bits - 1)) && value < INT64_C(1) << (bits - 1));
}

/* As it was, or else as SQLite would have it. */
static unsigned type_for(int64_t value, unsigned was)
{
    unsigned type = TYPE_INT8;

    if (fits(value, was))
        return was;
    if (value == 0 || value == 1)
        return value == 0 ? TYPE_ZERO : TYPE_ONE;
    while (!fits(value, type))
        type++;
    return type;
}

static size_t put_integer(unsigned char *out, int64_t value, unsigned type)
{
    size_t size = size_of(type);
    uint64_t rest = (uint64_t)value;

    for (size_t i = size; i-- > 0; rest >>= 8)
        out[i] = (unsigned char)rest;
    return size;
}

bool db_patch_record(const struct db_patch_plan *plan, const struct db_patch_positions *positions,
                     const unsigned char *record, size_t len,
                     unsigned char out[static DB_PATCH_RECORD_MAX + DB_PATCH_GROWTH_MAX],
                     size_t *out_len, bool *out_has_changed)
{
    size_t from, to, changed = 0;
    unsigned type = 0;

    if (len == 0 || len > DB_PATCH_RECORD_MAX || record[0] >= ONE_BYTE_END || record[0] > len ||
        record[0] < positions->if_zero + 2)
        return false;
    from = to = record[0];
    memcpy(out, record, len); /* what comes behind an integer of another width moves once more */
    for (size_t i = 0;; i++) {
        size_t size;

        type = record[i + 1];
        size = size_of(type);
        if (type >= ONE_BYTE_END || size > len - from)
            return false;
        if (i == positions->if_zero)
            break;
        if (changed < DB_PATCH_COLUMNS && i == positions->columns[changed]) {
            const struct db_patch_column *column = &plan->columns[changed++];
            int64_t value;

            if (!is_integer(type))
                return false;
            value =
                (int64_t)(((uint64_t)integer_at(record + from, type) & column->keep) | column->set);
            type = type_for(value, type);
            out[i + 1] = (unsigned char)type;
            to += put_integer(out + to, value, type);
        } else {
            if (to != from)
                memcpy(out + to, record + from, size);
            to += size;
        }
        from += size;
    }
    if (!is_integer(type))
        return false;
    *out_has_changed = integer_at(record + from, type) == 0;
    if (to != from)
        memcpy(out + to, record + from, len - from);
    *out_len = to + (len - from);
    return true;
}

/* ---- Rows ---- */

static bool find_columns(struct db_patch *patch)
{
    int if_zero = row_cursor_column(patch->row, patch->plan.if_zero), last = -1;

    for (size_t i = 0; i < DB_PATCH_COLUMNS; i++) {
        int column = row_cursor_column(patch->row, patch->plan.columns[i].name);

        if (column <= last)
            return false;
        last = column;
        patch->positions.columns[i] = (size_t)column;
    }
    if (if_zero <= last)
        return false;
    patch->positions.if_zero = (size_t)if_zero;
    return true;
}

enum err db_patch_open(struct db *db, struct task *task, const struct db_patch_plan *plan,
                       struct db_patch **out_patch)
{
    CLEANUP(db_patch_close) struct db_patch *patch = NEW(struct db_patch);
    int code = row_cursor_open(db_handle(db), plan->table, &patch->row);

    *out_patch = NULL;
    if (code != SQLITE_OK)
        return db_fail(db, task, code, "database: rows");
    patch->db = db;
    patch->plan = *plan;
    if (patch->row == NULL || !find_columns(patch))
        return ERR_OK;
    *out_patch = patch;
    patch = NULL;
    return ERR_OK;
}

/* SQLite's code. */
static int patch_row(struct db_patch *patch, uint64_t *count, bool *out_is_done)
{
    bool has_changed = false;
    uint32_t len = 0;
    const unsigned char *record = row_cursor_record(patch->row, &len);
    size_t patched_len = 0;

    *out_is_done = record != NULL && db_patch_record(&patch->plan, &patch->positions, record, len,
                                                     patch->record, &patched_len, &has_changed);
    if (!*out_is_done || !has_changed)
        return SQLITE_OK;
    ++*count;
    return row_cursor_replace(patch->row, patch->record, (uint32_t)patched_len);
}

enum err db_patch_rows(struct db_patch *patch, struct task *task, int64_t first, int64_t last,
                       uint64_t *out_count, bool *out_is_done)
{
    bool has_row = false, is_done = true;
    uint64_t count = 0;
    int code = row_cursor_seek(patch->row, first, &has_row);

    while (code == SQLITE_OK && has_row && row_cursor_key(patch->row) <= last) {
        code = patch_row(patch, &count, &is_done);
        if (code != SQLITE_OK || !is_done)
            break;
        code = row_cursor_next(patch->row, &has_row);
    }
    if (code != SQLITE_OK)
        return db_fail(patch->db, task, code, "database: rows");
    *out_count = count;
    *out_is_done = is_done;
    return ERR_OK;
}

void db_patch_close(struct db_patch **patch)
{
    if (*patch == NULL)
        return;
    row_cursor_close(&(*patch)->row);
    mem_free(patch);
}
