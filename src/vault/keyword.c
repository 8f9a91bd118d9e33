/*
 * Keywords: each has one bit of message.flags. When all bits are taken and another keyword is
 * wanted, those that no row has lose theirs, all at once, in the transaction that makes the new
 * one; rows that are expunged and not purged yet count, and those kept for their owner
 * (undelete.h). So no row's bit ever gets another meaning, and flags that somebody remembers are
 * right as long as their rows did not change, which all who remember some look at first (MODSEQ).
 * Who has a bit in mind that no row may have yet, or no more, says so:
 * vault_subscriber.keywords_held. Who told a client of the names compares vault_keywords_state.
 *
 * Looking for them reads all rows, so it is put off until then, and done seldom.
 */
#include "vault/message.h"

#include "base/ascii.h"
#include "base/memory.h"
#include "secret/crypt.h"
#include "vault/state.h"

#include <string.h>

/* Between two looks, so that a client that always wants another one costs a hundredth of the time
 * at most. A look at 10,000 rows takes 0.4 ms, at a million 270. */
enum { LOOK_WAIT_MS = 1000, ROWS_PER_WAIT_MS = 20 };

static const uint64_t ALL_KEYWORDS =
    (UINT64_C(1) << VAULT_KEYWORD_END) - (UINT64_C(1) << VAULT_KEYWORD_FIRST);

static unsigned free_bit(const struct vault *vault)
{
    unsigned bit = VAULT_KEYWORD_FIRST;

    while (bit < VAULT_KEYWORD_END && vault->keywords[bit].ptr != NULL)
        bit++;
    return bit;
}

void keyword_note_state(struct vault *vault)
{
    CLEANUP(buf_free) struct buf text;
    unsigned char digest[CRYPT_HASH_BYTES];

    vault->has_keyword_left = free_bit(vault) < VAULT_KEYWORD_END;
    buf_init(&text, SIZE_MAX);
    for (unsigned bit = VAULT_KEYWORD_FIRST; bit < VAULT_KEYWORD_END; bit++)
        if (vault->keywords[bit].ptr != NULL)
            buf_putf(&text, "%u %.*s\n", bit, STR_ARG(vault->keywords[bit]));
    crypt_digest(buf_str(&text), digest);
    memcpy(&vault->keywords_state, digest, sizeof(vault->keywords_state));
}

uint64_t vault_keywords_state(const struct vault *vault)
{
    return vault->keywords_state;
}

/* --- Which can be let go --- */

/* Of `sought`, those that rows of a table have: adds them to *carried. */
static enum err find_in(struct vault *vault, struct task *task, const char *sql, uint64_t sought,
                        uint64_t *carried)
{
    int64_t from = INT64_MIN;

    while ((sought & ~*carried) != 0) {
        CLEANUP(db_release) sqlite3_stmt *statement = NULL;
        bool has_row;

        TRY(db_prepare(vault->db, task, sql, &statement));
        db_bind_int(statement, 1, from);
        db_bind_int(statement, 2, (int64_t)(sought & ~*carried));
        TRY(db_step(vault->db, task, statement, &has_row));
        if (!has_row)
            return ERR_OK;
        from = db_column_int(statement, 0);
        *carried |= (uint64_t)db_column_int(statement, 1);
    }
    return ERR_OK;
}

static bool was_looked(const struct vault *vault, int64_t now_ms)
{
    int64_t rows = (int64_t)(vault->message_count + vault->hidden_count);

    return vault->keywords_looked_ms != 0 && now_ms >= vault->keywords_looked_ms &&
           now_ms - vault->keywords_looked_ms < LOOK_WAIT_MS + rows / ROWS_PER_WAIT_MS;
}

static uint64_t held(const struct vault *vault)
{
    uint64_t bits = 0;

    for (const struct vault_subscriber *s = vault->subscribers; s != NULL; s = s->next)
        bits |= s->keywords_held;
    return bits;
}

static enum err delete_row(struct vault *vault, struct task *task, unsigned bit)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    char *name = (char *)(uintptr_t)vault->keywords[bit].ptr;

    TRY(db_prepare(vault->db, task, "DELETE FROM keyword WHERE bit = ?1", &statement));
    db_bind_int(statement, 1, bit);
    TRY(db_run(vault->db, task, statement));
    mem_free(&name);
    vault->keywords[bit] = str_make(NULL, 0);
    return ERR_OK;
}

/* All of them at once: the next keywords need no look. */
static enum err let_go_unused(struct vault *vault, struct task *task, uint64_t kept)
{
    uint64_t carried = kept | held(vault);

    if (was_looked(vault, task->now_ms) || (ALL_KEYWORDS & ~carried) == 0)
        return fail(task, ERR_LIMIT, "vault: all keywords are taken");
    TRY(find_in(vault, task, "SELECT key, flags FROM message WHERE key > ?1 AND flags & ?2 LIMIT 1",
                ALL_KEYWORDS, &carried));
    TRY(find_in(vault, task, "SELECT id, flags FROM hidden WHERE id > ?1 AND flags & ?2 LIMIT 1",
                ALL_KEYWORDS, &carried));
    vault->keywords_looked_ms = task->now_ms;
    if ((ALL_KEYWORDS & ~carried) == 0)
        return fail(task, ERR_LIMIT, "vault: messages carry all keywords");
    (void)vault_touch(vault);
    for (unsigned bit = VAULT_KEYWORD_FIRST; bit < VAULT_KEYWORD_END; bit++)
        if ((carried >> bit & 1) == 0)
            TRY(delete_row(vault, task, bit));
    return ERR_OK;
}

/* --- Making one --- */

static enum err insert(struct vault *vault, struct task *task, struct str name, uint64_t kept,
                       unsigned *out_bit)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    unsigned bit = free_bit(vault);

    if (bit == VAULT_KEYWORD_END) {
        TRY(let_go_unused(vault, task, kept));
        bit = free_bit(vault);
    }
    (void)vault_touch(vault);
    TRY(db_prepare(vault->db, task, "INSERT INTO keyword VALUES (?1, ?2)", &statement));
    db_bind_int(statement, 1, bit);
    db_bind_text(statement, 2, name);
    TRY(db_run(vault->db, task, statement));
    vault->keywords[bit] = str_make(mem_copy_text(name.ptr, name.len), name.len);
    keyword_note_state(vault);
    *out_bit = bit;
    return ERR_OK;
}

/* flag-keyword = atom (RFC 9051 §9): what stands in parentheses among others, as it is, wherever
 * the name came from (a file, another server). */
static bool is_atom(struct str name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];

        if (ascii_is_control(c) || ascii_is_8bit(c) || str_index(STR("(){ %*\"\\]"), c) >= 0)
            return false;
    }
    return name.len > 0 && name.len <= VAULT_KEYWORD_NAME_MAX;
}

enum err vault_keyword_bit(struct vault *vault, struct task *task, struct str name, bool may_create,
                           uint64_t kept, uint64_t *out_bit)
{
    unsigned new_bit = 0;

    TRY(vault_check(vault, task));
    for (unsigned bit = VAULT_KEYWORD_FIRST; bit < VAULT_KEYWORD_END; bit++) {
        if (vault->keywords[bit].ptr != NULL && str_equal_nocase(vault->keywords[bit], name)) {
            *out_bit = UINT64_C(1) << bit;
            return ERR_OK;
        }
    }
    if (!may_create)
        return fail(task, ERR_NOT_FOUND, "vault: no such keyword");
    if (!is_atom(name))
        return fail(task, ERR_LIMIT, "vault: a keyword's name is no atom, or too long");
    TRY(vault_write_begin(vault, task));
    TRY(vault_write_end(vault, task, insert(vault, task, name, kept, &new_bit), VAULT_DURABLE));
    *out_bit = UINT64_C(1) << new_bit;
    return ERR_OK;
}

struct str vault_keyword_name(const struct vault *vault, unsigned bit_number)
{
    if (bit_number >= ARRAY_LEN(vault->keywords))
        return STR("");
    return vault->keywords[bit_number];
}

uint64_t vault_keywords(const struct vault *vault)
{
    uint64_t bits = 0;

    for (unsigned bit = VAULT_KEYWORD_FIRST; bit < VAULT_KEYWORD_END; bit++) {
        if (vault->keywords[bit].ptr != NULL)
            bits |= UINT64_C(1) << bit;
    }
    return bits;
}

bool vault_keywords_can_grow(const struct vault *vault, int64_t now_ms)
{
    return vault->has_keyword_left || !was_looked(vault, now_ms);
}
