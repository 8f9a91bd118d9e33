/*
 * How libFuzzer changes inputs that are command lines: byte by byte, as it does by itself, but
 * mostly by whole lines, words and lists in parentheses, which it would take long to find. A list
 * twice, or one within another, is what parsers of such protocols get wrong.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *data, size_t size, const uint8_t *other,
                                 size_t other_size, uint8_t *out, size_t max_size, unsigned seed);

enum { HEAD = 1, REPETITIONS_MAX = 8, COPIED_MAX = 1000 }; /* the first byte is none of a line */

/* Bytes [from, to) of an input. */
struct span {
    size_t from, to;
};

/* xorshift */
static size_t below(unsigned *state, size_t limit)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return limit == 0 ? 0 : *state % limit;
}

static bool ends_line(uint8_t byte)
{
    return byte == '\n' || byte == '\0';
}

static bool ends_word(uint8_t byte)
{
    return byte <= ' ' || byte == '(' || byte == ')' || byte == '"';
}

/* The line, with its end, that has the byte at `at`. */
static struct span line_at(const uint8_t *data, size_t size, size_t at)
{
    struct span line = {at, at};

    while (line.from > HEAD && !ends_line(data[line.from - 1]))
        line.from--;
    while (line.to < size && !ends_line(data[line.to]))
        line.to++;
    if (line.to < size)
        line.to++;
    return line;
}

/* Behind what `open` begins at `at`; the line's end: it ends nowhere. */
static size_t closing(const uint8_t *data, size_t size, size_t at, uint8_t open, uint8_t close)
{
    size_t depth = 0;

    for (; at < size && !ends_line(data[at]); at++) {
        depth += data[at] == open;
        depth -= data[at] == close;
        if (depth == 0)
            return at + 1;
    }
    return at;
}

/* The list in parentheses that begins at `at`, or else the word there, with what is in brackets. */
static struct span item_at(const uint8_t *data, size_t size, size_t at)
{
    struct span item = {at, at};

    if (at < size && data[at] == '(')
        return (struct span){at, closing(data, size, at, '(', ')')};
    while (item.from > HEAD && !ends_word(data[item.from - 1]))
        item.from--;
    while (item.to < size && !ends_word(data[item.to]))
        item.to = data[item.to] == '[' ? closing(data, size, item.to, '[', ']') : item.to + 1;
    return item;
}

/* A word, a list, or a word with the list that follows, as that of an option. */
static struct span some_item(const uint8_t *data, size_t size, unsigned *state)
{
    size_t at = HEAD + below(state, size - HEAD);
    const uint8_t *list = below(state, 2) == 0 ? memchr(data + at, '(', size - at) : NULL;
    struct span item = item_at(data, size, list == NULL ? at : (size_t)(list - data));

    if (list == NULL && item.to + 1 < size && data[item.to] == ' ' && data[item.to + 1] == '(')
        item.to = item_at(data, size, item.to + 1).to;
    else if (list != NULL && below(state, 2) == 0 && item.from > HEAD + 1 &&
             data[item.from - 1] == ' ')
        item.from = item_at(data, size, item.from - 2).from;
    return item;
}

static struct span some_line(const uint8_t *data, size_t size, unsigned *state)
{
    return line_at(data, size, HEAD + below(state, size - HEAD));
}

/* `text` instead of what is there; the new size. Too long: as it was. */
static size_t put(uint8_t *data, size_t size, size_t max_size, struct span there,
                  const uint8_t *text, size_t len)
{
    size_t rest = size - there.to;

    if (there.from + len + rest > max_size)
        return size;
    memmove(data + there.from + len, data + there.to, rest);
    if (len > 0)
        memcpy(data + there.from, text, len);
    return there.from + len + rest;
}

/* `text`, behind a space, so many times at `at`. */
static size_t repeat(uint8_t *data, size_t size, size_t max_size, size_t at, const uint8_t *text,
                     size_t len, size_t times)
{
    struct span there = {at, at};

    for (size_t i = 0; i < times; i++) {
        size = put(data, size, max_size, there, text, len);
        size = put(data, size, max_size, there, (const uint8_t *)" ", 1);
    }
    return size;
}

/* One more change of an input, by what `source` has: itself, or another. */
static size_t change(uint8_t *data, size_t size, size_t max_size, const uint8_t *source,
                     size_t source_size, unsigned *state)
{
    struct span line = some_line(data, size, state), item = some_item(data, size, state);
    struct span before = {line.from, line.from};
    size_t item_len = item.to - item.from < COPIED_MAX ? item.to - item.from : COPIED_MAX, times;
    uint8_t copy[COPIED_MAX];
    struct span from = below(state, 2) == 0 ? some_line(source, source_size, state)
                                            : some_item(source, source_size, state);
    size_t len = from.to - from.from;

    switch (below(state, 8)) {
    case 0: /* a line goes */
        return put(data, size, max_size, line, NULL, 0);
    case 1: /* another speaks from here on */
        return put(data, size, max_size, before, (const uint8_t *)"", 1);
    case 2: /* lines in front of this one */
        for (size_t i = 1 + below(state, 3); i > 0; i--) {
            struct span more = some_line(source, source_size, state);

            size = put(data, size, max_size, before, source + more.from, more.to - more.from);
        }
        return size;
    case 3: /* an item instead of another */
        return put(data, size, max_size, item, source + from.from, len);
    case 4: /* an item behind another */
        return repeat(data, size, max_size, item.to, source + from.from, len, 1);
    case 5:
    case 6: /* an item once more, or some times */
        times = below(state, 2) == 0 ? 1 : 1 + below(state, REPETITIONS_MAX);
        memcpy(copy, data + item.from, item_len);
        return repeat(data, size, max_size, item.to, copy, item_len, times);
    default: { /* a line once more; it ends where it is put */
        struct span end = {line.to, line.to};

        return put(data, size, max_size, end, data + line.from, line.to - line.from);
    }
    }
}

/* The same by what it has itself: by a copy, as what is inserted would move what is read. */
static size_t change_by_itself(uint8_t *data, size_t size, size_t max_size, unsigned *state)
{
    uint8_t *copy = malloc(size);
    size_t copied = size;

    if (copy == NULL)
        abort();
    memcpy(copy, data, size);
    size = change(data, size, max_size, copy, copied, state);
    free(copy);
    return size;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    unsigned state = (seed * 2654435761u) | 1;

    if (size <= HEAD || below(&state, 3) == 0)
        return LLVMFuzzerMutate(data, size, max_size);
    return change_by_itself(data, size, max_size, &state);
}

size_t LLVMFuzzerCustomCrossOver(const uint8_t *data, size_t size, const uint8_t *other,
                                 size_t other_size, uint8_t *out, size_t max_size, unsigned seed)
{
    unsigned state = (seed * 2654435761u) | 1;

    size = size < max_size ? size : max_size;
    memcpy(out, data, size);
    if (size <= HEAD || other_size <= HEAD)
        return size;
    return change(out, size, max_size, other, other_size, &state);
}
