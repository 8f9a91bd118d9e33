#define PCRE2_CODE_UNIT_WIDTH 8
#include "imap/regex.h"

#include "base/clock.h"

#include <pcre2.h>

enum {
    DEPTH_MAX = 50000,
    STEPS_MAX = 20 * 1000 * 1000,
    STEPS_PER_LOOK = 16, /* at the clock: a step between may run through the whole text */
};

struct imap_regex {
    pcre2_code *code;
    pcre2_match_data *match;
    pcre2_match_context *context;
    unsigned steps;
    int64_t end_us;
};

/* All that PCRE2 allocates is the task's: it goes with it, and is wiped. */
static void *allocate(size_t size, void *data)
{
    return arena_alloc(data, 1, size);
}

static void release(void *block, void *data)
{
    (void)block;
    (void)data;
}

/* Called before each item of the pattern that is tried. */
static int on_step(pcre2_callout_block *block, void *data)
{
    struct imap_regex *regex = data;

    (void)block;
    if (++regex->steps % STEPS_PER_LOOK != 0)
        return 0;
    return clock_processor_us() < regex->end_us ? 0 : PCRE2_ERROR_CALLOUT;
}

static pcre2_compile_context *bounds(pcre2_general_context *memory)
{
    pcre2_compile_context *context = pcre2_compile_context_create(memory);

    pcre2_set_max_pattern_length(context, IMAP_REGEX_PATTERN_MAX);
    pcre2_set_parens_nest_limit(context, IMAP_REGEX_NESTING_MAX);
    pcre2_set_newline(context, PCRE2_NEWLINE_ANYCRLF);
    return context;
}

enum err imap_regex_compile(struct task *task, struct str pattern, struct imap_regex **out)
{
    struct imap_regex *regex = ARENA_NEW(&task->arena, struct imap_regex);
    pcre2_general_context *memory = pcre2_general_context_create(allocate, release, &task->arena);
    uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_CASELESS | PCRE2_MULTILINE |
                       PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C | PCRE2_AUTO_CALLOUT;
    PCRE2_SIZE offset;
    int code;

    regex->code = pcre2_compile((PCRE2_SPTR)pattern.ptr, pattern.len, options, &code, &offset,
                                bounds(memory));
    if (regex->code == NULL)
        return fail(task, ERR_INVALID, "pattern refused with code %d", code);
    regex->match = pcre2_match_data_create(1, memory);
    regex->context = pcre2_match_context_create(memory);
    pcre2_set_match_limit(regex->context, STEPS_MAX);
    pcre2_set_depth_limit(regex->context, DEPTH_MAX);
    pcre2_set_heap_limit(regex->context, IMAP_REGEX_HEAP_MAX_KIB);
    pcre2_set_callout(regex->context, on_step, regex);
    *out = regex;
    return ERR_OK;
}

enum imap_regex_answer imap_regex_find(struct imap_regex *regex, struct str text, int64_t *left_us)
{
    int64_t start_us = clock_processor_us();
    int code;

    if (*left_us <= 0)
        return IMAP_REGEX_TOO_DEAR;
    regex->end_us = start_us + *left_us;
    code = pcre2_match(regex->code, (PCRE2_SPTR)(text.ptr == NULL ? "" : text.ptr), text.len, 0, 0,
                       regex->match, regex->context);
    *left_us -= clock_processor_us() - start_us;
    if (code >= 0)
        return IMAP_REGEX_YES;
    return code == PCRE2_ERROR_NOMATCH ? IMAP_REGEX_NO : IMAP_REGEX_TOO_DEAR;
}
