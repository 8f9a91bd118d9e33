/* Which content each message of a folder has (folder_contents.h). */
#include "vault/folder_contents.h"

#include "base/buf.h"
#include "base/memory.h"
#include "vault/rows.h"
#include "vault/varint.h"

struct folder_contents {
    int64_t folder_id;
    uint32_t uidvalidity;
    /* For each stretch but the last, varints: UIDs left out before it, how far its first content
     * is from where it would be without a gap (0, -1, 1, -2, … as 0, 1, 2, 3, …), count. */
    struct buf bytes;
    struct folder_contents_stretch before; /* the one that `bytes` ends with */
    struct folder_contents_stretch last;   /* it may grow; a count of 0: none yet */
    size_t count;                          /* of messages */
};

void folder_contents_forget(struct vault *vault)
{
    if (vault->contents == NULL)
        return;
    buf_free(&vault->contents->bytes);
    mem_free(&vault->contents);
}

void folder_contents_rest(struct vault *vault)
{
    if (vault->contents != NULL && vault->contents->bytes.len > CONTENTS_KEPT_MAX)
        folder_contents_forget(vault);
}

bool folder_contents_are_of(const struct vault *vault, int64_t folder_id)
{
    return vault->contents != NULL && vault->contents->folder_id == folder_id;
}

size_t folder_contents_count(const struct vault *vault)
{
    return vault->contents->count;
}

static void put_number(struct buf *out, uint64_t value)
{
    char bytes[VARINT_MAX];

    buf_put(out, str_make(bytes, varint_put(value, bytes)));
}

static void put_last(struct folder_contents *c)
{
    int64_t step = c->last.content_id - (c->before.content_id + c->before.count);

    put_number(&c->bytes, c->last.uid - (c->before.uid + c->before.count));
    put_number(&c->bytes, step < 0 ? (uint64_t)(-step) * 2 - 1 : (uint64_t)step * 2);
    put_number(&c->bytes, c->last.count);
    c->before = c->last;
}

static void add(struct folder_contents *c, uint32_t uid, int64_t content_id)
{
    c->count++;
    if (c->last.count > 0 && uid == c->last.uid + c->last.count &&
        content_id == c->last.content_id + c->last.count) {
        c->last.count++;
        return;
    }
    if (c->last.count > 0)
        put_last(c);
    c->last = (struct folder_contents_stretch){uid, content_id, 1};
}

/* Those behind the last one that is known. */
static enum err read_new(struct vault *vault, struct task *task, struct folder_contents *c)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    uint32_t known = c->last.count == 0 ? 0 : c->last.uid + c->last.count - 1;
    bool has_row;

    if (known == UINT32_MAX)
        return ERR_OK;
    TRY(rows_read(vault, task, ROWS_ALL(", content_id"), c->folder_id,
                  (struct vault_uid_range){known + 1, UINT32_MAX}, &statement));
    for (;;) {
        TRY(db_step(vault->db, task, statement, &has_row));
        if (!has_row)
            return ERR_OK;
        add(c, key_uid(db_column_int(statement, 0)), db_column_int(statement, 1));
    }
}

void folder_contents_begin(struct vault *vault, const struct folder *folder)
{
    folder_contents_forget(vault);
    vault->contents = NEW(struct folder_contents);
    vault->contents->folder_id = folder->id;
    vault->contents->uidvalidity = folder->uidvalidity;
    buf_init(&vault->contents->bytes, SIZE_MAX);
}

void folder_contents_add(struct vault *vault, uint32_t uid, int64_t content_id)
{
    add(vault->contents, uid, content_id);
}

enum err folder_contents_read(struct vault *vault, struct task *task, const struct folder *folder)
{
    enum err err;

    if (vault->contents == NULL || vault->contents->folder_id != folder->id ||
        vault->contents->uidvalidity != folder->uidvalidity)
        folder_contents_begin(vault, folder);
    err = read_new(vault, task, vault->contents);
    if (err != ERR_OK)
        folder_contents_forget(vault);
    return err;
}

bool folder_contents_next(const struct vault *vault, struct folder_contents_walk *walk,
                          struct folder_contents_stretch *out)
{
    const struct folder_contents *c = vault->contents;
    struct str bytes = buf_str(&c->bytes);
    uint64_t gap = 0, step = 0, count = 0;

    if (walk->at > bytes.len || (walk->at == bytes.len && c->last.count == 0))
        return false;
    if (walk->at == bytes.len) {
        walk->at++;
        *out = c->last;
        return true;
    }
    walk->at += varint_get(bytes, walk->at, &gap);
    walk->at += varint_get(bytes, walk->at, &step);
    walk->at += varint_get(bytes, walk->at, &count);
    walk->last.uid += walk->last.count + (uint32_t)gap;
    walk->last.content_id +=
        walk->last.count + ((step & 1) != 0 ? -(int64_t)(step / 2) - 1 : (int64_t)(step / 2));
    walk->last.count = (uint32_t)count;
    *out = walk->last;
    return true;
}
