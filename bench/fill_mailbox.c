/*
 * Not a test: SEARCH and SORT on one large mailbox, in the vault itself.
 *
 *   fill_mailbox FOLDER fill [MESSAGES]   a new mailbox in FOLDER, which must be empty
 *   fill_mailbox FOLDER index             what the index lacks, as after a kill
 *   fill_mailbox FOLDER search            every kind of key, as the file lies in the system's cache
 *   fill_mailbox FOLDER one FIELD KEY     one key, once (for a cold file)
 *
 * The messages: words by Zipf's law from a vocabulary of 300,000, and now and then one that occurs
 * nowhere else (numbers, identifiers), as mail has; some 10 KB each; a quarter with HTML, one in
 * ten with an attachment, in four charsets.
 */
#include "vault/change.h"
#include "vault/content.h"
#include "vault/index.h"
#include "vault/search.h"
#include "vault/sort.h"
#include "vault/vault.h"

#include "base/clock.h"
#include "base/memory.h"
#include "message/message.h"
#include "secret/crypt.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { VOCABULARY = 300000, IN_BATCH = 200, LONG_SLICE_MS = 30 };

static const char mailbox_id[] = "0123456789abcdef01234567";

static uint64_t random_state = 88172645463325252u;

static uint64_t cheap_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state >> 11;
}

/* A rank by Zipf's law (the inverse of the harmonic numbers, nearly). */
static uint32_t zipf(void)
{
    double u = (double)(cheap_random() & 0xffffff) / 0x1000000;

    return (uint32_t)(exp(u * log(VOCABULARY)) - 1);
}

/* The word of a rank: syllables, and endings that many words share. */
static void put_word(struct buf *out, uint32_t rank)
{
    static const char *const syllables[] = {"ba",  "ce",  "di",  "fo",  "gu",  "ha",  "je",  "ki",
                                            "lo",  "mu",  "na",  "pe",  "qui", "ro",  "su",  "ta",
                                            "ve",  "wi",  "xo",  "zu",  "sta", "pre", "tri", "con",
                                            "der", "ein", "ver", "ing", "er"};
    static const char *const endings[] = {"",    "",   "s",    "tion", "ing", "ment",
                                          "ed",  "er", "ness", "able", "ly",  "en",
                                          "ung", "t",  "e",    "ation"};
    uint32_t left = rank + 1;

    while (left > 0) {
        buf_put(out, str_from_c(syllables[left % ARRAY_LEN(syllables)]));
        left /= ARRAY_LEN(syllables);
    }
    buf_put(out, str_from_c(endings[rank * 2654435761u >> 28]));
}

static void put_text(struct buf *out, size_t bytes, const char *accent, bool is_html)
{
    size_t end = out->len + bytes;

    for (unsigned i = 1; out->len < end; i++) {
        put_word(out, zipf());
        if (i % 17 == 0 && accent != NULL)
            buf_put(out, str_from_c(accent));
        if (i % 60 == 0)
            buf_putf(out, " %08" PRIx64, cheap_random() & 0xffffffff);
        if (i % 11 == 0)
            buf_put(out, is_html ? STR("</p>\r\n<p style=\"margin:0 0 4px\">") : STR(".\r\n"));
        else
            buf_put(out, i % 7 == 0 ? STR(", ") : STR(" "));
    }
    buf_put(out, STR("\r\n"));
}

static void put_base64(struct buf *out, size_t lines)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t line = 0; line < lines; line++) {
        for (int i = 0; i < 76; i++)
            buf_put(out, str_make(&digits[cheap_random() % 64], 1));
        buf_put(out, STR("\r\n"));
    }
}

static void put_header(struct buf *out, unsigned number, int64_t sent_ms)
{
    char date[CLOCK_RFC5322_ROOM];
    uint64_t person = cheap_random() % 3000, other = cheap_random() % 3000;

    clock_format_rfc5322(sent_ms, date);
    buf_putf(out,
             "Received: from mx%u.example.org (mx%u.example.org [192.0.2.%u])\r\n"
             "\tby mail.example.com with ESMTPS id %016" PRIx64 "\r\n"
             "\tfor <somebody@example.com>; %s\r\n"
             "Message-ID: <%016" PRIx64 ".%u@example.org>\r\nDate: %s\r\n",
             number % 7, number % 7, number % 250, cheap_random(), date, cheap_random(), number,
             date);
    buf_put(out, STR("From: "));
    put_word(out, (uint32_t)person);
    buf_put(out, STR(" "));
    put_word(out, (uint32_t)person * 7);
    buf_putf(out, " <person%u@", (unsigned)person);
    put_word(out, (uint32_t)person % 400);
    buf_putf(out, ".example>\r\nTo: Some Body <somebody@example.com>, person%u@example.net\r\n",
             (unsigned)other);
    if (number % 3 == 0)
        buf_putf(out, "Cc: list%u@lists.example.org\r\n", number % 40);
    buf_put(out, number % 4 == 0 ? STR("Subject: Re:") : STR("Subject:"));
    for (int i = 0; i < 5; i++) {
        buf_put(out, STR(" "));
        put_word(out, zipf());
    }
    buf_put(out, STR("\r\nMIME-Version: 1.0\r\nX-Mailer: Bench 1.0\r\n"));
}

static void make_message(struct buf *out, unsigned number, int64_t sent_ms)
{
    size_t bytes = 2000 + cheap_random() % 13000;

    buf_reset(out);
    put_header(out, number, sent_ms);
    if (number % 10 == 0) {
        buf_put(out, STR("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
                         "Content-Type: text/plain; charset=utf-8\r\n\r\n"));
        put_text(out, bytes / 2, "\xc3\xa9", false);
        buf_putf(out,
                 "--b\r\nContent-Type: application/pdf; name=\"report%u.pdf\"\r\n"
                 "Content-Disposition: attachment; filename=\"report%u.pdf\"\r\n"
                 "Content-Transfer-Encoding: base64\r\n\r\n",
                 number, number);
        put_base64(out, 90);
        buf_put(out, STR("--b--\r\n"));
    } else if (number % 4 == 1) {
        buf_put(out, STR("Content-Type: text/html; charset=iso-8859-1\r\n\r\n<html><body><p>"));
        put_text(out, bytes, "\xe9", true);
        buf_put(out, STR("</body></html>\r\n"));
    } else if (number % 16 == 2) {
        buf_put(out, STR("Content-Type: text/plain; charset=windows-1251\r\n\r\n"));
        put_text(out, bytes, "\xe6\xe8", false);
    } else if (number % 16 == 6) {
        buf_put(out, STR("Content-Type: text/plain; charset=utf-8\r\n\r\n"));
        put_text(out, bytes, " \xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e ", false);
    } else {
        buf_put(out, STR("Content-Type: text/plain; charset=us-ascii\r\n\r\n"));
        put_text(out, bytes, NULL, false);
    }
    if (number % 1000 == 7)
        buf_put(out, STR("an extraordinary unobtainium phrase of mine\r\n"));
}

static void must(enum err err, const struct task *task)
{
    if (err != ERR_OK) {
        fprintf(stderr, "%s: %s\n", err_name(err), task->words);
        exit(1);
    }
}

static double ms_since(int64_t start_us)
{
    return (double)(clock_monotonic_us() - start_us) / 1e3;
}

static double cpu_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static int64_t ask(struct vault *vault, struct task *task, const char *sql)
{
    CLEANUP(db_release) sqlite3_stmt *statement = NULL;
    bool has_row;

    must(db_prepare(vault->db, task, sql, &statement), task);
    must(db_step(vault->db, task, statement, &has_row), task);
    return db_column_int(statement, 0);
}

static void fill(struct vault *vault, int64_t folder_id, unsigned count)
{
    struct buf raw;
    uint64_t bytes = 0;
    double cpu = cpu_ms();
    int64_t start_us = clock_monotonic_us();
    struct task task;

    buf_init(&raw, SIZE_MAX);
    for (unsigned i = 0; i < count;) {
        task_init(&task, clock_now_ms());
        must(vault_batch_begin(vault, &task), &task);
        for (unsigned k = 0; k < IN_BATCH && i < count; k++, i++) {
            struct vault_append append = {.flags = i % 3 == 0 ? VAULT_FLAG_SEEN : 0};
            uint32_t uid;

            /* Over three years. */
            append.internal_date_ms = INT64_C(1700000000000) + (int64_t)i * 950000;
            make_message(&raw, i, append.internal_date_ms - 60000);
            append.raw = buf_str(&raw);
            bytes += raw.len;
            must(vault_message_append(vault, &task, folder_id, &append, &uid), &task);
        }
        must(vault_batch_end(vault, &task), &task);
        task_done(&task);
    }
    printf("append: %u messages, %.1f MB, %.1f s, %.0f us of processor time each\n", count,
           (double)bytes / 1e6, ms_since(start_us) / 1e3, (cpu_ms() - cpu) * 1e3 / count);
    buf_free(&raw);
}

/* Also of a mailbox whose index was lost, or not finished. */
static void index_all(struct vault *vault)
{
    int64_t start_us = clock_monotonic_us();
    struct vault_usage usage;
    double cpu = cpu_ms(), longest = 0;
    size_t slices = 0, long_slices = 0;
    bool has_more = true;
    struct task task;

    vault_usage(vault, &usage);
    while (has_more) {
        double before = cpu_ms(), took;

        task_init(&task, clock_now_ms());
        must(vault_housekeeping(vault, &task, &has_more), &task);
        task_done(&task);
        took = cpu_ms() - before;
        slices++;
        if (took > longest)
            longest = took;
        long_slices += took > LONG_SLICE_MS;
    }
    printf("index: %zu slices, %.1f s, %.0f us of processor time a message\n", slices,
           ms_since(start_us) / 1e3, (cpu_ms() - cpu) * 1e3 / (double)usage.messages);
    printf("index: the longest slice took %.1f ms of processor time, %zu more than %d\n", longest,
           long_slices, LONG_SLICE_MS);
    task_init(&task, clock_now_ms());
    printf("index: terms %.1f MB, postings %.1f MB, %" PRId64 " segments: %.1f %% of the mail\n",
           (double)ask(vault, &task, "SELECT sum(length(bytes)) FROM word_terms") / 1e6,
           (double)ask(vault, &task, "SELECT sum(length(bytes)) FROM word_postings") / 1e6,
           ask(vault, &task, "SELECT count(*) FROM word_segment"),
           (double)(ask(vault, &task, "SELECT sum(length(bytes)) FROM word_terms") +
                    ask(vault, &task, "SELECT sum(length(bytes)) FROM word_postings")) *
               100 / (double)usage.bytes);
    task_done(&task);
}

struct search {
    const char *what;
    enum vault_search_field field;
    const char *name, *key;
};

static void search(struct vault *vault, int64_t folder_id, const struct search *row)
{
    struct vault_candidates found;
    int64_t start_us = clock_monotonic_us();
    double cpu = cpu_ms();
    struct task task;

    task_init(&task, clock_now_ms());
    must(vault_search_candidates(vault, &task, folder_id, row->field, str_from_c(row->name),
                                 str_from_c(row->key), NULL, 0, &found),
         &task);
    printf("%-44s %8.1f ms, cpu %8.1f ms, %7zu found, %7zu of them to be confirmed\n", row->what,
           ms_since(start_us), cpu_ms() - cpu, found.count,
           found.is_exact ? found.open_count : found.count);
    task_done(&task);
}

static void scan(struct vault *vault, int64_t folder_id, unsigned columns, const char *what)
{
    struct vault_cursor *cursor;
    struct vault_message message;
    int64_t start_us = clock_monotonic_us();
    double cpu = cpu_ms();
    size_t count = 0;
    struct task task;
    bool has_row;

    task_init(&task, clock_now_ms());
    must(vault_cursor_open(vault, &task, folder_id, 1, UINT32_MAX, columns, true, &cursor), &task);
    for (;;) {
        must(vault_cursor_next(cursor, &task, &message, &has_row), &task);
        if (!has_row)
            break;
        count++;
    }
    vault_cursor_close(&cursor);
    printf("%-44s %8.1f ms, cpu %8.1f ms, %7zu rows\n", what, ms_since(start_us), cpu_ms() - cpu,
           count);
    task_done(&task);
}

static bool count_key(void *owner, const struct vault_sort_key *key)
{
    size_t *count = owner;

    (void)key;
    return ++*count < 20000;
}

static void sort_keys(struct vault *vault, int64_t folder_id, unsigned fields, const char *what)
{
    int64_t start_us = clock_monotonic_us();
    double cpu = cpu_ms();
    struct task task;
    size_t count = 0;
    bool is_end;

    task_init(&task, clock_now_ms());
    must(
        vault_sort_keys(vault, &task, folder_id, 1, UINT32_MAX, fields, count_key, &count, &is_end),
        &task);
    printf("%-44s %8.1f ms, cpu %8.1f ms, %7zu keys\n", what, ms_since(start_us), cpu_ms() - cpu,
           count);
    task_done(&task);
}

static void search_all(struct vault *vault, int64_t folder_id)
{
    static const struct search rows[] = {
        {"TEXT, a common word", VAULT_SEARCH_TEXT, "", "ce"},
        {"TEXT, a letter", VAULT_SEARCH_TEXT, "", "e"},
        {"TEXT, a common part of words", VAULT_SEARCH_TEXT, "", "tion"},
        {"TEXT, a rare word", VAULT_SEARCH_TEXT, "", "unobtainium"},
        {"TEXT, a part of a rare word", VAULT_SEARCH_TEXT, "", "obtainiu"},
        {"TEXT, absent", VAULT_SEARCH_TEXT, "", "yyyyyy"},
        {"BODY, a common part", VAULT_SEARCH_BODY, "", "ver"},
        {"BODY, a rare word", VAULT_SEARCH_BODY, "", "unobtainium"},
        {"BODY, not ASCII", VAULT_SEARCH_BODY, "", "\xe6\x97\xa5"},
        {"BODY, a common phrase", VAULT_SEARCH_BODY, "", "ce ba"},
        {"BODY, a rare phrase", VAULT_SEARCH_BODY, "", "extraordinary unobtainium phrase"},
        {"SUBJECT, a common word", VAULT_SEARCH_SUBJECT, "", "di"},
        {"SUBJECT, a part", VAULT_SEARCH_SUBJECT, "", "ation"},
        {"FROM, a name", VAULT_SEARCH_FROM, "", "person77"},
        {"FROM, in every message", VAULT_SEARCH_FROM, "", "example"},
        {"TO, in every message", VAULT_SEARCH_TO, "", "somebody"},
        {"CC, one in three", VAULT_SEARCH_CC, "", "lists"},
        {"HEADER X-Mailer, in every message", VAULT_SEARCH_HEADER, "X-Mailer", "bench"},
        {"HEADER Message-ID, a part", VAULT_SEARCH_HEADER, "Message-ID", "abc"},
        {"HEADER Cc, that there is one", VAULT_SEARCH_HEADER, "Cc", ""},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        search(vault, folder_id, &rows[i]);
    scan(vault, folder_id, VAULT_COLUMN_FLAGS, "rows: flags");
    scan(vault, folder_id, VAULT_COLUMN_DATES, "rows: dates");
    scan(vault, folder_id, VAULT_COLUMN_SENT, "rows: sent day");
    scan(vault, folder_id, VAULT_COLUMN_SIZE, "rows: size");
    sort_keys(vault, folder_id, 0xff, "sort keys, all, of 20,000");
    sort_keys(vault, folder_id, VAULT_SORT_ARRIVAL | VAULT_SORT_SIZE,
              "sort keys, arrival and size, of 20,000");
}

static void search_one(struct vault *vault, int64_t folder_id, const char *field, const char *key)
{
    static const struct {
        const char *word;
        enum vault_search_field field;
    } fields[] = {{"TEXT", VAULT_SEARCH_TEXT},
                  {"BODY", VAULT_SEARCH_BODY},
                  {"SUBJECT", VAULT_SEARCH_SUBJECT},
                  {"FROM", VAULT_SEARCH_FROM}};

    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        if (strcmp(fields[i].word, field) == 0) {
            struct search row = {key, fields[i].field, "", key};

            search(vault, folder_id, &row);
        }
    }
}

int main(int argc, char **argv)
{
    struct log log = {.level = LOG_LEVEL_WARNING, .fd = 2, .role = "bench"};
    unsigned char salt[MAILBOX_SALT_BYTES] = {1};
    struct vault_options options = {.limit_bytes = UINT64_MAX, .log = &log};
    struct vault_folder inbox;
    struct vault *vault = NULL;
    int64_t start_us;
    struct secret *key;
    struct task task;

    if (argc < 3)
        return 1;
    secret_init();
    message_init_library();
    db_init_library();
    task_init(&task, clock_now_ms());
    options.folder = argv[1];
    if (!id_parse(str_from_c(mailbox_id), &options.id))
        return 1;
    key = crypt_mailbox_key(STR("password"), salt);
    start_us = clock_monotonic_us();
    if (strcmp(argv[2], "fill") == 0)
        must(vault_create(&task, &options, key, &vault), &task);
    else
        must(vault_open(&task, &options, key, &vault), &task);
    printf("open: %.1f ms\n", ms_since(start_us));
    must(vault_folder_find(vault, &task, STR("INBOX"), &inbox), &task);
    if (strcmp(argv[2], "fill") == 0)
        fill(vault, inbox.id, argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 100000);
    if (strcmp(argv[2], "fill") == 0 || strcmp(argv[2], "index") == 0)
        index_all(vault);
    else if (strcmp(argv[2], "one") == 0 && argc > 4)
        search_one(vault, inbox.id, argv[3], argv[4]);
    else if (strcmp(argv[2], "search") == 0)
        search_all(vault, inbox.id);
    vault_close(&vault);
    secret_free(&key);
    task_done(&task);
    return 0;
}
