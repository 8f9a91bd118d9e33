#include "imap/search_return.h"

#include "imap/engine.h"
#include "imap/write.h"

#include <stdlib.h>

enum { LIST_STRETCH = 256 };

/* ---- The options ---- */

static const struct {
    struct str name;
    unsigned option;
} OPTIONS[] = {
    {STR_INIT("MIN"), IMAP_RETURN_MIN},
    {STR_INIT("MAX"), IMAP_RETURN_MAX},
    {STR_INIT("ALL"), IMAP_RETURN_ALL},
    {STR_INIT("COUNT"), IMAP_RETURN_COUNT},
    {STR_INIT("PARTIAL"), IMAP_RETURN_PARTIAL},
    {STR_INIT("SAVE"), IMAP_RETURN_SAVE},
    {STR_INIT("RELEVANCY"), IMAP_RETURN_RELEVANCY},
};

static enum err parse_option(struct imap_parser *parser, unsigned *out_option)
{
    for (size_t i = 0; i < ARRAY_LEN(OPTIONS); i++) {
        if (!imap_take_word(parser, OPTIONS[i].name))
            continue;
        *out_option = OPTIONS[i].option;
        return ERR_OK;
    }
    return imap_expected(parser, "MIN, MAX, ALL, COUNT, PARTIAL, SAVE or RELEVANCY");
}

enum err imap_search_return_parse(struct imap_parser *parser, struct imap_search_return *out)
{
    unsigned option = 0;

    if (!imap_take_word(parser, STR("RETURN")))
        return ERR_OK;
    out->is_extended = true;
    TRY(imap_parse_space(parser));
    TRY(imap_parse_byte(parser, '('));
    while (!imap_take(parser, ')')) {
        if (out->options != 0)
            TRY(imap_parse_space(parser));
        TRY(parse_option(parser, &option));
        if (option == IMAP_RETURN_PARTIAL) {
            if (out->options & IMAP_RETURN_PARTIAL)
                return imap_expected(parser, "one PARTIAL only");
            TRY(imap_parse_space(parser));
            TRY(imap_parse_partial(parser, &out->first, &out->last));
        }
        out->options |= option;
    }
    /* "Either one PARTIAL, one ALL, or neither" (RFC 9394 §3.1). */
    if ((out->options & IMAP_RETURN_PARTIAL) && (out->options & IMAP_RETURN_ALL))
        return imap_expected(parser, "PARTIAL or ALL, not both");
    /* "()" is ALL (RFC 4731 §3.1). */
    if (out->options == 0)
        out->options = IMAP_RETURN_ALL;
    return imap_parse_space(parser);
}

/* ---- The answer ---- */

static uint32_t name_of(const struct imap_search_result *result, bool is_uid, size_t i)
{
    uint32_t index = result->found[i];

    return is_uid ? result->view->uids[index] : index + 1;
}

static void partial_of(const struct imap_search_return *wanted, size_t count, size_t *out_start,
                       size_t *out_end)
{
    imap_partial_range(wanted->first, wanted->last, count, out_start, out_end);
}

static void write_names(struct imap_session *s, const struct imap_search_result *result,
                        bool is_uid, size_t start, size_t end)
{
    struct imap_set_writer writer = {0};

    for (size_t i = start; i < end; i++)
        imap_set_writer_put(&writer, &s->out, name_of(result, is_uid, i));
    imap_set_writer_end(&writer, &s->out);
}

static void write_modseq(struct imap_session *s, const struct imap_search_return *wanted,
                         const struct imap_search_result *result)
{
    unsigned whole = IMAP_RETURN_ALL | IMAP_RETURN_COUNT | IMAP_RETURN_PARTIAL;
    uint64_t highest = 0;

    /* Of MIN and MAX alone, only theirs (RFC 4731 §3.2). */
    for (size_t i = 0; i < result->count; i++) {
        bool is_told = (wanted->options & whole) != 0 ||
                       ((wanted->options & IMAP_RETURN_MIN) && i == 0) ||
                       ((wanted->options & IMAP_RETURN_MAX) && i + 1 == result->count);

        if (is_told && result->modseqs[i] > highest)
            highest = result->modseqs[i];
    }
    if (highest == 0)
        return;
    buf_put(&s->out, STR(" MODSEQ "));
    imap_write_number(&s->out, highest);
}

/* score-list = "(" [score *(SP score)] ")" (RFC 6203 §7): of ALL's messages, or of PARTIAL's */
static void write_scores(struct imap_session *s, const struct imap_search_return *wanted,
                         const struct imap_search_result *result)
{
    size_t start = 0, end = result->count;

    if (wanted->options & IMAP_RETURN_PARTIAL)
        partial_of(wanted, result->count, &start, &end);
    buf_put(&s->out, STR(" RELEVANCY ("));
    for (size_t i = start; i < end; i++) {
        if (i > start)
            buf_put(&s->out, STR(" "));
        imap_write_number(&s->out, result->scores[i]);
    }
    buf_put(&s->out, STR(")"));
}

/* search-return-data = "MIN" SP nz-number / … (RFC 4731 §4, RFC 9394 §4) */
static void write_data(struct imap_session *s, const struct imap_search_return *wanted,
                       const struct imap_search_result *result, bool is_uid)
{
    size_t start, end;

    if ((wanted->options & IMAP_RETURN_MIN) && result->count > 0) {
        buf_put(&s->out, STR(" MIN "));
        imap_write_number(&s->out, name_of(result, is_uid, 0));
    }
    if ((wanted->options & IMAP_RETURN_MAX) && result->count > 0) {
        buf_put(&s->out, STR(" MAX "));
        imap_write_number(&s->out, name_of(result, is_uid, result->count - 1));
    }
    if (wanted->options & IMAP_RETURN_COUNT) {
        buf_put(&s->out, STR(" COUNT "));
        imap_write_number(&s->out, result->count);
    }
    if ((wanted->options & IMAP_RETURN_ALL) && result->count > 0) {
        buf_put(&s->out, STR(" ALL "));
        write_names(s, result, is_uid, 0, result->count);
    }
    if (wanted->options & IMAP_RETURN_PARTIAL) {
        partial_of(wanted, result->count, &start, &end);
        buf_putf(&s->out, " PARTIAL (%lld:%lld ", (long long)wanted->first,
                 (long long)wanted->last);
        if (start == end)
            buf_put(&s->out, STR("NIL"));
        else
            write_names(s, result, is_uid, start, end);
        buf_put(&s->out, STR(")"));
    }
    if ((wanted->options & IMAP_RETURN_RELEVANCY) && result->count > 0)
        write_scores(s, wanted, result);
    if (result->modseqs != NULL)
        write_modseq(s, wanted, result);
}

/* esearch-response = "ESEARCH" [search-correlator] [SP "UID"] *(SP search-return-data) */
static void write_extended(struct imap_session *s, const struct imap_search_return *wanted,
                           const struct imap_search_result *result)
{
    bool is_uid = imap_is_by_uid(s) || result->mailbox.len > 0;
    struct imap_search_return all = {.options = IMAP_RETURN_ALL};

    if (!wanted->is_extended)
        wanted = &all;
    buf_put(&s->out, STR("* ESEARCH (TAG "));
    imap_write_string(&s->out, s->tag);
    if (result->mailbox.len > 0) {
        buf_put(&s->out, STR(" MAILBOX "));
        imap_write_mailbox(&s->out, result->mailbox, imap_names_are_utf8(s));
        buf_put(&s->out, STR(" UIDVALIDITY "));
        imap_write_number(&s->out, result->uidvalidity);
    }
    buf_put(&s->out, STR(")"));
    if (is_uid)
        buf_put(&s->out, STR(" UID"));
    write_data(s, wanted, result, is_uid);
    buf_put(&s->out, STR("\r\n"));
}

/* 1*(SP nz-number): a list may be as long as the mailbox, so it is written in stretches. */
static void write_list(struct imap_session *s, const struct imap_search_result *result)
{
    bool is_uid = imap_is_by_uid(s);
    size_t i = 0;

    while (i < result->count) {
        size_t end = result->count - i < LIST_STRETCH ? result->count : i + LIST_STRETCH;
        char *room, *at;

        if (buf_reserve(&s->out, (end - i) * (1 + IMAP_DIGITS_MAX), &room) != ERR_OK)
            abort();
        for (at = room; i < end; i++) {
            *at++ = ' ';
            at = imap_write_digits(at, name_of(result, is_uid, i));
        }
        buf_commit(&s->out, (size_t)(at - room));
    }
}

/* mailbox-data =/ "SEARCH" [1*(SP nz-number) SP search-sort-mod-seq] (RFC 7162 §7) */
static void write_plain(struct imap_session *s, const struct imap_search_result *result)
{
    uint64_t highest = 0;

    buf_put(&s->out, STR("* "));
    buf_put(&s->out, result->is_search ? STR("SEARCH") : STR("SORT"));
    write_list(s, result);
    for (size_t i = 0; result->modseqs != NULL && i < result->count; i++)
        if (result->modseqs[i] > highest)
            highest = result->modseqs[i];
    if (highest > 0) {
        buf_put(&s->out, STR(" (MODSEQ "));
        imap_write_number(&s->out, highest);
        buf_put(&s->out, STR(")"));
    }
    buf_put(&s->out, STR("\r\n"));
}

void imap_search_write_result(struct imap_session *s, const struct imap_search_return *wanted,
                              const struct imap_search_result *result)
{
    /* "There is no ESEARCH if SAVE is the only option" (RFC 5182 §2.1). */
    if (wanted->is_extended && wanted->options == IMAP_RETURN_SAVE)
        return;
    if (wanted->is_extended || (imap_has(s, IMAP_EXT_REV2) && result->is_search))
        write_extended(s, wanted, result);
    else
        write_plain(s, result);
}

/* ---- SAVE ---- */

static int compare_indexes(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

    return left < right ? -1 : left > right;
}

/*
 * What "$" holds (RFC 5182 §2.4, RFC 9394 §3.4): with ALL, COUNT or SAVE alone everything, else
 * what MIN, MAX and PARTIAL named.
 */
static size_t choose(const struct imap_search_return *wanted,
                     const struct imap_search_result *result, uint32_t *out)
{
    unsigned parts = IMAP_RETURN_MIN | IMAP_RETURN_MAX | IMAP_RETURN_PARTIAL;
    bool is_everything = (wanted->options & (IMAP_RETURN_ALL | IMAP_RETURN_COUNT)) != 0 ||
                         (wanted->options & parts) == 0;
    size_t start = 0, end = 0, count = 0;

    if (wanted->options & IMAP_RETURN_PARTIAL)
        partial_of(wanted, result->count, &start, &end);
    for (size_t i = 0; i < result->count; i++)
        if (is_everything || (i >= start && i < end) ||
            ((wanted->options & IMAP_RETURN_MIN) && i == 0) ||
            ((wanted->options & IMAP_RETURN_MAX) && i + 1 == result->count))
            out[count++] = result->found[i];
    return count;
}

enum err imap_search_save(struct imap_session *s, struct task *task,
                          const struct imap_search_return *wanted,
                          const struct imap_search_result *result)
{
    uint32_t *chosen;
    size_t count;

    if ((wanted->options & IMAP_RETURN_SAVE) == 0)
        return ERR_OK;
    chosen = ARENA_ARRAY(&task->arena, uint32_t, result->count);
    count = choose(wanted, result, chosen);
    if (count > 1)
        qsort(chosen, count, sizeof(*chosen), compare_indexes);
    if (!imap_view_save(&s->view, chosen, count))
        return imap_refuse(s, task, IMAP_REFUSAL_NOT_SAVED);
    return ERR_OK;
}
