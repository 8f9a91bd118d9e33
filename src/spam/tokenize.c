/*
 * A message as tokens. Words of the texts are folded (message_fold: case, accents, full-width and
 * "mathematical" letters that hide a word are all taken back), invisible characters dropped; scripts
 * without spaces give pairs of characters. Where a word stands tells: a subject's words, the
 * sender's name and the hosts of links are tokens of their own kind.
 *
 * SPAM_TOKEN_FORM counts changes here: counts learned in another form mean other tokens.
 */
#include "spam/link.h"
#include "spam/tokens.h"

#include "base/ascii.h"
#include "base/hash.h"
#include "message/header.h"

#include <glib.h>
#include <stdlib.h>

enum {
    WORD_MIN = 3,
    WORD_MAX = 24,
    ROOM = 8192, /* places of the table of what was seen; a power of two */
    KIND_MAX = 8,
};

/* Fixed for ever: hashes are kept in files. That somebody can make two tokens meet gains him
 * nothing that he could not have by using the other word. */
static const struct hash_key token_key = {{UINT64_C(0x5365616c706f7374), UINT64_C(0x746f6b656e733031)}};

struct tokenizer {
    struct task *task;
    struct spam_tokens *out;
    uint64_t seen[ROOM]; /* 0: free */
};

static void add_hash(struct tokenizer *t, uint64_t hash)
{
    size_t place = (size_t)hash & (ROOM - 1);

    if (hash == 0 || t->out->count == SPAM_TOKENS_MAX)
        return;
    for (; t->seen[place] != 0; place = (place + 1) & (ROOM - 1)) {
        if (t->seen[place] == hash)
            return;
    }
    t->seen[place] = hash;
    t->out->hashes[t->out->count++] = hash;
}

/* `kind` is short and our own: "w", "s", … */
static void add(struct tokenizer *t, struct str kind, struct str word)
{
    char bytes[KIND_MAX + 1 + 256];
    size_t len = 0;

    for (size_t i = 0; i < kind.len && i < KIND_MAX; i++)
        bytes[len++] = kind.ptr[i];
    bytes[len++] = ':';
    for (size_t i = 0; i < word.len && len < sizeof(bytes); i++)
        bytes[len++] = ascii_upper(word.ptr[i]);
    add_hash(t, hash_text(&token_key, str_make(bytes, len)));
}

static void add_number(struct tokenizer *t, struct str kind, size_t number)
{
    char digits[24];
    size_t at = sizeof(digits);

    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    add(t, kind, str_make(digits + at, sizeof(digits) - at));
}

/* 0, 1, 2, 4, 8, …: a size, roughly. */
static size_t magnitude(size_t size)
{
    size_t result = 0;

    while (size > 0) {
        size /= 2;
        result++;
    }
    return result;
}

/* --- Words --- */

struct word {
    char bytes[WORD_MAX * 4];
    size_t len, characters; /* characters may be more than are kept */
    gunichar previous;      /* of a script without spaces; 0: none */
};

static void end_word(struct tokenizer *t, struct str kind, struct word *word)
{
    if (word->characters > WORD_MAX) /* its beginning, and how long it is */
        add_number(t, STR("long"), magnitude(word->characters));
    else if (word->characters >= WORD_MIN)
        add(t, kind, str_make(word->bytes, word->len));
    word->len = word->characters = 0;
}

static bool has_no_spaces(gunichar c)
{
    return (c >= 0x3040 && c <= 0x30ff) || (c >= 0x3400 && c <= 0x9fff) ||
           (c >= 0xac00 && c <= 0xd7a3) || (c >= 0x0e00 && c <= 0x0e7f) ||
           (c >= 0x1100 && c <= 0x11ff) || (c >= 0x20000 && c <= 0x3ffff);
}

static bool is_invisible(gunichar c)
{
    return c == 0xad || (c >= 0x200b && c <= 0x200f) || (c >= 0x202a && c <= 0x202e) ||
           (c >= 0x2060 && c <= 0x2064) || c == 0xfeff || (c >= 0xfe00 && c <= 0xfe0f);
}

static void put_pair(struct tokenizer *t, struct str kind, struct word *word, gunichar c)
{
    char pair[12];
    size_t len;

    end_word(t, kind, word);
    if (word->previous != 0) {
        len = (size_t)g_unichar_to_utf8(word->previous, pair);
        len += (size_t)g_unichar_to_utf8(c, pair + len);
        add(t, kind, str_make(pair, len));
    }
    word->previous = c;
}

static void put_other(struct tokenizer *t, struct str kind, struct word *word, gunichar c)
{
    GUnicodeType type;

    if (is_invisible(c))
        return;
    if (has_no_spaces(c)) {
        put_pair(t, kind, word, c);
        return;
    }
    word->previous = 0;
    type = g_unichar_type(c);
    if (type == G_UNICODE_NON_SPACING_MARK)
        return; /* an accent that folding took apart */
    if (!g_unichar_isalnum(c)) {
        end_word(t, kind, word);
        return;
    }
    if (word->len + 6 <= sizeof(word->bytes))
        word->len += (size_t)g_unichar_to_utf8(c, word->bytes + word->len);
    word->characters++;
}

/* Currency, shouting and quoting stay in a word: "$1000", "FREE!", "don't". */
static bool is_word_byte(char c)
{
    return ascii_is_alnum(c) || c == '$' || c == '\'' || c == '!' || c == '%' || c == '-';
}

static void add_words(struct tokenizer *t, struct str kind, struct str text)
{
    CLEANUP(buf_free) struct buf folded = {0};
    struct word word = {.len = 0};
    const char *p, *end;

    buf_init(&folded, SIZE_MAX);
    message_fold(text, &folded);
    if (folded.len == 0)
        return;
    p = folded.ptr;
    end = folded.ptr + folded.len;
    while (p < end) {
        if (!ascii_is_8bit(*p)) {
            word.previous = 0;
            if (is_word_byte(*p)) {
                if (word.len < sizeof(word.bytes))
                    word.bytes[word.len++] = *p;
                word.characters++;
            } else {
                end_word(t, kind, &word);
            }
            p++;
        } else {
            gunichar c = g_utf8_get_char_validated(p, end - p);

            if (c == (gunichar)-1 || c == (gunichar)-2) {
                end_word(t, kind, &word);
                p++;
            } else {
                put_other(t, kind, &word, c);
                p = g_utf8_next_char(p);
            }
        }
    }
    end_word(t, kind, &word);
}

/* --- The rest --- */

/* "a.b.example.com": that, and every name above it of two labels or more. */
static void add_host(struct tokenizer *t, struct str kind, struct str host)
{
    host = str_upto(host, 253);
    while (str_index(host, '.') >= 0) {
        add(t, kind, host);
        host = str_from(host, (size_t)str_index(host, '.') + 1);
    }
}

static void add_address(struct tokenizer *t, struct str kind, const struct address_list *list)
{
    for (size_t i = 0; i < list->count && i < 4; i++) {
        const struct address *address = &list->addresses[i];
        struct str whole;

        if (address->kind != ADDRESS_MAILBOX)
            continue;
        whole = arena_printf(&t->task->arena, "%.*s@%.*s",
                             STR_ARG(str_upto(address->mailbox, 100)),
                             STR_ARG(str_upto(address->host, 100)));
        add(t, kind, whole);
        add_host(t, STR("fd"), address->host);
    }
}

static void add_from_name(struct tokenizer *t, const struct address_list *list)
{
    CLEANUP(buf_free) struct buf name = {0};

    if (list->count == 0)
        return;
    buf_init(&name, SIZE_MAX);
    message_header_decode(str_upto(list->addresses[0].name, SPAM_VIEW_FIELD_MAX), &name);
    add_words(t, STR("fn"), buf_str(&name));
}

static void add_fields(struct tokenizer *t, const struct spam_view *view)
{
    static const struct {
        struct str name, kind;
    } fields[] = {
        {STR_INIT("List-Id"), STR_INIT("li")},
        {STR_INIT("User-Agent"), STR_INIT("ua")},
        {STR_INIT("X-Mailer"), STR_INIT("ua")},
        {STR_INIT("Organization"), STR_INIT("or")},
        {STR_INIT("Content-Language"), STR_INIT("la")},
        {STR_INIT("Precedence"), STR_INIT("pr")},
    };

    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        add_words(t, fields[i].kind, spam_view_field(t->task, view, fields[i].name));
}

static void add_part(struct tokenizer *t, const struct message_part *part)
{
    struct str type = arena_printf(&t->task->arena, "%.*s/%.*s", STR_ARG(str_upto(part->type, 40)),
                                   STR_ARG(str_upto(part->subtype, 80)));
    ptrdiff_t dot = str_last_index(part->filename, '.');

    add(t, part->is_attachment ? STR("at") : STR("ty"), type);
    if (part->charset.len > 0)
        add(t, STR("cs"), str_upto(part->charset, 40));
    if (part->filename.len > 0)
        add_words(t, STR("fi"), str_upto(part->filename, 100));
    if (dot >= 0)
        add(t, STR("ex"), str_upto(str_from(part->filename, (size_t)dot), 12));
    if (part->kind == MESSAGE_KIND_LEAF && !str_equal(part->type, STR("text")))
        add_number(t, STR("as"), magnitude((size_t)part->body_len));
}

static void add_structure(struct tokenizer *t, const struct spam_view *view)
{
    size_t text = 0, html = 0;

    for (uint32_t i = 0; i < view->structure->part_count && i < 64; i++)
        add_part(t, &view->structure->parts[i]);
    add_number(t, STR("np"), magnitude(view->structure->part_count));
    for (size_t i = 0; i < view->text_count; i++) {
        html += view->texts[i].is_html;
        text += view->texts[i].text.len;
    }
    add_number(t, STR("tl"), magnitude(text));
    if (html > 0 && html == view->text_count)
        add(t, STR("m"), STR("html-only"));
}

static void add_links(struct tokenizer *t, const struct spam_view *view)
{
    struct spam_link *links;
    size_t count;

    spam_link_find(t->task, view, &links, &count);
    add_number(t, STR("nl"), magnitude(count));
    for (size_t i = 0; i < count; i++) {
        add_host(t, STR("u"), links[i].host);
        if (links[i].is_ip)
            add(t, STR("m"), STR("ip-link"));
    }
}

static int compare_hashes(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

void spam_tokenize_view(struct task *task, const struct spam_view *view, struct spam_tokens *out)
{
    struct tokenizer *t = ARENA_NEW(&task->arena, struct tokenizer);

    t->task = task;
    t->out = out;
    out->count = 0;
    /* What tells most comes first: the texts may be so long that no room is left. */
    add_structure(t, view);
    add_address(t, STR("f"), &view->from);
    add_address(t, STR("rt"), &view->reply_to);
    add_from_name(t, &view->from);
    add_words(t, STR("s"), view->subject);
    add_fields(t, view);
    add_links(t, view);
    for (size_t i = 0; i < view->text_count; i++)
        add_words(t, STR("w"), view->texts[i].text);
    qsort(out->hashes, out->count, sizeof(out->hashes[0]), compare_hashes);
}

void spam_tokenize(struct task *task, struct str message,
                   const struct message_structure *structure, struct spam_tokens *out)
{
    struct spam_view view;

    spam_view_make(task, message, structure, &view);
    spam_tokenize_view(task, &view, out);
}
