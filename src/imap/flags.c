#include "imap/flags.h"

#include "base/macros.h"
#include "imap/engine.h"

static const struct {
    struct str name;
    uint64_t bit;
} SYSTEM_FLAGS[] = {
    {STR_INIT("\\Answered"), VAULT_FLAG_ANSWERED}, {STR_INIT("\\Flagged"), VAULT_FLAG_FLAGGED},
    {STR_INIT("\\Deleted"), VAULT_FLAG_DELETED},   {STR_INIT("\\Seen"), VAULT_FLAG_SEEN},
    {STR_INIT("\\Draft"), VAULT_FLAG_DRAFT},
};

uint64_t imap_system_flag(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(SYSTEM_FLAGS); i++)
        if (str_equal_nocase(name, SYSTEM_FLAGS[i].name))
            return SYSTEM_FLAGS[i].bit;
    return 0;
}

/* As many as there are: one command may have thousands of lists (RFC 3502). */
static enum err add_keyword(struct imap_parser *parser, size_t *room, struct imap_flags *out,
                            struct str name)
{
    if (out->keyword_count == IMAP_KEYWORDS_MAX)
        return imap_expected(parser, "fewer flags");
    if (out->keyword_count == *room)
        out->keywords =
            arena_grow(&parser->task->arena, out->keywords, room, 2, sizeof(*out->keywords));
    out->keywords[out->keyword_count++] = name;
    return ERR_OK;
}

/* flag = "\Answered" / "\Flagged" / "\Deleted" / "\Seen" / "\Draft" / flag-keyword */
static enum err parse_flag(struct imap_parser *parser, size_t *room, struct imap_flags *out)
{
    struct str name, start = parser->rest;
    uint64_t bit;

    if (!imap_take(parser, '\\')) {
        TRY(imap_parse_atom(parser, &name));
        return add_keyword(parser, room, out, name);
    }
    TRY(imap_parse_atom(parser, &name));
    bit = imap_system_flag(str_upto(start, name.len + 1));
    if (bit == 0)
        return imap_expected(parser, "a flag that a client may set");
    out->system |= bit;
    return ERR_OK;
}

enum err imap_parse_flags(struct imap_parser *parser, bool may_be_bare, struct imap_flags *out)
{
    bool is_list = imap_take(parser, '(');
    size_t room = 0;

    *out = (struct imap_flags){0};
    if (!is_list && !may_be_bare)
        return imap_expected(parser, "a list of flags");
    if (is_list && imap_take(parser, ')'))
        return ERR_OK;
    do
        TRY(parse_flag(parser, &room, out));
    while (imap_take(parser, ' '));
    return is_list ? imap_parse_byte(parser, ')') : ERR_OK;
}

enum err imap_flags_bits(struct imap_session *s, struct task *task, const struct imap_flags *flags,
                         bool may_create, uint64_t *out_bits)
{
    *out_bits = flags->system;
    for (size_t i = 0; i < flags->keyword_count; i++) {
        uint64_t bit = 0;
        enum err err;

        if (flags->keywords[i].len > VAULT_KEYWORD_NAME_MAX) {
            if (may_create)
                return fail(task, ERR_LIMIT, "the name of a flag is too long");
            continue;
        }
        err = vault_keyword_bit(s->vault, task, flags->keywords[i], may_create, 0, &bit);
        if (err == ERR_NOT_FOUND && !may_create) {
            task_forgive(task);
            continue;
        }
        TRY(err);
        s->subscriber.keywords_held |= bit;
        *out_bits |= bit;
    }
    return ERR_OK;
}

void imap_write_flags(struct buf *out, const struct vault *vault, uint64_t flags, bool is_recent)
{
    struct str separator = STR("(");

    if (flags == 0 && !is_recent) {
        buf_put(out, STR("()"));
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(SYSTEM_FLAGS); i++) {
        if ((flags & SYSTEM_FLAGS[i].bit) == 0)
            continue;
        buf_put(out, separator);
        buf_put(out, SYSTEM_FLAGS[i].name);
        separator = STR(" ");
    }
    flags &= ~((UINT64_C(1) << VAULT_KEYWORD_FIRST) - 1);
    while (flags != 0) {
        struct str name = vault_keyword_name(vault, (unsigned)__builtin_ctzll(flags));

        flags &= flags - 1;
        if (name.len == 0)
            continue;
        buf_put(out, separator);
        buf_put(out, name);
        separator = STR(" ");
    }
    if (is_recent) {
        buf_put(out, separator);
        buf_put(out, STR("\\Recent"));
        separator = STR(" ");
    }
    buf_put(out, separator.ptr[0] == '(' ? STR("()") : STR(")"));
}
