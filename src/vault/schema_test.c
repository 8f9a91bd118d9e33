/*
 * A mailbox file of the first version, with mail in it, opened by this program: nothing is lost,
 * and what the later versions know of a message is made for the old ones too.
 *
 * The old file is made of a new one by taking back in SQL what 0002 and later did; whether it is
 * one is asked of db_migrate, which compares it with 0001.sql.
 */
#include "vault/fixture.h"

#include "vault/identity.h"
#include "vault/maildrop.h"
#include "vault/schema.h"
#include "vault/sort.h"
#include "vault/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const char take_back_sql[] =
    "ALTER TABLE content DROP COLUMN has_utf8_header;"
    "DROP TABLE sort_progress; DROP TABLE sort_key;"
    "ALTER TABLE mailbox DROP COLUMN hidden_count; ALTER TABLE mailbox DROP COLUMN hidden_bytes;"
    "DROP TABLE former_folder; DROP TABLE hidden;"
    "DROP TABLE spam_waiting; DROP TABLE spam_learned; DROP TABLE spam_total; DROP TABLE spam_token;"
    "DROP TABLE given_uidl;"
    "ALTER TABLE message DROP COLUMN line_end_octets;"
    "DROP TABLE former_name; ALTER TABLE folder DROP COLUMN incarnation; DROP TABLE preview; DROP TABLE thread_reference; DROP TABLE identity; DROP TABLE metadata;"
    "ALTER TABLE message DROP COLUMN sent_day;"
    "DROP TABLE word_gone; DROP TABLE word_postings; DROP TABLE word_terms;"
    "DROP TABLE word_segment;"
    "DELETE FROM unindexed;"
    /* As in 0001.sql, with words in them as the first version wrote them. */
    "CREATE VIRTUAL TABLE body_words USING fts5(body, content='', contentless_delete=1, "
    "detail=none, tokenize='unicode61 remove_diacritics 0');"
    "CREATE VIRTUAL TABLE header_words USING fts5(subject, sender, recipient, cc, bcc, headers, "
    "content='', contentless_delete=1, detail=column, tokenize='unicode61 remove_diacritics 0');"
    "CREATE VIRTUAL TABLE body_vocabulary USING fts5vocab(body_words, 'row');"
    "CREATE VIRTUAL TABLE header_vocabulary USING fts5vocab(header_words, 'col');"
    "INSERT INTO body_words(body_words, rank) VALUES ('pgsz', 3980), ('automerge', 0), "
    "('crisismerge', 32);"
    "INSERT INTO header_words(header_words, rank) VALUES ('pgsz', 3980), ('automerge', 0), "
    "('crisismerge', 32);"
    "INSERT INTO body_words(rowid, body) SELECT id, 'The text of ' || subject FROM content;"
    "INSERT INTO header_words(rowid, subject, sender, recipient, cc, bcc, headers) "
    "SELECT id, subject, sender, recipient, cc, bcc, subject FROM content;"
    "INSERT INTO unindexed SELECT max(id) FROM content;"
    "PRAGMA user_version = 1; PRAGMA application_id = 0";

static void make_old(struct fixture *f)
{
    fixture_execute(f, take_back_sql);
    if (db_migrate(f->vault->db, &f->task, vault_schema, 1) != ERR_OK)
        fail_msg("this is no file of the first version: %s", f->task.words);
    vault_close(&f->vault);
    if (vault_open(&f->task, &f->options, f->key, &f->vault) != ERR_OK)
        fail_msg("open: %s", f->task.words);
}

enum { MESSAGES = 34 };

/* Every tenth has an attachment, every third a line that ends in LF alone. */
static struct str message(struct fixture *f, int i)
{
    struct arena *arena = &f->task.arena;
    struct str references = i < 4 ? STR("") : arena_printf(arena, "References: <m%d@x>\r\n", i % 4);
    struct str text = arena_printf(
        arena,
        "From: Ann <ann%d@example.org>\r\nSubject: Re: subject%d\r\nMessage-ID: <m%d@x>\r\n"
        "%.*sDate: Sun, %d Nov 2026 05:00:00 +0100\r\n\r\nThe word%dx.%s",
        i, i % 4, i, STR_ARG(references), 1 + i % 9, i, i % 3 == 0 ? "\n" : "\r\n");
    char *large;

    if (i % 10 != 0)
        return text;
    large = arena_alloc(arena, text.len + 100000, 1);
    memcpy(large, text.ptr, text.len);
    for (size_t k = 0; k < 100000; k++)
        large[text.len + k] = k % 70 == 69 ? '\n' : (char)('a' + (k * (size_t)(i + 1)) % 26);
    return str_make(large, text.len + 100000);
}

/* What the index says: found, or possible as long as it does not know better. */
static size_t found(struct fixture *f, enum vault_search_field field, struct str needle,
                    size_t possible)
{
    struct vault_candidates candidates;

    assert_int_equal(vault_search_candidates(f->vault, &f->task, f->inbox, field,
                                             (struct str){NULL, 0}, needle, NULL, 0, &candidates),
                     ERR_OK);
    assert_true(candidates.is_exact);
    assert_int_equal(candidates.open_count, possible);
    return candidates.count - possible;
}

static void check_messages(struct fixture *f, struct str *raw)
{
    for (int i = 0; i < MESSAGES; i++)
        if (i != 7)
            assert_true(str_equal(fixture_read(f, f->inbox, (uint32_t)i + 1), raw[i]));
    assert_true(str_equal(fixture_read(f, f->archive, 1), raw[10]));
}

static uint64_t octets_of(struct str raw)
{
    uint64_t octets = raw.len;

    for (size_t i = 0; i < raw.len; i++)
        octets += raw.ptr[i] == '\n' && (i == 0 || raw.ptr[i - 1] != '\r');
    return octets + (raw.ptr[raw.len - 1] == '\n' ? 0 : 2);
}

static void check_sizes(struct fixture *f, struct str *raw)
{
    struct vault_maildrop_message *drop;
    size_t count;

    assert_int_equal(vault_maildrop_list(f->vault, &f->task, f->inbox, &drop, &count), ERR_OK);
    assert_int_equal(count, MESSAGES - 1);
    for (size_t i = 0; i < count; i++) {
        assert_true(drop[i].octets == VAULT_OCTETS_UNKNOWN); /* for POP3 to count, once */
        assert_int_equal(drop[i].size_bytes, raw[drop[i].uid - 1].len);
        drop[i].octets = octets_of(raw[drop[i].uid - 1]);
    }
    assert_int_equal(vault_maildrop_note_octets(f->vault, &f->task, f->inbox, drop, count), ERR_OK);
    assert_int_equal(vault_maildrop_list(f->vault, &f->task, f->inbox, &drop, &count), ERR_OK);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(drop[i].octets, octets_of(raw[drop[i].uid - 1]));
}

static void test_first_version(void **state)
{
    struct fixture *f = *state;
    struct str raw[MESSAGES];
    uint32_t uid = 11, *sources, *copies, gone = 8, *expunged;
    size_t count;
    bool is_ready = false;

    for (int i = 0; i < MESSAGES; i++) {
        raw[i] = message(f, i);
        fixture_append(f, f->inbox, raw[i], i % 2 == 0 ? VAULT_FLAG_SEEN : 0);
    }
    assert_int_equal(vault_message_copy(f->vault, &f->task, f->inbox, f->archive, &uid, 1, false,
                                        &sources, &copies, &count),
                     ERR_OK);
    /* One waits to be purged. */
    assert_int_equal(vault_message_store(f->vault, &f->task, f->inbox, &gone, 1, VAULT_STORE_ADD,
                                         VAULT_FLAG_DELETED, UINT64_MAX, &copies, &count, &sources,
                                         &count),
                     ERR_OK);
    assert_int_equal(
        vault_message_expunge(f->vault, &f->task, f->inbox, NULL, 0, &expunged, &count), ERR_OK);
    make_old(f);
    fixture_check(f);
    check_messages(f, raw);
    check_sizes(f, raw);
    fixture_append(f, f->inbox, fixture_message(f, "word3x"), 0);
    /* Nothing is indexed yet: all are candidates, with the one that is to be purged. */
    assert_int_equal(found(f, VAULT_SEARCH_BODY, STR("ord3x"), MESSAGES + 1), 0);
    fixture_housekeep(f, 10 * 24 * 3600 * INT64_C(1000));
    assert_int_equal(found(f, VAULT_SEARCH_BODY, STR("ord3x"), 0), 2);
    assert_int_equal(found(f, VAULT_SEARCH_BODY, STR("word7x"), 0), 0); /* expunged */
    assert_int_equal(found(f, VAULT_SEARCH_FROM, STR("ann21"), 0), 1);
    assert_int_equal(found(f, VAULT_SEARCH_SUBJECT, STR("subject1"), 0), MESSAGES / 4 + 1);
    while (!is_ready)
        assert_int_equal(vault_identity_prepare(f->vault, &f->task, &is_ready), ERR_OK);
    assert_int_equal(fixture_ask(f, "SELECT count(DISTINCT thread_id) FROM identity"), 5);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM content"), MESSAGES);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM preview"), MESSAGES);
    assert_int_equal(fixture_ask(f, "SELECT count(*) FROM sort_key"), MESSAGES);
    fixture_check(f);
    fixture_reopen(f);
    check_messages(f, raw);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_first_version, fixture_set_up, fixture_tear_down),
    };

    fixture_init_libraries();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
