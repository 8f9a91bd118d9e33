#include "vault/plain_scan.h"

#include "message/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static uint64_t random_state = 88172645463325252u;

uint32_t plain_scan_below(uint32_t bound)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 33) % bound;
}

static bool contains(struct str text, struct str folded_key)
{
    struct buf folded;
    bool is_there;

    buf_init(&folded, SIZE_MAX);
    message_fold(text, &folded);
    is_there = str_find(buf_str(&folded), folded_key) >= 0;
    buf_free(&folded);
    return is_there;
}

static bool header_contains(struct str raw, const struct message_structure *structure,
                            struct str name, struct str folded_key)
{
    struct str value, header = str_upto(raw, (size_t)structure->parts[0].header_len);
    bool is_there = false;
    size_t position = 0;

    while (!is_there && message_header_next(header, name, &position, &value)) {
        struct buf decoded;

        buf_init(&decoded, SIZE_MAX);
        message_header_decode(value, &decoded);
        is_there = contains(buf_str(&decoded), folded_key);
        buf_free(&decoded);
    }
    return is_there;
}

static bool matches(struct str raw, const struct message_summary *summary,
                    enum vault_search_field field, struct str name, struct str folded_key)
{
    struct buf text;
    bool is_there = false;

    switch (field) {
    case VAULT_SEARCH_SUBJECT:
        return contains(summary->subject, folded_key);
    case VAULT_SEARCH_FROM:
        return contains(summary->from, folded_key);
    case VAULT_SEARCH_TO:
        return contains(summary->to, folded_key);
    case VAULT_SEARCH_CC:
        return contains(summary->cc, folded_key);
    case VAULT_SEARCH_BCC:
        return contains(summary->bcc, folded_key);
    case VAULT_SEARCH_HEADER:
        return header_contains(raw, &summary->structure, name, folded_key);
    case VAULT_SEARCH_TEXT:
    case VAULT_SEARCH_BODY:
        buf_init(&text, SIZE_MAX);
        message_text(&summary->structure, raw, field == VAULT_SEARCH_TEXT, &text);
        is_there = contains(buf_str(&text), folded_key);
        buf_free(&text);
    }
    return is_there;
}

static bool is_among(const uint32_t *uids, size_t count, uint32_t uid)
{
    for (size_t i = 0; i < count; i++) {
        if (uids[i] == uid)
            return true;
    }
    return false;
}

/* Some of them. */
static size_t choose_some(const struct vault_uid_flags *messages, size_t count, uint32_t *out)
{
    size_t chosen = 0;
    uint32_t stretch = 1 + plain_scan_below(8);

    for (size_t i = 0; i < count; i++)
        if (plain_scan_below(stretch) == 0)
            out[chosen++] = messages[i].uid;
    return chosen;
}

size_t plain_scan_compare(struct fixture *f, int64_t folder_id, enum vault_search_field field,
                          struct str name, struct str key)
{
    struct vault_uid_flags *messages;
    struct vault_candidates found;
    struct buf folded;
    size_t count, asked_count = 0, matching = 0;
    uint32_t *asked = NULL;

    buf_init(&folded, SIZE_MAX);
    message_fold(key, &folded);
    assert_int_equal(vault_message_list(f->vault, &f->task, folder_id, &messages, &count), ERR_OK);
    if (plain_scan_below(2) == 0) {
        asked = ARENA_ARRAY(&f->task.arena, uint32_t, count + 1);
        asked_count = choose_some(messages, count, asked);
    }
    assert_int_equal(vault_search_candidates(f->vault, &f->task, folder_id, field, name, key, asked,
                                             asked_count, &found),
                     ERR_OK);
    for (size_t i = 0; i < count; i++) {
        uint32_t uid = messages[i].uid;
        struct message_summary summary;
        struct task task;
        struct str raw = fixture_read(f, folder_id, uid);
        bool has, is_found = is_among(found.uids, found.count, uid);
        bool is_asked = asked == NULL || is_among(asked, asked_count, uid);

        task_init(&task, f->task.now_ms);
        message_parse(&task, raw, &summary);
        has = matches(raw, &summary, field, name, buf_str(&folded));
        task_done(&task);
        matching += has;
        if ((has && is_asked && !is_found) || (is_found && !is_asked) ||
            (found.is_exact && is_asked && has != is_found &&
             !is_among(found.open_uids, found.open_count, uid)))
            fail_msg("field %d <%.*s> key <%.*s> in <%.*s>: %d %d %d", field, STR_ARG(name),
                     STR_ARG(buf_str(&folded)), STR_ARG(raw), has, is_asked, is_found);
    }
    buf_free(&folded);
    return matching;
}
