/* Cutting a message's text into the terms of the index (words.h), with bounded work. */
#include "vault/words.h"

#include "base/ascii.h"
#include "base/memory.h"
#include "message/header.h"

#include <string.h>

/* --- Characters --- */

enum kind { SEPARATOR, LETTER, SINGLE };

/* In ascending order; a character that is in none is a letter. */
static const struct {
    uint32_t first, last;
    enum kind kind;
} ranges[] = {
    {0x80, 0xa9, SEPARATOR}, /* controls, no-break space, signs */
    {0xab, 0xb4, SEPARATOR},     {0xb6, 0xb9, SEPARATOR},
    {0xbb, 0xbf, SEPARATOR},     {0xd7, 0xd7, SEPARATOR},
    {0xf7, 0xf7, SEPARATOR},     {0x0e00, 0x109f, SINGLE}, /* Thai, Lao, Tibetan, Myanmar */
    {0x1780, 0x17ff, SINGLE},                              /* Khmer */
    {0x2000, 0x200b, SEPARATOR},                           /* blanks */
    {0x200e, 0x2bff, SEPARATOR}, /* punctuation, currencies, arrows, mathematics, symbols */
    {0x2e00, 0x2e7f, SEPARATOR}, /* more punctuation */
    {0x2e80, 0x2fff, SINGLE},    {0x3000, 0x303f, SEPARATOR},
    {0x3040, 0x9fff, SINGLE}, /* Kana, ideographs */
    {0xe000, 0xfaff, SINGLE},    {0xfe10, 0xfe6f, SEPARATOR},
    {0xff00, 0xffef, SINGLE}, /* full and half width */
    {0xfff0, 0xffff, SEPARATOR}, {0x10000, 0x10ffff, SINGLE},
};

static enum kind kind_of_point(uint32_t point)
{
    size_t low = 0, high = ARRAY_LEN(ranges);

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (ranges[middle].last < point)
            low = middle + 1;
        else
            high = middle;
    }
    return low < ARRAY_LEN(ranges) && ranges[low].first <= point ? ranges[low].kind : LETTER;
}

/*
 * The kind of the character at `at`, and its length. A byte that does not begin valid UTF-8 is a
 * separator: a key, which is valid, never reaches over it.
 */
static enum kind kind_at(struct str text, size_t at, size_t *out_len)
{
    unsigned char c = (unsigned char)text.ptr[at];
    size_t len = c < 0x80 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
    uint32_t point = c & (0xffu >> (len + 1));

    *out_len = 1;
    if (len == 1)
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z')
                   ? LETTER
                   : SEPARATOR;
    if (c < 0xc2 || c > 0xf4 || text.len - at < len)
        return SEPARATOR;
    for (size_t i = 1; i < len; i++) {
        unsigned char next = (unsigned char)text.ptr[at + i];

        if ((next & 0xc0) != 0x80)
            return SEPARATOR;
        point = point << 6 | (next & 0x3f);
    }
    if (!str_is_utf8(str_make(text.ptr + at, len)))
        return SEPARATOR;
    *out_len = len;
    return kind_of_point(point);
}

bool words_next(struct str text, size_t *position, struct str *out_word)
{
    size_t at = *position, len, start;
    enum kind kind = SEPARATOR;

    for (; at < text.len; at += len) {
        kind = kind_at(text, at, &len);
        if (kind != SEPARATOR)
            break;
    }
    start = at;
    while (at < text.len) {
        enum kind next = kind_at(text, at, &len);

        if (next != kind)
            break;
        at += len;
        if (kind == SINGLE)
            break;
    }
    *position = at;
    if (at == start)
        return false;
    *out_word = str_make(text.ptr + start, at - start);
    return true;
}

static bool is_joiner(char c)
{
    return c == '.' || c == '-' || c == '_' || c == '@';
}

bool words_next_run(struct str text, size_t *position, struct str *out_run)
{
    size_t at = *position, start = at, len;
    bool has_joiner = false;

    for (; at < text.len; at += len) {
        bool joins = is_joiner(text.ptr[at]);

        len = 1;
        if (joins || kind_at(text, at, &len) == LETTER)
            has_joiner = has_joiner || joins;
        else if (has_joiner)
            break;
        else
            start = at + len;
    }
    *position = at;
    if (!has_joiner)
        return false;
    *out_run = str_make(text.ptr + start, at - start);
    return true;
}

bool words_are_run(struct str text)
{
    size_t position = 0;
    struct str run;

    return words_next_run(text, &position, &run) && run.len == text.len;
}

bool words_has_single(struct str text)
{
    size_t len;

    for (size_t at = 0; at < text.len; at += len) {
        if (kind_at(text, at, &len) == SINGLE)
            return true;
    }
    return false;
}

/* --- Terms --- */

struct cutter {
    words_on_term *on_term;
    void *owner;
    struct buf text, folded; /* own */
    size_t pieces;           /* bytes of them */
    bool is_cut;
};

bool words_are_hex(struct str word)
{
    for (size_t i = 0; i < word.len; i++) {
        char c = word.ptr[i];

        if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f')))
            return false;
    }
    return true;
}

/* The word, or piece of one, behind the place's bytes, which stand in `term` already. */
static void put_term(struct cutter *c, char *term, size_t prefix_len, struct str word)
{
    enum words_place place = (enum words_place)(unsigned char)term[0];

    if ((place == WORDS_BODY || place == WORDS_HEADERS) && words_are_hex(word))
        term[0] = place == WORDS_BODY ? WORDS_BODY_HEX : WORDS_HEADERS_HEX;
    memcpy(term + prefix_len, word.ptr, word.len);
    c->on_term(c->owner, str_make(term, prefix_len + word.len));
    term[0] = (char)place;
}

bool words_place_of_runs(enum words_place place, enum words_place *out)
{
    static const struct {
        enum words_place words, runs;
    } places[] = {
        {WORDS_SUBJECT, WORDS_SUBJECT_RUNS}, {WORDS_FROM, WORDS_FROM_RUNS},
        {WORDS_TO, WORDS_TO_RUNS},           {WORDS_CC, WORDS_CC_RUNS},
        {WORDS_BCC, WORDS_BCC_RUNS},         {WORDS_NAMED, WORDS_NAMED_RUNS},
    };

    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        if (places[i].words != place)
            continue;
        *out = places[i].runs;
        return true;
    }
    return false;
}

struct str words_prefix(enum words_place place, struct str name, char out[static TERM_BYTES_MAX])
{
    size_t len = 0;

    out[len++] = (char)place;
    if (place == WORDS_NAMED || place == WORDS_NAMED_RUNS) {
        for (size_t i = 0; i < name.len && i < WORD_NAME_MAX; i++)
            out[len++] = ascii_lower(name.ptr[i]);
        out[len++] = '\0';
    }
    return str_make(out, len);
}

size_t words_prefix_len(struct str term)
{
    ptrdiff_t end = term.ptr[0] == WORDS_NAMED || term.ptr[0] == WORDS_NAMED_RUNS
                        ? str_index(term, '\0')
                        : 0;

    return (size_t)end + 1;
}

static void put_long(struct cutter *c, char *term, size_t prefix_len, struct str word)
{
    for (size_t start = 0; start == 0 || word.len - start > WORD_PIECE_STEP;
         start += WORD_PIECE_STEP) {
        struct str piece = str_upto(str_from(word, start), WORD_BYTES_MAX);

        c->pieces += piece.len;
        if (c->pieces > WORDS_PIECES_MAX) {
            c->is_cut = true;
            return;
        }
        put_term(c, term, prefix_len, piece);
    }
}

/* Cuts at the limit, before a UTF-8 sequence rather than within it. */
static struct str cut(struct cutter *c, struct str text)
{
    size_t len = WORDS_TEXT_MAX;

    if (text.len <= WORDS_TEXT_MAX)
        return text;
    while (len > 0 && ((unsigned char)text.ptr[len] & 0xc0) == 0x80)
        len--;
    c->is_cut = true;
    return str_upto(text, len);
}

typedef bool next_piece(struct str text, size_t *position, struct str *out);

/* All words, or all runs, of the folded text. */
static void put_pieces(struct cutter *c, enum words_place place, struct str name, next_piece *next)
{
    char term[TERM_BYTES_MAX];
    size_t prefix_len = words_prefix(place, name, term).len, position = 0;
    struct str piece;

    while (next(buf_str(&c->folded), &position, &piece)) {
        if (piece.len > WORD_BYTES_MAX)
            put_long(c, term, prefix_len, piece);
        else
            put_term(c, term, prefix_len, piece);
    }
}

static void put_text(struct cutter *c, enum words_place place, struct str name, struct str text)
{
    enum words_place runs;

    buf_reset(&c->folded);
    message_fold(cut(c, text), &c->folded);
    put_pieces(c, place, name, words_next);
    if (words_place_of_runs(place, &runs))
        put_pieces(c, runs, name, words_next_run);
}

/* --- Texts --- */

/* The header fields of all levels: what message_text puts before the body, without the body. */
static void put_headers(struct cutter *c, const struct words_source *source)
{
    const struct message_structure *structure = source->structure;
    struct message_structure bare = {.part_count = structure->part_count};

    bare.parts = NEW_ARRAY(struct message_part, structure->part_count);
    for (uint32_t i = 0; i < structure->part_count; i++) {
        bare.parts[i] = structure->parts[i];
        bare.parts[i].kind = MESSAGE_KIND_MULTIPART; /* holds no text itself */
        bare.parts[i].filename = STR("");
    }
    buf_reset(&c->text);
    message_text(&bare, source->raw, true, &c->text);
    mem_free(&bare.parts);
    put_text(c, WORDS_HEADERS, STR(""), buf_str(&c->text));
}

/* The message's own fields, each under its name. */
static void put_named(struct cutter *c, const struct words_source *source)
{
    struct str header = {NULL, 0};
    struct header_field field;
    size_t position = 0;

    if (source->structure->part_count > 0)
        header = str_upto(str_from(source->raw, (size_t)source->structure->parts[0].header_start),
                          (size_t)source->structure->parts[0].header_len);
    header = cut(c, header);
    while (header_field_next(header, &position, &field)) {
        char term[TERM_BYTES_MAX];

        if (field.name.len == 0 || field.name.len > WORD_NAME_MAX)
            continue;
        c->on_term(c->owner, words_prefix(WORDS_NAMED, field.name, term));
        buf_reset(&c->text);
        message_header_decode(field.value, &c->text);
        put_text(c, WORDS_NAMED, field.name, buf_str(&c->text));
    }
}

static void put_body(struct cutter *c, const struct words_source *source)
{
    buf_reset(&c->text);
    message_text(source->structure, source->raw, false, &c->text);
    put_text(c, WORDS_BODY, STR(""), buf_str(&c->text));
}

/* Takes from the budget; true when there was too little of it. */
static bool limit(uint64_t *len, uint64_t *budget)
{
    bool is_too_long = *len > *budget;

    *len = is_too_long ? *budget : *len;
    *budget -= *len;
    return is_too_long;
}

bool words_limit(struct message_structure *structure)
{
    uint64_t headers = WORDS_RAW_MAX, text = WORDS_RAW_MAX;
    bool is_cut = false;

    for (uint32_t i = 0; i < structure->part_count; i++) {
        struct message_part *part = &structure->parts[i];

        if (limit(&part->header_len, &headers))
            is_cut = true;
        if (!message_part_holds_text(part))
            part->body_len = 0;
        if (limit(&part->body_len, &text))
            is_cut = true;
    }
    return is_cut;
}

bool words_of(const struct words_source *source, words_on_term *on_term, void *owner)
{
    struct cutter c = {.on_term = on_term, .owner = owner};

    buf_init(&c.text, SIZE_MAX);
    buf_init(&c.folded, SIZE_MAX);
    put_body(&c, source);
    put_headers(&c, source);
    put_named(&c, source);
    put_text(&c, WORDS_SUBJECT, STR(""), source->subject);
    put_text(&c, WORDS_FROM, STR(""), source->from);
    put_text(&c, WORDS_TO, STR(""), source->to);
    put_text(&c, WORDS_CC, STR(""), source->cc);
    put_text(&c, WORDS_BCC, STR(""), source->bcc);
    buf_free(&c.text);
    buf_free(&c.folded);
    return c.is_cut;
}
