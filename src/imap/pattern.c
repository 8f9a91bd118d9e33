#include "imap/pattern.h"

#include "base/ascii.h"
#include "base/macros.h"
#include "imap/utf7.h"
#include "message/message.h"

#include <string.h>

enum { WORD_BITS = 64 };

static void set_bit(uint64_t *words, size_t bit)
{
    words[bit / WORD_BITS] |= UINT64_C(1) << bit % WORD_BITS;
}

static bool has_bit(const uint64_t *words, size_t bit)
{
    return (words[bit / WORD_BITS] >> bit % WORD_BITS & 1) != 0;
}

static bool is_wildcard(char c)
{
    return c == '*' || c == '%';
}

/* A run of wildcards is one: "*" if there is a star in it. */
static struct str join_wildcards(struct task *task, struct str reference, struct str text)
{
    char *joined = arena_alloc(&task->arena, reference.len + text.len + 1, 1);
    size_t len = 0;

    for (size_t i = 0; i < reference.len + text.len; i++) {
        char c = i < reference.len ? reference.ptr[i] : text.ptr[i - reference.len];

        if (is_wildcard(c) && len > 0 && is_wildcard(joined[len - 1])) {
            if (c == '*')
                joined[len - 1] = '*';
        } else {
            joined[len++] = c;
        }
    }
    return str_make(joined, len);
}

/* To the form in which names are kept. False: this is nothing that a name could begin with. */
static bool decode(struct task *task, struct str sent, bool is_utf8, struct str *out)
{
    CLEANUP(buf_free) struct buf plain;
    CLEANUP(buf_free) struct buf composed;

    buf_init(&plain, SIZE_MAX);
    buf_init(&composed, SIZE_MAX);
    if (!is_utf8 && imap_utf7_decode(sent, &plain) != ERR_OK)
        return false;
    message_compose(is_utf8 ? sent : buf_str(&plain), &composed);
    *out = arena_copy(&task->arena, buf_str(&composed));
    return true;
}

void imap_pattern_init(struct imap_pattern *pattern, struct task *task, struct str reference,
                       struct str text, bool is_utf8)
{
    struct str joined = join_wildcards(task, reference, text);
    bool is_decoded = decode(task, joined, is_utf8, &joined);

    *pattern = (struct imap_pattern){.text = joined, .is_encoded = !is_decoded};
    if (joined.len > IMAP_PATTERN_MAX)
        return;
    pattern->words = joined.len / WORD_BITS + 1;
    pattern->after_char = ARENA_ARRAY(&task->arena, uint64_t, 256 * pattern->words);
    pattern->stars = ARENA_ARRAY(&task->arena, uint64_t, pattern->words);
    pattern->percents = ARENA_ARRAY(&task->arena, uint64_t, pattern->words);
    pattern->now = ARENA_ARRAY(&task->arena, uint64_t, pattern->words);
    pattern->next = ARENA_ARRAY(&task->arena, uint64_t, pattern->words);
    for (size_t i = 0; i < joined.len; i++) {
        unsigned char c = (unsigned char)joined.ptr[i];

        if (c == '*')
            set_bit(pattern->stars, i);
        else if (c == '%')
            set_bit(pattern->percents, i);
        else
            set_bit(pattern->after_char + c * pattern->words, i);
    }
}

/* A place before a wildcard is also the place behind it: wildcards match nothing as well. */
static void skip_wildcards(const struct imap_pattern *pattern, uint64_t *places)
{
    uint64_t carry = 0;

    for (size_t i = 0; i < pattern->words; i++) {
        uint64_t waiting = places[i] & (pattern->stars[i] | pattern->percents[i]);

        places[i] |= waiting << 1 | carry;
        carry = waiting >> (WORD_BITS - 1);
    }
}

static void step(const struct imap_pattern *pattern, char c, const uint64_t *from, uint64_t *to)
{
    const uint64_t *after = pattern->after_char + (unsigned char)c * pattern->words;
    uint64_t carry = 0;

    for (size_t i = 0; i < pattern->words; i++) {
        uint64_t moved = from[i] & after[i];

        to[i] = moved << 1 | carry | (from[i] & pattern->stars[i]);
        if (c != '/')
            to[i] |= from[i] & pattern->percents[i];
        carry = moved >> (WORD_BITS - 1);
    }
    skip_wildcards(pattern, to);
}

/* INBOX and what is below it compare without case. */
static size_t inbox_len(struct str name)
{
    struct str inbox = STR("INBOX");

    return str_starts_with(name, inbox) && (name.len == inbox.len || name.ptr[inbox.len] == '/')
               ? inbox.len
               : 0;
}

static bool matches(struct imap_pattern *pattern, struct str name)
{
    size_t any_case = inbox_len(name);

    memset(pattern->now, 0, pattern->words * sizeof(uint64_t));
    set_bit(pattern->now, 0);
    skip_wildcards(pattern, pattern->now);
    for (size_t i = 0; i < name.len; i++) {
        uint64_t *done = pattern->now, any = 0;

        step(pattern, name.ptr[i], pattern->now, pattern->next);
        if (i < any_case) {
            /* The lower-case letter as well. */
            uint64_t carry = 0;
            const uint64_t *after =
                pattern->after_char + (unsigned char)ascii_lower(name.ptr[i]) * pattern->words;

            for (size_t k = 0; k < pattern->words; k++) {
                uint64_t moved = pattern->now[k] & after[k];

                pattern->next[k] |= moved << 1 | carry;
                carry = moved >> (WORD_BITS - 1);
            }
            skip_wildcards(pattern, pattern->next);
        }
        for (size_t k = 0; k < pattern->words; k++)
            any |= pattern->next[k];
        pattern->now = pattern->next;
        pattern->next = done;
        if (any == 0)
            return false;
    }
    return has_bit(pattern->now, pattern->text.len);
}

bool imap_pattern_matches(struct imap_pattern *pattern, struct str name)
{
    CLEANUP(buf_free) struct buf encoded = {0};

    if (pattern->words == 0)
        return false;
    if (!pattern->is_encoded)
        return matches(pattern, name);
    buf_init(&encoded, SIZE_MAX);
    imap_utf7_encode(name, &encoded);
    return matches(pattern, buf_str(&encoded));
}
