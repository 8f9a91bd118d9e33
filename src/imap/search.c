#include "imap/search.h"

#include "base/ascii.h"
#include "imap/flags.h"

enum { FUZZY_WORDS_MAX = 32 };

/* What follows a key's name. */
enum arguments {
    NONE,
    DATE,
    NUMBER,
    INTERVAL,
    ASTRING,
    OBJECTID,
    SET,
};

/* SAVEDATESUPPORTED: every folder has save dates (RFC 8514 §4.3). */
static const struct {
    struct str name;
    enum imap_search_op op;
    enum arguments arguments;
    uint64_t flag;
    bool is_absent;
    enum vault_search_field field;
} KEYS[] = {
    {STR_INIT("ALL"), IMAP_SEARCH_ALL, NONE, 0, false, 0},
    {STR_INIT("ANSWERED"), IMAP_SEARCH_FLAG, NONE, VAULT_FLAG_ANSWERED, false, 0},
    {STR_INIT("BCC"), IMAP_SEARCH_STRING, ASTRING, 0, false, VAULT_SEARCH_BCC},
    {STR_INIT("BEFORE"), IMAP_SEARCH_BEFORE, DATE, 0, false, 0},
    {STR_INIT("BODY"), IMAP_SEARCH_STRING, ASTRING, 0, false, VAULT_SEARCH_BODY},
    {STR_INIT("CC"), IMAP_SEARCH_STRING, ASTRING, 0, false, VAULT_SEARCH_CC},
    {STR_INIT("DELETED"), IMAP_SEARCH_FLAG, NONE, VAULT_FLAG_DELETED, false, 0},
    {STR_INIT("DRAFT"), IMAP_SEARCH_FLAG, NONE, VAULT_FLAG_DRAFT, false, 0},
    {STR_INIT("EMAILID"), IMAP_SEARCH_EMAILID, OBJECTID, 0, false, 0},
    {STR_INIT("FLAGGED"), IMAP_SEARCH_FLAG, NONE, VAULT_FLAG_FLAGGED, false, 0},
    {STR_INIT("FROM"), IMAP_SEARCH_STRING, ASTRING, 0, false, VAULT_SEARCH_FROM},
    {STR_INIT("KEYWORD"), IMAP_SEARCH_KEYWORD, ASTRING, 0, false, 0},
    {STR_INIT("LARGER"), IMAP_SEARCH_LARGER, NUMBER, 0, false, 0},
    {STR_INIT("NEW"), IMAP_SEARCH_NEW, NONE, 0, false, 0},
    {STR_INIT("OLD"), IMAP_SEARCH_OLD, NONE, 0, false, 0},
    {STR_INIT("OLDER"), IMAP_SEARCH_OLDER, INTERVAL, 0, false, 0},
    {STR_INIT("ON"), IMAP_SEARCH_ON, DATE, 0, false, 0},
    {STR_INIT("RECENT"), IMAP_SEARCH_RECENT, NONE, 0, false, 0},
    {STR_INIT("SAVEDATESUPPORTED"), IMAP_SEARCH_ALL, NONE, 0, false, 0},
    {STR_INIT("SAVEDBEFORE"), IMAP_SEARCH_SAVEDBEFORE, DATE, 0, false, 0},
    {STR_INIT("SAVEDON"), IMAP_SEARCH_SAVEDON, DATE, 0, false, 0},
    {STR_INIT("SAVEDSINCE"), IMAP_SEARCH_SAVEDSINCE, DATE, 0, false, 0},
    {STR_INIT("SEEN"), IMAP_SEARCH_FLAG, NONE, VAULT_FLAG_SEEN, false, 0},
    {STR_INIT("SENTBEFORE"), IMAP_SEARCH_SENTBEFORE, DATE, 0, false, 0},
    {STR_INIT("SENTON"), IMAP_SEARCH_SENTON, DATE, 0, false, 0},
    {STR_INIT("SENTSINCE"), IMAP_SEARCH_SENTSINCE, DATE, 0, false, 0},
    {STR_INIT("SINCE"), IMAP_SEARCH_SINCE, DATE, 0, false, 0},
    {STR_INIT("SMALLER"), IMAP_SEARCH_SMALLER, NUMBER, 0, false, 0},
    {STR_INIT("SUBJECT"), IMAP_SEARCH_STRING, ASTRING, 0, false, VAULT_SEARCH_SUBJECT},
    {STR_INIT("TEXT"), IMAP_SEARCH_STRING, ASTRING, 0, false, VAULT_SEARCH_TEXT},
    {STR_INIT("THREADID"), IMAP_SEARCH_THREADID, OBJECTID, 0, false, 0},
    {STR_INIT("TO"), IMAP_SEARCH_STRING, ASTRING, 0, false, VAULT_SEARCH_TO},
    {STR_INIT("UID"), IMAP_SEARCH_UID, SET, 0, false, 0},
    {STR_INIT("UNANSWERED"), IMAP_SEARCH_FLAG, NONE, VAULT_FLAG_ANSWERED, true, 0},
    {STR_INIT("UNDELETED"), IMAP_SEARCH_FLAG, NONE, VAULT_FLAG_DELETED, true, 0},
    {STR_INIT("UNDRAFT"), IMAP_SEARCH_FLAG, NONE, VAULT_FLAG_DRAFT, true, 0},
    {STR_INIT("UNFLAGGED"), IMAP_SEARCH_FLAG, NONE, VAULT_FLAG_FLAGGED, true, 0},
    {STR_INIT("UNKEYWORD"), IMAP_SEARCH_KEYWORD, ASTRING, 0, true, 0},
    {STR_INIT("UNSEEN"), IMAP_SEARCH_FLAG, NONE, VAULT_FLAG_SEEN, true, 0},
    {STR_INIT("YOUNGER"), IMAP_SEARCH_YOUNGER, INTERVAL, 0, false, 0},
};

/* What a node still waits for: the parser's own stack, so that no input deepens the C stack. */
struct level {
    uint32_t node;
    uint32_t operands; /* still missing; 0: as many as come, up to ")" or the end */
};

struct search_parser {
    struct imap_parser *parser;
    struct imap_search_program *out;
    struct level levels[IMAP_SEARCH_DEPTH_MAX];
    size_t depth;
    size_t room;
};

static enum err add_node(struct search_parser *p, enum imap_search_op op,
                         struct imap_search_node **out_node)
{
    struct imap_search_program *out = p->out;

    if (out->node_count == IMAP_SEARCH_KEYS_MAX)
        return imap_expected(p->parser, "fewer search keys");
    if (out->node_count == p->room)
        out->nodes =
            arena_grow(&p->parser->task->arena, out->nodes, &p->room, 8, sizeof(*out->nodes));
    *out_node = &out->nodes[out->node_count++];
    (*out_node)->op = op;
    (*out_node)->next = out->node_count;
    return ERR_OK;
}

static enum err push(struct search_parser *p, enum imap_search_op op, uint32_t operands)
{
    struct imap_search_node *node;

    if (p->depth == IMAP_SEARCH_DEPTH_MAX)
        return imap_expected(p->parser, "less nesting");
    TRY(add_node(p, op, &node));
    p->levels[p->depth++] = (struct level){p->out->node_count - 1, operands};
    return ERR_OK;
}

/* MODSEQ [SP entry-name SP entry-type-req] SP mod-sequence-valzer (RFC 7162 §7) */
static enum err parse_modseq(struct search_parser *p)
{
    struct imap_search_node *node = NULL;
    struct str name;

    TRY(add_node(p, IMAP_SEARCH_MODSEQ, &node));
    p->out->has_modseq = true;
    TRY(imap_parse_space(p->parser));
    if (imap_at(p->parser, '"')) {
        /* One MODSEQ is kept for each message, whatever the entry. */
        TRY(imap_parse_string(p->parser, &name));
        TRY(imap_parse_space(p->parser));
        TRY(imap_parse_atom(p->parser, &name));
        if (!str_equal_nocase(name, STR("all")) && !str_equal_nocase(name, STR("shared")) &&
            !str_equal_nocase(name, STR("priv")))
            return imap_expected(p->parser, "priv, shared or all");
        TRY(imap_parse_space(p->parser));
    }
    return imap_parse_number64(p->parser, &node->number);
}

/* "UIDAFTER" SP uniqueid / "UIDBEFORE" SP uniqueid (RFC 9738 §3): a UID key that needs no set. */
static enum err parse_uid_bound(struct search_parser *p, bool is_after)
{
    struct imap_search_node *node = NULL;
    uint32_t uid;

    TRY(add_node(p, IMAP_SEARCH_UID, &node));
    TRY(imap_parse_space(p->parser));
    TRY(imap_parse_number(p->parser, &uid));
    if (uid == 0)
        return imap_expected(p->parser, "a UID");
    node->set.ranges = ARENA_NEW(&p->parser->task->arena, struct imap_range);
    node->set.ranges[0] = is_after && uid < UINT32_MAX ? (struct imap_range){uid + 1, UINT32_MAX}
                                                       : (struct imap_range){1, uid - 1};
    node->set.count = is_after ? uid < UINT32_MAX : uid > 1;
    return ERR_OK;
}

static bool is_inside_fuzzy(const struct search_parser *p)
{
    for (size_t i = 0; i < p->depth; i++)
        if (p->out->nodes[p->levels[i].node].op == IMAP_SEARCH_FUZZY)
            return true;
    return false;
}

/* The next run of letters and digits, ASCII's or any others. */
static bool next_word(struct str *rest, struct str *out)
{
    size_t start = 0, end;

    while (start < rest->len && !ascii_is_alnum(rest->ptr[start]) &&
           !ascii_is_8bit(rest->ptr[start]))
        start++;
    end = start;
    while (end < rest->len && (ascii_is_alnum(rest->ptr[end]) || ascii_is_8bit(rest->ptr[end])))
        end++;
    *out = str_from(str_upto(*rest, end), start);
    *rest = str_from(*rest, end);
    return out->len > 0;
}

/* Inside a FUZZY (RFC 6203 §3) a text matches if all its words are there, in any order. */
static enum err make_fuzzy(struct search_parser *p, uint32_t at)
{
    struct imap_search_node *node = NULL;
    struct str rest = p->out->nodes[at].text, word;
    enum imap_search_op op = p->out->nodes[at].op;
    size_t words = 0;

    if (!is_inside_fuzzy(p) || rest.len == 0)
        return ERR_OK;
    p->out->nodes[at].op = IMAP_SEARCH_FUZZY;
    while (words < FUZZY_WORDS_MAX && next_word(&rest, &word)) {
        TRY(add_node(p, op, &node));
        node->field = p->out->nodes[at].field;
        node->name = p->out->nodes[at].name;
        node->text = word;
        words++;
    }
    if (words == 0) { /* signs only: as they stand */
        TRY(add_node(p, op, &node));
        node->field = p->out->nodes[at].field;
        node->name = p->out->nodes[at].name;
        node->text = p->out->nodes[at].text;
    }
    p->out->nodes[at].next = p->out->node_count;
    return ERR_OK;
}

static enum err parse_header(struct search_parser *p)
{
    struct imap_search_node *node = NULL;

    TRY(add_node(p, IMAP_SEARCH_HEADER, &node));
    node->field = VAULT_SEARCH_HEADER;
    TRY(imap_parse_space(p->parser));
    TRY(imap_parse_astring(p->parser, &node->name));
    TRY(imap_parse_space(p->parser));
    TRY(imap_parse_astring(p->parser, &node->text));
    return make_fuzzy(p, p->out->node_count - 1);
}

/*
 * search-key =/ "REGEX" SP regex-field SP astring
 * regex-field = "SUBJECT" / "FROM" / "TO" / "CC" / "BODY" / "TEXT" / "HEADER" SP header-fld-name
 */
static enum err parse_regex(struct search_parser *p)
{
    static const struct {
        struct str name;
        enum vault_search_field field;
    } FIELDS[] = {
        {STR_INIT("SUBJECT"), VAULT_SEARCH_SUBJECT}, {STR_INIT("FROM"), VAULT_SEARCH_FROM},
        {STR_INIT("TO"), VAULT_SEARCH_TO},           {STR_INIT("CC"), VAULT_SEARCH_CC},
        {STR_INIT("BODY"), VAULT_SEARCH_BODY},       {STR_INIT("TEXT"), VAULT_SEARCH_TEXT},
        {STR_INIT("HEADER"), VAULT_SEARCH_HEADER},
    };
    struct imap_search_node *node = NULL;
    size_t i = 0;

    if (++p->out->regex_count > IMAP_SEARCH_REGEXES_MAX)
        return imap_expected(p->parser, "fewer regular expressions");
    TRY(add_node(p, IMAP_SEARCH_REGEX, &node));
    TRY(imap_parse_space(p->parser));
    while (i < ARRAY_LEN(FIELDS) && !imap_take_word(p->parser, FIELDS[i].name))
        i++;
    if (i == ARRAY_LEN(FIELDS))
        return imap_expected(p->parser, "SUBJECT, FROM, TO, CC, BODY, TEXT or HEADER");
    node->field = FIELDS[i].field;
    TRY(imap_parse_space(p->parser));
    if (node->field == VAULT_SEARCH_HEADER) {
        TRY(imap_parse_astring(p->parser, &node->name));
        TRY(imap_parse_space(p->parser));
    }
    return imap_parse_astring(p->parser, &node->text);
}

/* objectid = 1*255(ALPHA / DIGIT / "_" / "-") (RFC 8474 §7) */
static enum err parse_objectid(struct search_parser *p, struct str *out)
{
    bool is_one;

    TRY(imap_parse_atom(p->parser, out));
    is_one = out->len <= 255;
    for (size_t i = 0; i < out->len && is_one; i++)
        is_one = ascii_is_alnum(out->ptr[i]) || out->ptr[i] == '_' || out->ptr[i] == '-';
    return is_one ? ERR_OK : imap_expected(p->parser, "an object identifier");
}

static enum err parse_arguments(struct search_parser *p, enum arguments arguments,
                                struct imap_search_node *node)
{
    uint32_t number;

    if (arguments != NONE)
        TRY(imap_parse_space(p->parser));
    switch (arguments) {
    case NONE:
        return ERR_OK;
    case DATE:
        return imap_parse_date(p->parser, &node->day);
    case NUMBER: /* number64 (RFC 9051 §9) */
        return imap_parse_number64(p->parser, &node->number);
    case INTERVAL: /* nz-number (RFC 5032 §4) */
        TRY(imap_parse_number(p->parser, &number));
        node->number = number;
        return number > 0 ? ERR_OK : imap_expected(p->parser, "a number of seconds above 0");
    case ASTRING:
        return imap_parse_astring(p->parser, &node->text);
    case OBJECTID:
        p->out->has_identity = true;
        return parse_objectid(p, &node->text);
    case SET:
        TRY(imap_parse_set(p->parser, &node->set));
        p->out->has_numbers = p->out->has_numbers || node->set.has_saved;
        return ERR_OK;
    }
    return ERR_OK;
}

/* One search-key that has no search-key inside it. */
static enum err parse_leaf(struct search_parser *p)
{
    struct imap_search_node *node = NULL;
    char first = p->parser->rest.len > 0 ? p->parser->rest.ptr[0] : '\0';

    if (first == '*' || first == '$' || ascii_is_digit(first)) {
        p->out->has_numbers = true;
        TRY(add_node(p, IMAP_SEARCH_SEQUENCE, &node));
        return imap_parse_set(p->parser, &node->set);
    }
    if (imap_take_word(p->parser, STR("MODSEQ")))
        return parse_modseq(p);
    if (imap_take_word(p->parser, STR("UIDAFTER")))
        return parse_uid_bound(p, true);
    if (imap_take_word(p->parser, STR("UIDBEFORE")))
        return parse_uid_bound(p, false);
    if (imap_take_word(p->parser, STR("HEADER")))
        return parse_header(p);
    if (imap_take_word(p->parser, STR("REGEX")))
        return parse_regex(p);
    for (size_t i = 0; i < ARRAY_LEN(KEYS); i++) {
        if (!imap_take_word(p->parser, KEYS[i].name))
            continue;
        TRY(add_node(p, KEYS[i].op, &node));
        node->number = KEYS[i].flag;
        node->is_absent = KEYS[i].is_absent;
        node->field = KEYS[i].field;
        TRY(parse_arguments(p, KEYS[i].arguments, node));
        return KEYS[i].op == IMAP_SEARCH_STRING ? make_fuzzy(p, p->out->node_count - 1) : ERR_OK;
    }
    return imap_expected(p->parser, "a search key");
}

/* An operand is complete: so are the operators that waited for it only. */
static void pop_complete(struct search_parser *p)
{
    while (p->depth > 0) {
        struct level *level = &p->levels[p->depth - 1];

        if (level->operands == 0 || --level->operands > 0)
            return;
        p->out->nodes[level->node].next = p->out->node_count;
        p->depth--;
    }
}

static enum err close_list(struct search_parser *p)
{
    struct level *level = &p->levels[p->depth - 1];

    if (p->depth < 2 || level->operands != 0)
        return imap_expected(p->parser, "a search key");
    p->out->nodes[level->node].next = p->out->node_count;
    p->depth--;
    pop_complete(p);
    return ERR_OK;
}

/* search-key =/ "FUZZY" SP search-key (RFC 6203 §7);
 * search-key *(SP search-key); "(" search-key *(SP search-key) ")", NOT key, OR key key */
static enum err parse_keys(struct search_parser *p)
{
    TRY(push(p, IMAP_SEARCH_AND, 0));
    for (;;) {
        if (imap_take(p->parser, '(')) {
            TRY(push(p, IMAP_SEARCH_AND, 0));
            continue;
        }
        if (imap_take_word(p->parser, STR("NOT"))) {
            TRY(push(p, IMAP_SEARCH_NOT, 1));
            TRY(imap_parse_space(p->parser));
            continue;
        }
        if (imap_take_word(p->parser, STR("FUZZY"))) {
            TRY(push(p, IMAP_SEARCH_FUZZY, 1));
            TRY(imap_parse_space(p->parser));
            p->out->has_fuzzy = true;
            continue;
        }
        if (imap_take_word(p->parser, STR("OR"))) {
            TRY(push(p, IMAP_SEARCH_OR, 2));
            TRY(imap_parse_space(p->parser));
            continue;
        }
        TRY(parse_leaf(p));
        pop_complete(p);
        while (imap_take(p->parser, ')'))
            TRY(close_list(p));
        if (imap_at_end(p->parser))
            break;
        TRY(imap_parse_space(p->parser));
    }
    if (p->depth != 1)
        return imap_expected(p->parser, "a search key, or a closing parenthesis");
    p->out->nodes[0].next = p->out->node_count;
    return ERR_OK;
}

/* Keys are compared as UTF-8. */
static bool has_bad_text(const struct imap_search_program *search, bool is_ascii)
{
    for (uint32_t i = 0; i < search->node_count; i++) {
        struct str text = search->nodes[i].text;

        if (!str_is_utf8(text) || (is_ascii && !str_is_ascii(text)))
            return true;
    }
    return false;
}

/* Judges the charset only after the syntax: what is not SEARCH at all is BAD whatever it names. */
static enum err parse_in_charset(struct imap_parser *parser, struct str charset,
                                 struct imap_search_program *out)
{
    struct search_parser p = {.parser = parser, .out = out};
    bool is_ascii;

    TRY(parse_keys(&p));
    is_ascii = str_equal_nocase(charset, STR("US-ASCII"));
    out->is_wrong_charset =
        charset.len > 0 && !is_ascii && !str_equal_nocase(charset, STR("UTF-8"));
    if (!out->is_wrong_charset && has_bad_text(out, is_ascii))
        return imap_expected(parser, "strings in the charset that was named");
    return ERR_OK;
}

enum err imap_search_parse(struct imap_parser *parser, struct imap_search_program *out)
{
    struct str charset = {NULL, 0};

    if (imap_take_word(parser, STR("CHARSET"))) {
        if (parser->is_charset_fixed)
            return imap_expected(parser, "no charset after ENABLE UTF8=ACCEPT");
        TRY(imap_parse_space(parser));
        TRY(imap_parse_astring(parser, &charset));
        TRY(imap_parse_space(parser));
    }
    return parse_in_charset(parser, charset, out);
}

enum err imap_search_parse_with_charset(struct imap_parser *parser, struct imap_search_program *out)
{
    struct str charset;

    TRY(imap_parse_astring(parser, &charset));
    TRY(imap_parse_space(parser));
    return parse_in_charset(parser, charset, out);
}
