/*
 * Any bytes as HTML. The first byte says whether they are an attribute's value, and how long the
 * steps are in which they are read a second time.
 */
#include "message/html.h"

#include "base/ascii.h"
#include "base/memory.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The room is just as long as it has to be, so that a sanitizer sees what is written behind it. */
static struct str read_all(struct str html, bool is_attribute, size_t step, char **out_room)
{
    struct html_reader reader = {
        .html = html, .room = mem_room(html.len), .is_attribute = is_attribute};
    size_t before;
    bool has_more;

    do {
        before = reader.i;
        has_more = html_reader_step(&reader, step);
        /* Never more than was read, the white space that is still to be written among it. */
        assert(reader.i <= html.len &&
               reader.len + (reader.blank != 0 && reader.len > 0) <= reader.i);
        assert(has_more ? reader.i > before : reader.i == html.len);
    } while (has_more);
    *out_room = reader.room;
    return str_make(reader.room, reader.len);
}

static void check_text(struct str html, struct str text)
{
    bool is_behind_space = true;

    for (size_t i = 0; i < text.len; i++) {
        bool is_space = ascii_is_space(text.ptr[i]);

        assert(!is_space || !is_behind_space);
        is_behind_space = is_space;
    }
    assert(text.len == 0 || !is_behind_space);
    if (!str_is_utf8(html))
        return;
    assert(str_is_utf8(text));
    /* No-break spaces are white space, and soft hyphens nothing. */
    assert(str_find(text, STR("\xc2\xa0")) < 0 && str_find(text, STR("\xc2\xad")) < 0);
}

/* In what follows "<b ", the reader and those who look for a tag's end themselves find the same
 * one. */
static void check_tag_end(struct str html, bool is_attribute)
{
    struct str tag, inside, outside;
    char *inside_room, *outside_room;
    struct buf whole;
    size_t end;

    buf_init(&whole, SIZE_MAX);
    buf_put(&whole, STR("<b "));
    buf_put(&whole, html);
    tag = str_from(buf_str(&whole), 1);
    end = html_tag_end(tag);
    assert(end <= tag.len && (end == tag.len || tag.ptr[end] == '>'));
    inside = read_all(buf_str(&whole), is_attribute, SIZE_MAX, &inside_room);
    outside = read_all(str_from(tag, end + (end < tag.len)), is_attribute, SIZE_MAX, &outside_room);
    assert(str_equal(inside, outside));
    mem_free(&inside_room);
    mem_free(&outside_room);
    buf_free(&whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str html, whole, steps;
    char *whole_room, *steps_room;
    bool is_attribute;

    if (size == 0)
        return 0;
    is_attribute = (data[0] & 1) != 0;
    html = str_make(data + 1, size - 1);
    whole = read_all(html, is_attribute, SIZE_MAX, &whole_room);
    steps = read_all(html, is_attribute, (size_t)(data[0] >> 1) + 1, &steps_room);
    assert(str_equal(whole, steps));
    check_text(html, whole);
    check_tag_end(html, is_attribute);
    mem_free(&whole_room);
    mem_free(&steps_room);
    return 0;
}
