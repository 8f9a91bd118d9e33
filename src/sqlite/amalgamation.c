/*
 * SQLite3 Multiple Ciphers as it is, and behind it the functions of row_cursor.h, which are made of
 * ones that the library keeps to itself: what the instructions OpenWrite, SeekGE, Insert and Next
 * do with a cursor. It is one with the library's source, so that another version of it that has
 * them otherwise does not compile.
 */
#include "sqlite3.c"

#include "sqlite/row_cursor.h"

struct row_cursor {
    Table *table;
    BtCursor cursor;
};

/* The schema in memory is that of the file, and no statement would refuse to write. */
static int row_cursor_may_write(sqlite3 *handle)
{
    Btree *btree = handle->aDb[0].pBt;
    u32 cookie = 0;

    if (sqlite3BtreeTxnState(btree) != SQLITE_TXN_WRITE ||
        (handle->flags & (SQLITE_QueryOnly | SQLITE_CorruptRdOnly)) != 0)
        return 0;
    sqlite3BtreeGetMeta(btree, BTREE_SCHEMA_VERSION, &cookie);
    return cookie == (u32)handle->aDb[0].pSchema->schema_cookie;
}

/* Nothing but its rows depends on what is in it. */
static int row_cursor_is_plain(const sqlite3 *handle, const Table *table)
{
    const Schema *temporary = handle->aDb[1].pSchema; /* whose triggers may be of any table */

    if (temporary != NULL && sqliteHashFirst(&temporary->trigHash) != NULL)
        return 0;
    return IsOrdinaryTable(table) && HasRowid(table) && table->pIndex == NULL &&
           table->pCheck == NULL && table->pTrigger == NULL && table->u.tab.pFKey == NULL &&
           (table->tabFlags & TF_HasGenerated) == 0;
}

/* What the connection says of its last error is this one, as behind a statement. */
static int row_cursor_tell(sqlite3 *handle, int code)
{
    if (code != SQLITE_OK)
        sqlite3Error(handle, code);
    return code;
}

int row_cursor_open(sqlite3 *handle, const char *table_name, struct row_cursor **out)
{
    struct row_cursor *row;
    Table *table;
    int code;

    *out = NULL;
    if (!row_cursor_may_write(handle))
        return SQLITE_OK;
    table = sqlite3FindTable(handle, table_name, "main");
    if (table == NULL || !row_cursor_is_plain(handle, table) || handle->xUpdateCallback != NULL)
        return SQLITE_OK;
    row = sqlite3_malloc64(sizeof(*row));
    if (row == NULL)
        return SQLITE_NOMEM;
    row->table = table;
    sqlite3BtreeCursorZero(&row->cursor);
    code = sqlite3BtreeCursor(handle->aDb[0].pBt, table->tnum, BTREE_WRCSR, NULL, &row->cursor);
    if (code != SQLITE_OK) {
        row_cursor_close(&row);
        return row_cursor_tell(handle, code);
    }
    *out = row;
    return SQLITE_OK;
}

void row_cursor_close(struct row_cursor **row)
{
    if (*row == NULL)
        return;
    sqlite3BtreeCloseCursor(&(*row)->cursor);
    sqlite3_free(*row);
    *row = NULL;
}

int row_cursor_column(const struct row_cursor *row, const char *name)
{
    int column = sqlite3ColumnIndex(row->table, name);

    if (column < 0 || column == row->table->iPKey ||
        row->table->aCol[column].affinity != SQLITE_AFF_INTEGER)
        return -1;
    return column; /* as it is stored: none is generated */
}

/* Where the cursor is after a move with this outcome. */
static int row_cursor_arrived(const struct row_cursor *row, int code, bool *out_has_row)
{
    *out_has_row = code == SQLITE_OK;
    return code == SQLITE_DONE ? SQLITE_OK : row_cursor_tell(row->cursor.pBtree->db, code);
}

int row_cursor_seek(struct row_cursor *row, int64_t key, bool *out_has_row)
{
    int place = 0, code = sqlite3BtreeTableMoveto(&row->cursor, key, 0, &place);

    if (code != SQLITE_OK || place >= 0)
        return row_cursor_arrived(row, code, out_has_row);
    if (sqlite3BtreeEof(&row->cursor)) /* the table is empty */
        return row_cursor_arrived(row, SQLITE_DONE, out_has_row);
    return row_cursor_next(row, out_has_row);
}

int row_cursor_next(struct row_cursor *row, bool *out_has_row)
{
    return row_cursor_arrived(row, sqlite3BtreeNext(&row->cursor, 0), out_has_row);
}

int64_t row_cursor_key(struct row_cursor *row)
{
    return sqlite3BtreeIntegerKey(&row->cursor);
}

const unsigned char *row_cursor_record(struct row_cursor *row, uint32_t *out_len)
{
    u32 here = 0;
    const void *record;

    sqlite3BtreeIntegerKey(&row->cursor); /* the cell is looked at */
    record = sqlite3BtreePayloadFetch(&row->cursor, &here);
    if (here != sqlite3BtreePayloadSize(&row->cursor))
        return NULL;
    *out_len = here;
    return record;
}

int row_cursor_replace(struct row_cursor *row, const unsigned char *record, uint32_t len)
{
    BtreePayload payload = {0};

    payload.nKey = sqlite3BtreeIntegerKey(&row->cursor);
    payload.pData = record;
    payload.nData = (int)len;
    row->cursor.pBtree->db->nTotalChange++; /* as sqlite3_total_changes64 has it of a statement */
    return row_cursor_tell(row->cursor.pBtree->db,
                           sqlite3BtreeInsert(&row->cursor, &payload, BTREE_SAVEPOSITION, 0));
}
