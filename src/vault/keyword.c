/* Keywords: each has one bit of message.flags, for as long as the mailbox lives. */
#include "vault/message.h"

#include "base/ascii.h"
#include "base/memory.h"
#include "vault/state.h"

static enum err insert(struct vault *vault, struct task *task, struct str name, unsigned bit)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    (void)vault_touch(vault);
    TRY(db_prepare(vault->db, task, "INSERT INTO keyword VALUES (?1, ?2)", &statement));
    db_bind_int(statement, 1, bit);
    db_bind_text(statement, 2, name);
    TRY(db_run(vault->db, task, statement));
    vault->keywords[bit] = str_make(mem_copy_text(name.ptr, name.len), name.len);
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
                           uint64_t *out_bit)
{
    unsigned free_bit = VAULT_KEYWORD_END;

    TRY(vault_check(vault, task));
    for (unsigned bit = VAULT_KEYWORD_FIRST; bit < VAULT_KEYWORD_END; bit++) {
        if (vault->keywords[bit].ptr == NULL) {
            if (free_bit == VAULT_KEYWORD_END)
                free_bit = bit;
        } else if (str_equal_nocase(vault->keywords[bit], name)) {
            *out_bit = UINT64_C(1) << bit;
            return ERR_OK;
        }
    }
    if (!may_create)
        return fail(task, ERR_NOT_FOUND, "vault: no such keyword");
    if (!is_atom(name))
        return fail(task, ERR_LIMIT, "vault: a keyword's name is no atom, or too long");
    if (free_bit == VAULT_KEYWORD_END)
        return fail(task, ERR_LIMIT, "vault: all keywords are taken");
    TRY(vault_write_begin(vault, task));
    TRY(vault_write_end(vault, task, insert(vault, task, name, free_bit), VAULT_DURABLE));
    *out_bit = UINT64_C(1) << free_bit;
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

bool vault_keywords_can_grow(const struct vault *vault)
{
    for (unsigned bit = VAULT_KEYWORD_FIRST; bit < VAULT_KEYWORD_END; bit++) {
        if (vault->keywords[bit].ptr == NULL)
            return true;
    }
    return false;
}
