#include "imap/command.h"

#include "base/ascii.h"
#include "base/buf.h"
#include "imap/write.h"

static const struct {
    struct str name;
    unsigned items;
} ITEMS[] = {
    {STR_INIT("UID"), IMAP_FETCH_UID},
    {STR_INIT("FLAGS"), IMAP_FETCH_FLAGS},
    {STR_INIT("INTERNALDATE"), IMAP_FETCH_INTERNALDATE},
    {STR_INIT("RFC822.SIZE"), IMAP_FETCH_SIZE},
    {STR_INIT("ENVELOPE"), IMAP_FETCH_ENVELOPE},
    {STR_INIT("BODYSTRUCTURE"), IMAP_FETCH_BODYSTRUCTURE},
    {STR_INIT("MODSEQ"), IMAP_FETCH_MODSEQ},
    {STR_INIT("EMAILID"), IMAP_FETCH_EMAILID},
    {STR_INIT("THREADID"), IMAP_FETCH_THREADID},
    {STR_INIT("SAVEDATE"), IMAP_FETCH_SAVEDATE},
};

enum {
    FAST = IMAP_FETCH_FLAGS | IMAP_FETCH_INTERNALDATE | IMAP_FETCH_SIZE,
    ALL = FAST | IMAP_FETCH_ENVELOPE,
    FULL = ALL | IMAP_FETCH_BODY,
};

static const struct {
    struct str name;
    unsigned items;
} MACROS[] = {
    {STR_INIT("ALL"), ALL},
    {STR_INIT("FAST"), FAST},
    {STR_INIT("FULL"), FULL},
};

static const struct {
    struct str name;
    enum message_section kind;
    bool sets_seen;
} OLD_SECTIONS[] = {
    {STR_INIT("RFC822.HEADER"), MESSAGE_SECTION_HEADER, false},
    {STR_INIT("RFC822.TEXT"), MESSAGE_SECTION_TEXT, true},
    {STR_INIT("RFC822"), MESSAGE_SECTION_ALL, true},
};

/* header-list = "(" header-fld-name *(SP header-fld-name) ")" */
static enum err parse_fields(struct imap_parser *parser, struct imap_section *section)
{
    size_t room = 0;

    TRY(imap_parse_space(parser));
    TRY(imap_parse_byte(parser, '('));
    do {
        if (section->field_count == room)
            section->fields = arena_grow(&parser->task->arena, section->fields, &room, 8,
                                         sizeof(*section->fields));
        if (section->field_count == IMAP_LIST_ITEMS_MAX)
            return imap_expected(parser, "fewer header fields");
        TRY(imap_parse_astring(parser, &section->fields[section->field_count++]));
    } while (imap_take(parser, ' '));
    return imap_parse_byte(parser, ')');
}

/* section-part = nz-number *("." nz-number); stops before a word */
static enum err parse_path(struct imap_parser *parser, struct imap_section *section)
{
    section->path = ARENA_ARRAY(&parser->task->arena, uint32_t, IMAP_SECTION_DEPTH_MAX);
    while (parser->rest.len > 0 && ascii_is_digit(parser->rest.ptr[0])) {
        uint32_t number;

        TRY(imap_parse_number(parser, &number));
        if (number == 0)
            return imap_expected(parser, "part numbers from 1");
        if (section->path_len == IMAP_SECTION_DEPTH_MAX)
            return imap_expected(parser, "fewer levels of parts");
        section->path[section->path_len++] = number;
        if (imap_at(parser, ']'))
            return ERR_OK;
        TRY(imap_parse_byte(parser, '.'));
        if (imap_at(parser, ']'))
            return imap_expected(parser, "more behind the dot");
    }
    return ERR_OK;
}

/* section = "[" [section-msgtext / (section-part ["." section-text])] "]" */
static enum err parse_section(struct imap_parser *parser, struct imap_section *section)
{
    TRY(imap_parse_byte(parser, '['));
    TRY(parse_path(parser, section));
    if (imap_take(parser, ']')) {
        section->kind = MESSAGE_SECTION_ALL;
        return ERR_OK;
    }
    if (imap_take_word(parser, STR("HEADER.FIELDS.NOT"))) {
        section->kind = MESSAGE_SECTION_HEADER;
        section->is_not = true;
        TRY(parse_fields(parser, section));
    } else if (imap_take_word(parser, STR("HEADER.FIELDS"))) {
        section->kind = MESSAGE_SECTION_HEADER;
        TRY(parse_fields(parser, section));
    } else if (imap_take_word(parser, STR("HEADER"))) {
        section->kind = MESSAGE_SECTION_HEADER;
    } else if (imap_take_word(parser, STR("TEXT"))) {
        section->kind = MESSAGE_SECTION_TEXT;
    } else if (section->path_len > 0 && imap_take_word(parser, STR("MIME"))) {
        section->kind = MESSAGE_SECTION_MIME;
    } else {
        return imap_expected(parser, "a section");
    }
    return imap_parse_byte(parser, ']');
}

/* "<" number64 "." nz-number64 ">" (RFC 9051 §9) */
static enum err parse_partial(struct imap_parser *parser, struct imap_section *section)
{
    if (!imap_take(parser, '<'))
        return ERR_OK;
    section->is_partial = true;
    TRY(imap_parse_number64(parser, &section->offset));
    TRY(imap_parse_byte(parser, '.'));
    TRY(imap_parse_number64(parser, &section->len));
    if (section->len == 0)
        return imap_expected(parser, "a length over 0");
    return imap_parse_byte(parser, '>');
}

static struct str make_label(struct imap_parser *parser, const struct imap_section *section)
{
    static const char *const KINDS[] = {
        [MESSAGE_SECTION_ALL] = "",
        [MESSAGE_SECTION_HEADER] = "HEADER",
        [MESSAGE_SECTION_TEXT] = "TEXT",
        [MESSAGE_SECTION_MIME] = "MIME",
    };
    static const struct str FORMS[] = {
        [IMAP_SECTION_BODY] = STR_INIT("BODY"),
        [IMAP_SECTION_BINARY] = STR_INIT("BINARY"),
        [IMAP_SECTION_BINARY_SIZE] = STR_INIT("BINARY.SIZE"),
    };
    struct str label;
    struct buf text;

    buf_init(&text, SIZE_MAX);
    buf_put(&text, FORMS[section->form]);
    buf_put(&text, STR("["));
    for (size_t i = 0; i < section->path_len; i++) {
        if (i > 0)
            buf_put(&text, STR("."));
        imap_write_number(&text, section->path[i]);
    }
    if (section->path_len > 0 && section->kind != MESSAGE_SECTION_ALL)
        buf_put(&text, STR("."));
    buf_put(&text, str_from_c(KINDS[section->kind]));
    if (section->fields != NULL) {
        buf_put(&text, section->is_not ? STR(".FIELDS.NOT (") : STR(".FIELDS ("));
        for (size_t i = 0; i < section->field_count; i++) {
            if (i > 0)
                buf_put(&text, STR(" "));
            imap_write_astring(&text, section->fields[i]);
        }
        buf_put(&text, STR(")"));
    }
    buf_put(&text, STR("]"));
    if (section->is_partial) {
        buf_put(&text, STR("<"));
        imap_write_number(&text, section->offset);
        buf_put(&text, STR(">"));
    }
    label = arena_copy(&parser->task->arena, buf_str(&text));
    buf_free(&text);
    return label;
}

/* NOTIFY may have several lists for the same `fetch`. */
static enum err new_section(struct imap_parser *parser, struct imap_fetch_args *fetch,
                            struct imap_section **out)
{
    if (fetch->section_count == IMAP_SECTIONS_MAX)
        return imap_expected(parser, "fewer sections");
    if (fetch->section_count == fetch->section_room)
        fetch->sections = arena_grow(&parser->task->arena, fetch->sections, &fetch->section_room, 4,
                                     sizeof(*fetch->sections));
    *out = &fetch->sections[fetch->section_count++];
    **out = (struct imap_section){0};
    return ERR_OK;
}

static enum err parse_body(struct imap_parser *parser, struct imap_fetch_args *fetch, bool is_peek)
{
    struct imap_section *section = NULL;

    TRY(new_section(parser, fetch, &section));
    TRY(parse_section(parser, section));
    TRY(parse_partial(parser, section));
    section->label = make_label(parser, section);
    if (!is_peek)
        fetch->sets_seen = true;
    return ERR_OK;
}

/* "BINARY" [".PEEK"] section-binary [partial], "BINARY.SIZE" section-binary (RFC 3516 §7) */
static enum err parse_binary(struct imap_parser *parser, struct imap_fetch_args *fetch,
                             enum imap_section_form form, bool is_peek)
{
    struct imap_section *section = NULL;

    TRY(new_section(parser, fetch, &section));
    section->form = form;
    TRY(imap_parse_byte(parser, '['));
    TRY(parse_path(parser, section));
    TRY(imap_parse_byte(parser, ']'));
    section->kind = MESSAGE_SECTION_ALL;
    if (form == IMAP_SECTION_BINARY)
        TRY(parse_partial(parser, section));
    section->label = make_label(parser, section);
    if (!is_peek)
        fetch->sets_seen = true;
    return ERR_OK;
}

/* "PREVIEW" [SP "(" "LAZY" ")"] (RFC 8970 §6); the parenthesis may also be a FETCH modifier's. */
static void parse_lazy(struct imap_parser *parser, struct imap_fetch_args *fetch)
{
    struct str lazy = STR(" (LAZY)");

    fetch->items |= IMAP_FETCH_PREVIEW;
    fetch->is_preview_lazy = str_starts_with_nocase(parser->rest, lazy);
    if (fetch->is_preview_lazy)
        parser->rest = str_from(parser->rest, lazy.len);
}

static const struct {
    struct str name;
    enum imap_section_form form;
    bool is_peek;
} BINARIES[] = {
    {STR_INIT("BINARY.PEEK["), IMAP_SECTION_BINARY, true},
    {STR_INIT("BINARY.SIZE["), IMAP_SECTION_BINARY_SIZE, true},
    {STR_INIT("BINARY["), IMAP_SECTION_BINARY, false},
};

/* fetch-att */
static enum err parse_item(struct imap_parser *parser, struct imap_fetch_args *fetch)
{
    struct imap_section *section = NULL;

    for (size_t i = 0; i < ARRAY_LEN(ITEMS); i++) {
        if (imap_take_word(parser, ITEMS[i].name)) {
            fetch->items |= ITEMS[i].items;
            return ERR_OK;
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(OLD_SECTIONS); i++) {
        if (imap_take_word(parser, OLD_SECTIONS[i].name)) {
            TRY(new_section(parser, fetch, &section));
            section->kind = OLD_SECTIONS[i].kind;
            section->label = OLD_SECTIONS[i].name;
            fetch->sets_seen |= OLD_SECTIONS[i].sets_seen;
            return ERR_OK;
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(BINARIES); i++) {
        if (str_starts_with_nocase(parser->rest, BINARIES[i].name)) {
            parser->rest = str_from(parser->rest, BINARIES[i].name.len - 1);
            return parse_binary(parser, fetch, BINARIES[i].form, BINARIES[i].is_peek);
        }
    }
    if (imap_take_word(parser, STR("PREVIEW"))) {
        parse_lazy(parser, fetch);
        return ERR_OK;
    }
    if (str_starts_with_nocase(parser->rest, STR("BODY.PEEK["))) {
        parser->rest = str_from(parser->rest, 9);
        return parse_body(parser, fetch, true);
    }
    if (str_starts_with_nocase(parser->rest, STR("BODY["))) {
        parser->rest = str_from(parser->rest, 4);
        return parse_body(parser, fetch, false);
    }
    if (imap_take_word(parser, STR("BODY"))) {
        fetch->items |= IMAP_FETCH_BODY;
        return ERR_OK;
    }
    return imap_expected(parser, "a FETCH item");
}

enum err imap_parse_fetch_items(struct imap_parser *parser, struct imap_fetch_args *fetch)
{
    TRY(imap_parse_byte(parser, '('));
    do
        TRY(parse_item(parser, fetch));
    while (imap_take(parser, ' '));
    return imap_parse_byte(parser, ')');
}

/* fetch-modifier = "CHANGEDSINCE" SP mod-sequence-value / "VANISHED" (RFC 7162 §7)
 * fetch-modifier =/ "PARTIAL" SP partial-range (RFC 9394 §4) */
static enum err parse_modifier(struct imap_parser *parser, struct imap_fetch_args *fetch)
{
    if (!fetch->has_changed_since && imap_take_word(parser, STR("CHANGEDSINCE"))) {
        TRY(imap_parse_space(parser));
        TRY(imap_parse_modseq(parser, &fetch->changed_since));
        fetch->has_changed_since = true;
        fetch->items |= IMAP_FETCH_MODSEQ;
    } else if (imap_take_word(parser, STR("VANISHED"))) {
        fetch->is_vanished = true;
    } else if (!fetch->has_partial && imap_take_word(parser, STR("PARTIAL"))) {
        TRY(imap_parse_space(parser));
        TRY(imap_parse_partial(parser, &fetch->partial_first, &fetch->partial_last));
        fetch->has_partial = true;
    } else {
        return imap_expected(parser, "CHANGEDSINCE, VANISHED or PARTIAL");
    }
    return ERR_OK;
}

/* SP "(" fetch-modifier *(SP fetch-modifier) ")" (RFC 4466 §2.4) */
static enum err parse_modifiers(struct imap_parser *parser, struct imap_fetch_args *fetch)
{
    if (!imap_take(parser, ' '))
        return ERR_OK;
    TRY(imap_parse_byte(parser, '('));
    do
        TRY(parse_modifier(parser, fetch));
    while (imap_take(parser, ' '));
    return imap_parse_byte(parser, ')');
}

/* SP sequence-set SP ("ALL" / "FULL" / "FAST" / fetch-att / "(" fetch-att *(SP fetch-att) ")") */
enum err imap_parse_fetch(struct imap_parser *parser, union imap_args *args)
{
    struct imap_fetch_args *fetch = &args->fetch;
    bool is_macro = false;

    TRY(imap_parse_space(parser));
    TRY(imap_parse_set(parser, &fetch->set));
    TRY(imap_parse_space(parser));
    for (size_t i = 0; i < ARRAY_LEN(MACROS) && !is_macro; i++) {
        is_macro = imap_take_word(parser, MACROS[i].name);
        if (is_macro)
            fetch->items |= MACROS[i].items;
    }
    if (!is_macro && imap_at(parser, '('))
        TRY(imap_parse_fetch_items(parser, fetch));
    else if (!is_macro)
        TRY(parse_item(parser, fetch));
    return parse_modifiers(parser, fetch);
}
