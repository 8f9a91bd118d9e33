#define PCRE2_CODE_UNIT_WIDTH 8
#include "account/pattern.h"

#include "base/ascii.h"
#include "base/buf.h"
#include "base/memory.h"

#include <pcre2.h>

enum {
    NESTING_MAX = 20,
    /* A local part has 64 bytes: an honest match takes a few hundred steps. A hundred patterns at
     * their limits cost some milliseconds. */
    STEPS_MAX = 5000,
    DEPTH_MAX = 500,
    HEAP_MAX_KIB = 256,
    COMPILED_MAX = 256, /* in the cache; a compiled pattern has at most 64 KiB, usually under one */
    WORDS_MAX = 120,
};

struct account_pattern {
    pcre2_code *code;              /* own */
    pcre2_match_data *match;       /* own */
    pcre2_match_context *context;  /* own */
};

bool account_pattern_is_one(struct str local)
{
    return local.len > 2 && local.ptr[0] == '/' && local.ptr[local.len - 1] == '/';
}

static pcre2_code *compile(struct str pattern, int *out_code, PCRE2_SIZE *out_offset)
{
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_CASELESS | PCRE2_DOLLAR_ENDONLY |
                       PCRE2_NEVER_BACKSLASH_C;
    pcre2_code *code;

    pcre2_set_parens_nest_limit(context, NESTING_MAX);
    code = pcre2_compile((PCRE2_SPTR)pattern.ptr, pattern.len, options, out_code, out_offset,
                         context);
    pcre2_compile_context_free(context);
    return code;
}

enum err account_pattern_compile(struct task *task, struct str text,
                                 struct account_pattern **out_pattern)
{
    struct account_pattern *pattern;
    PCRE2_SIZE offset = 0;
    pcre2_code *compiled;
    int code = 0;

    if (!account_pattern_is_one(text) || text.len > ACCOUNT_PATTERN_TEXT_MAX)
        return fail(task, ERR_INVALID, "a pattern stands between slashes and has at most %d bytes",
                    ACCOUNT_PATTERN_TEXT_MAX);
    compiled = compile(str_make(text.ptr + 1, text.len - 2), &code, &offset);
    if (compiled == NULL) {
        PCRE2_UCHAR words[WORDS_MAX];

        if (pcre2_get_error_message(code, words, sizeof(words)) < 0)
            words[0] = '\0';
        return fail(task, ERR_INVALID, "%s, at byte %zu", (const char *)words, offset + 1);
    }
    pattern = NEW(struct account_pattern);
    pattern->code = compiled;
    pattern->match = pcre2_match_data_create(ACCOUNT_CAPTURES, NULL);
    pattern->context = pcre2_match_context_create(NULL);
    pcre2_set_match_limit(pattern->context, STEPS_MAX);
    pcre2_set_depth_limit(pattern->context, DEPTH_MAX);
    pcre2_set_heap_limit(pattern->context, HEAP_MAX_KIB);
    *out_pattern = pattern;
    return ERR_OK;
}

void account_pattern_free(struct account_pattern **pattern)
{
    if (*pattern == NULL)
        return;
    pcre2_match_context_free((*pattern)->context);
    pcre2_match_data_free((*pattern)->match);
    pcre2_code_free((*pattern)->code);
    mem_free(pattern);
}

unsigned account_pattern_groups(const struct account_pattern *pattern)
{
    uint32_t count = 0;

    if (pcre2_pattern_info(pattern->code, PCRE2_INFO_CAPTURECOUNT, &count) != 0)
        return 0;
    return count < ACCOUNT_CAPTURES ? count : ACCOUNT_CAPTURES - 1;
}

bool account_pattern_match(const struct account_pattern *pattern, struct str local,
                           struct account_captures *out_captures)
{
    struct account_captures captures = {{{NULL, 0}}};
    const PCRE2_SIZE *places;
    int count = pcre2_match(pattern->code, (PCRE2_SPTR)(local.ptr == NULL ? "" : local.ptr),
                            local.len, 0, 0, pattern->match, pattern->context);

    /* 0: there were more groups than places. A limit, or bytes that are no UTF-8: no match. */
    if (count < 0)
        return false;
    places = pcre2_get_ovector_pointer(pattern->match);
    for (size_t i = 0; i < (count == 0 ? ACCOUNT_CAPTURES : (size_t)count); i++) {
        PCRE2_SIZE start = places[2 * i], end = places[2 * i + 1];

        /* \K can put the start behind the end. */
        if (start != PCRE2_UNSET && start <= end && end <= local.len)
            captures.groups[i] = str_make(local.ptr + start, end - start);
    }
    *out_captures = captures;
    return true;
}

/* After a dollar: takes "1" or "{1}" off *rest. */
static bool take_group(struct str *rest, unsigned *out_group)
{
    bool is_braced = rest->len > 0 && rest->ptr[0] == '{';
    struct str text = str_from(*rest, is_braced ? 1 : 0);

    if (text.len == 0 || !ascii_is_digit(text.ptr[0]) || text.ptr[0] == '0')
        return false;
    *out_group = (unsigned)(text.ptr[0] - '0');
    text = str_from(text, 1);
    if (is_braced && (text.len == 0 || text.ptr[0] != '}'))
        return false;
    *rest = str_from(text, is_braced ? 1 : 0);
    return true;
}

enum err account_pattern_expand(struct task *task, struct str text,
                                const struct account_captures *captures, unsigned group_count,
                                size_t max, struct str *out_text)
{
    CLEANUP(buf_free) struct buf out;
    struct str rest = text;

    buf_init(&out, max);
    while (rest.len > 0) {
        ptrdiff_t dollar = str_index(rest, '$');
        unsigned group = 0;

        if (buf_append(&out, dollar < 0 ? rest : str_upto(rest, (size_t)dollar)) != ERR_OK)
            return fail(task, ERR_LIMIT, "too long");
        if (dollar < 0)
            break;
        rest = str_from(rest, (size_t)dollar + 1);
        if (rest.len > 0 && rest.ptr[0] == '$') {
            rest = str_from(rest, 1);
            if (buf_append(&out, STR("$")) != ERR_OK)
                return fail(task, ERR_LIMIT, "too long");
            continue;
        }
        if (!take_group(&rest, &group))
            return fail(task, ERR_INVALID, "behind a dollar stands the number of a group, or a "
                                           "second dollar");
        if (group > group_count)
            return fail(task, ERR_INVALID, "the pattern has no group %u", group);
        if (buf_append(&out, captures->groups[group]) != ERR_OK)
            return fail(task, ERR_LIMIT, "too long");
    }
    *out_text = arena_copy(&task->arena, buf_str(&out));
    return ERR_OK;
}

/* --- what was compiled --- */

struct compiled {
    int64_t row; /* 0: free */
    struct buf text;
    struct account_pattern *pattern; /* own */
};

struct account_patterns {
    struct compiled places[COMPILED_MAX];
};

struct account_patterns *account_patterns_new(void)
{
    struct account_patterns *patterns = NEW(struct account_patterns);

    for (size_t i = 0; i < COMPILED_MAX; i++)
        buf_init(&patterns->places[i].text, ACCOUNT_PATTERN_TEXT_MAX);
    return patterns;
}

static void clear(struct compiled *place)
{
    account_pattern_free(&place->pattern);
    buf_free(&place->text);
    buf_init(&place->text, ACCOUNT_PATTERN_TEXT_MAX);
    place->row = 0;
}

void account_patterns_free(struct account_patterns **patterns)
{
    if (*patterns == NULL)
        return;
    for (size_t i = 0; i < COMPILED_MAX; i++)
        clear(&(*patterns)->places[i]);
    mem_free(patterns);
}

enum err account_patterns_get(struct account_patterns *patterns, struct task *task, int64_t row,
                              struct str text, const struct account_pattern **out_pattern)
{
    struct compiled *place = &patterns->places[(uint64_t)row % COMPILED_MAX];

    if (place->row != row || !str_equal(buf_str(&place->text), text)) {
        clear(place);
        TRY(account_pattern_compile(task, text, &place->pattern));
        TRY(buf_append(&place->text, text));
        place->row = row;
    }
    *out_pattern = place->pattern;
    return ERR_OK;
}
