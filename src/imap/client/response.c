/* Responses of an IMAP server. */
#include "imap/client/response.h"

#include "base/ascii.h"

/* "{123}" or "{123+}" at a line's end (before CRLF); false: none. */
static bool literal_of(struct str line, uint64_t *out_len)
{
    struct str text = line;
    ptrdiff_t brace;

    if (str_ends_with(text, STR("\n")))
        text = str_upto(text, text.len - 1);
    if (str_ends_with(text, STR("\r")))
        text = str_upto(text, text.len - 1);
    if (!str_ends_with(text, STR("}")))
        return false;
    text = str_upto(text, text.len - 1);
    if (str_ends_with(text, STR("+")))
        text = str_upto(text, text.len - 1);
    brace = str_last_index(text, '{');
    return brace >= 0 && parse_u64(str_from(text, (size_t)brace + 1), out_len);
}

enum err imap_response_scan(struct imap_response_scanner *scanner, struct task *task,
                            struct str bytes, size_t limit_bytes, size_t *out_len)
{
    *out_len = 0;
    while (scanner->at < bytes.len) {
        struct str rest = str_from(bytes, scanner->at), line;
        ptrdiff_t end = str_index(rest, '\n');
        size_t len = end < 0 ? rest.len : (size_t)end + 1;
        uint64_t literal;

        scanner->at += len;
        scanner->line_bytes += len;
        if (scanner->line_bytes > IMAP_RESPONSE_LINE_MAX || scanner->at > limit_bytes)
            return fail(task, ERR_LIMIT, "the server's answer is too long");
        if (end < 0)
            return ERR_OK;
        line = str_make(bytes.ptr + scanner->line_start, scanner->at - scanner->line_start);
        if (!literal_of(line, &literal)) {
            *out_len = scanner->at;
            return ERR_OK;
        }
        if (literal > limit_bytes - scanner->at)
            return fail(task, ERR_LIMIT, "the server's answer is too long");
        scanner->at += (size_t)literal; /* may be beyond what is there yet */
        scanner->line_start = scanner->at;
    }
    return ERR_OK;
}

struct reader {
    struct task *task;
    struct str text;
    size_t at;
    struct imap_token *tokens;
    size_t count, room, depth;
};

static enum err bad(struct reader *reader)
{
    return fail(reader->task, ERR_INVALID, "the server's answer cannot be understood");
}

static enum err add(struct reader *reader, enum imap_token_kind kind, struct str text)
{
    if (reader->count == reader->room) {
        struct imap_token *larger;
        size_t room = reader->room * 2 + 16;

        if (room > IMAP_RESPONSE_TOKENS_MAX * 2)
            return bad(reader);
        larger = ARENA_ARRAY(&reader->task->arena, struct imap_token, room);
        for (size_t i = 0; i < reader->count; i++)
            larger[i] = reader->tokens[i];
        reader->tokens = larger;
        reader->room = room;
    }
    reader->tokens[reader->count++] = (struct imap_token){kind, text};
    return ERR_OK;
}

static enum err read_quoted(struct reader *reader)
{
    char *out;
    size_t len = 0, end = reader->at + 1;

    while (end < reader->text.len && reader->text.ptr[end] != '"')
        end += reader->text.ptr[end] == '\\' ? 2 : 1;
    if (end >= reader->text.len)
        return bad(reader);
    out = arena_alloc(&reader->task->arena, end - reader->at, 1);
    for (size_t i = reader->at + 1; i < end; i++) {
        if (reader->text.ptr[i] == '\\')
            i++;
        out[len++] = reader->text.ptr[i];
    }
    reader->at = end + 1;
    return add(reader, IMAP_TOKEN_STRING, str_make(out, len));
}

static enum err read_literal(struct reader *reader)
{
    struct str rest = str_from(reader->text, reader->at);
    ptrdiff_t end = str_index(rest, '\n');
    uint64_t len;

    if (end < 0 || !literal_of(str_upto(rest, (size_t)end + 1), &len) ||
        len > rest.len - (size_t)end - 1)
        return bad(reader);
    reader->at += (size_t)end + 1 + (size_t)len;
    return add(reader, IMAP_TOKEN_STRING, str_make(rest.ptr + end + 1, (size_t)len));
}

/* A section's brackets may hold spaces and parentheses: "BODY[HEADER.FIELDS (DATE)]". */
static enum err read_atom(struct reader *reader)
{
    size_t start = reader->at, brackets = 0;

    while (reader->at < reader->text.len) {
        char c = reader->text.ptr[reader->at];

        if (c == '\r' || c == '\n' || (brackets == 0 && (c == ' ' || c == '(' || c == ')')))
            break;
        brackets += c == '[';
        brackets -= c == ']' && brackets > 0;
        reader->at++;
    }
    if (reader->at == start)
        return bad(reader);
    return add(reader, IMAP_TOKEN_ATOM, str_make(reader->text.ptr + start, reader->at - start));
}

static enum err read_token(struct reader *reader)
{
    char c = reader->text.ptr[reader->at];

    switch (c) {
    case ' ':
        reader->at++;
        return ERR_OK;
    case '(':
        reader->at++;
        reader->depth++;
        return add(reader, IMAP_TOKEN_OPEN, STR(""));
    case ')':
        reader->at++;
        if (reader->depth-- == 0)
            return bad(reader);
        return add(reader, IMAP_TOKEN_CLOSE, STR(""));
    case '"':
        return read_quoted(reader);
    case '{':
        return read_literal(reader);
    default: /* not an enum: any byte */
        return read_atom(reader);
    }
}

/* "OK", "NO …": free text follows, in which parentheses and quotes mean nothing. */
static bool is_status(struct str word)
{
    static const struct str words[] = {STR_INIT("OK"), STR_INIT("NO"), STR_INIT("BAD"),
                                       STR_INIT("BYE"), STR_INIT("PREAUTH")};

    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (str_equal_nocase(words[i], word))
            return true;
    }
    return false;
}

enum err imap_response_parse(struct task *task, struct str bytes, struct imap_response *out)
{
    struct reader reader = {.task = task};
    struct str text = bytes, first, rest;
    ptrdiff_t space;

    if (str_ends_with(text, STR("\n")))
        text = str_upto(text, text.len - 1);
    if (str_ends_with(text, STR("\r")))
        text = str_upto(text, text.len - 1);
    space = str_index(text, ' ');
    *out = (struct imap_response){.tag = space < 0 ? text : str_upto(text, (size_t)space)};
    out->text = space < 0 ? STR("") : str_from(text, (size_t)space + 1);
    if (out->tag.len == 0)
        return bad(&reader);
    rest = out->text;
    if (str_equal(out->tag, STR("+")) || !str_split(&rest, ' ', &first))
        return ERR_OK;
    reader.text = is_status(first) ? first : out->text;
    while (reader.at < reader.text.len)
        TRY(read_token(&reader));
    if (reader.depth != 0)
        return bad(&reader);
    out->tokens = reader.tokens;
    out->count = reader.count;
    return ERR_OK;
}

bool imap_response_is(const struct imap_response *response, size_t index, struct str atom)
{
    return index < response->count && response->tokens[index].kind == IMAP_TOKEN_ATOM &&
           str_equal_nocase(response->tokens[index].text, atom);
}

bool imap_response_code(const struct imap_response *response, struct str word, uint32_t *out)
{
    ptrdiff_t open = str_index(response->text, '['), close = str_index(response->text, ']');
    struct str code, name;

    if (open < 0 || close < open)
        return false;
    code = str_make(response->text.ptr + open + 1, (size_t)(close - open) - 1);
    return str_split(&code, ' ', &name) && code.ptr != NULL && str_equal_nocase(name, word) &&
           parse_u32(code, out);
}
