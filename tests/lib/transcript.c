#include "transcript.h"

#include "base/ascii.h"
#include "base/encode.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

void transcript_variables_done(struct transcript_variables *variables)
{
    arena_free(&variables->arena);
    *variables = (struct transcript_variables){.count = 0};
}

/* --- What a client says --- */

/* "$(x*70000)" at the front, with $i for the how manieth it is; its length, 0: it is none. */
static size_t expand_repetition(struct str text, struct buf *out)
{
    ptrdiff_t end = str_index(text, ')');
    struct str inside = end < 2 ? STR("") : str_from(str_upto(text, (size_t)end), 2);
    ptrdiff_t star = str_last_index(inside, '*');
    struct transcript_variables own = {.at = {{.name = STR("i")}}, .count = 1};
    char digits[16];
    uint32_t count;

    if (star < 1 || !parse_u32(str_from(inside, (size_t)star + 1), &count))
        return 0;
    inside = str_upto(inside, (size_t)star);
    for (uint32_t i = 1; i <= count; i++) {
        (void)snprintf(digits, sizeof(digits), "%u", i);
        own.at[0].value = str_from_c(digits);
        if (!transcript_expand(&own, inside, out))
            return 0;
    }
    return (size_t)end + 1;
}

/* "$name" at the front; its length, 0: there is no such variable. */
static size_t expand_variable(const struct transcript_variables *variables, struct str text,
                              struct buf *out)
{
    for (size_t i = 0; i < variables->count; i++) {
        if (str_starts_with(str_from(text, 1), variables->at[i].name)) {
            buf_put(out, variables->at[i].value);
            return 1 + variables->at[i].name.len;
        }
    }
    return 0;
}

bool transcript_expand(const struct transcript_variables *variables, struct str text,
                       struct buf *out)
{
    while (text.len > 0) {
        size_t len = 0;

        if (str_starts_with(text, STR("$("))) {
            len = expand_repetition(text, out);
            if (len == 0)
                return false;
        } else if (str_starts_with(text, STR("\\x"))) {
            if (decode_hex(out, str_upto(str_from(text, 2), 2)) != ERR_OK)
                return false;
            len = 4;
        } else if (text.ptr[0] == '$') {
            len = expand_variable(variables, text, out);
        }
        if (len == 0) {
            buf_put(out, str_upto(text, 1));
            len = 1;
        }
        text = str_from(text, len);
    }
    return true;
}

/* --- What the server says --- */

static bool is_word_end(char c)
{
    return strchr(" ()[]{}\"<>,:", c) != NULL;
}

static size_t name_len(struct str text)
{
    size_t len = 0;

    while (len < text.len &&
           ((text.ptr[len] >= 'a' && text.ptr[len] <= 'z') || ascii_is_digit(text.ptr[len])))
        len++;
    return len;
}

static bool match_variable(struct transcript_variables *variables, struct str name, struct str word)
{
    for (size_t i = 0; i < variables->count; i++)
        if (str_equal(variables->at[i].name, name))
            return str_equal(variables->at[i].value, word);
    assert(variables->count < TRANSCRIPT_VARIABLES_MAX);
    variables->at[variables->count].name = arena_copy(&variables->arena, name);
    variables->at[variables->count++].value = arena_copy(&variables->arena, word);
    return true;
}

static bool is_captured(const struct transcript_variables *variables, struct str word)
{
    for (size_t i = 0; i < variables->count; i++)
        if (str_equal(variables->at[i].value, word))
            return true;
    return false;
}

bool transcript_match(struct transcript_variables *variables, struct str expected, struct str line,
                      bool may_have_words)
{
    while (expected.len > 0) {
        size_t len = 0, name;

        if (str_starts_with(expected, STR("..."))) {
            struct str after = str_from(expected, 3);

            if (after.len == 0)
                return true;
            /* Up to the last place where the rest fits. */
            for (size_t i = line.len + 1; i-- > 0;)
                if (transcript_match(variables, after, str_from(line, i), may_have_words))
                    return true;
            return false;
        }
        name = expected.ptr[0] == '$' ? name_len(str_from(expected, 1)) : 0;
        if (name > 0) {
            while (len < line.len && !is_word_end(line.ptr[len]))
                len++;
            if (str_starts_with(str_from(expected, name + 1), STR("!")) &&
                is_captured(variables, str_upto(line, len)))
                return false;
            if (len == 0 || !match_variable(variables, str_upto(str_from(expected, 1), name),
                                            str_upto(line, len)))
                return false;
            expected = str_from(expected, name + 1);
            if (str_starts_with(expected, STR("!")))
                expected = str_from(expected, 1);
            line = str_from(line, len);
            continue;
        }
        if (line.len == 0 || line.ptr[0] != expected.ptr[0])
            return false;
        expected = str_from(expected, 1);
        line = str_from(line, 1);
    }
    return line.len == 0 || (may_have_words && line.ptr[0] == ' ');
}
