/*
 * First the schema, then the pages: SQLite's own look would bring what is no table of ours to life.
 * Then the numbers that the code of this folder takes for granted, since it made them itself.
 */
#include "vault/foreign.h"

#include "vault/schema.h"
#include "vault/state.h"

static enum err ask(struct db *db, struct task *task, const char *sql, bool *out_has_row,
                    struct str *out_text)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;

    TRY(db_prepare(db, task, sql, &statement));
    TRY(db_step(db, task, statement, out_has_row));
    if (*out_has_row && out_text != NULL)
        *out_text = arena_copy(&task->arena, db_column_text(statement, 0));
    return ERR_OK;
}

static enum err check_pages(struct db *db, struct task *task)
{
    struct str words = STR("");
    bool has_row;

    TRY(ask(db, task, "PRAGMA quick_check(1)", &has_row, &words));
    if (!has_row || !str_equal(words, STR("ok")))
        return fail(task, ERR_CORRUPT, "the file is damaged");
    return ERR_OK;
}

/* Keys are made by shifting; layouts are calculated with. */
static enum err check_numbers(struct db *db, struct task *task)
{
    static const struct {
        const char *sql; /* a row where it is wrong */
        const char *words;
    } rules[] = {
        {"SELECT 1 FROM folder LIMIT 1 OFFSET 20000", "it has too many folders"},
        {"SELECT 1 FROM folder WHERE id NOT BETWEEN 1 AND 2147483647 OR special_use NOT BETWEEN 0 "
         "AND "
         "7 OR uidvalidity NOT BETWEEN 1 AND 4294967295 OR uidnext NOT BETWEEN 1 AND 4294967295 "
         "LIMIT 1",
         "a folder has impossible numbers"},
        {"SELECT 1 FROM message WHERE content_id NOT BETWEEN 1 AND 549755813887 OR size_bytes NOT "
         "BETWEEN 0 AND 1099511627776 LIMIT 1",
         "a message has impossible numbers"},
        {"SELECT 1 FROM part WHERE start NOT BETWEEN 0 AND 1099511627776 OR length NOT BETWEEN 0 "
         "AND "
         "1099511627776 OR attachment_id NOT BETWEEN 1 AND 549755813887 OR line_length NOT BETWEEN "
         "0 AND 4096 OR line_length % 4 <> 0 LIMIT 1",
         "a message's part has impossible numbers"},
        {"SELECT 1 FROM attachment WHERE size_bytes NOT BETWEEN 0 AND 1099511627776 LIMIT 1",
         "an attachment has an impossible size"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
        bool is_wrong;

        TRY(ask(db, task, rules[i].sql, &is_wrong, NULL));
        if (is_wrong)
            return fail(task, ERR_CORRUPT, "%s", rules[i].words);
    }
    return ERR_OK;
}

enum err vault_foreign(struct task *task, struct db **db, struct id *out_id,
                       struct vault **out_vault)
{
    const struct vault_options options = {.folder = ""};
    CLEANUP(vault_close) struct vault *vault = vault_new(&options);
    struct str id = STR("");
    bool has_row;

    vault->db = *db;
    *db = NULL;
    TRY(check_pages(vault->db, task));
    TRY(check_numbers(vault->db, task));
    TRY(ask(vault->db, task, "SELECT mailbox_id FROM mailbox", &has_row, &id));
    if (!has_row || !id_parse(id, &vault->id))
        return fail(task, ERR_CORRUPT, "it does not say which mailbox it is");
    TRY(vault_state_load_mail(vault, task));
    *out_id = vault->id;
    *out_vault = vault;
    vault = NULL;
    return ERR_OK;
}

enum err vault_open_foreign(struct task *task, int fd, const struct secret *key, struct id *out_id,
                            struct vault **out_vault)
{
    CLEANUP(db_close) struct db *db = NULL;
    size_t version = 0;

    TRY(db_open_foreign(task, fd, key, &db));
    TRY(db_check_schema(db, task, vault_schema, vault_schema_count, &version));
    return vault_foreign(task, &db, out_id, out_vault);
}
