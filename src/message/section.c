/* Body sections (RFC 3501 §6.4.5): from part numbers to ranges of bytes. */
#include "message/message.h"

/* The entity's n-th child, from 1; 0: none such. */
static uint32_t nth_child(const struct message_structure *structure, uint32_t index, uint32_t n)
{
    uint32_t child = structure->parts[index].first_child;

    while (child != 0 && --n > 0)
        child = structure->parts[child].next;
    return child;
}

static struct message_range header_range(const struct message_part *part)
{
    return (struct message_range){part->header_start, part->header_len};
}

static struct message_range body_range(const struct message_part *part)
{
    return (struct message_range){part->body_start, part->body_len};
}

/*
 * Follows the numbers. A number selects among the parts of a multipart; a message that is no
 * multipart has one part, 1: its own body, under the same index as the message. Numbers behind a
 * message/rfc822 part are those of the message inside.
 */
static bool find_part(const struct message_structure *structure, const uint32_t *path,
                      size_t path_len, uint32_t *out_index)
{
    const struct message_part *parts = structure->parts;
    bool is_message = true; /* `index` is a message as such, not one of its parts */
    uint32_t index = 0;

    for (size_t i = 0; i < path_len; i++) {
        if (path[i] == 0)
            return false;
        if (!is_message && parts[index].kind == MESSAGE_KIND_MESSAGE) {
            index = parts[index].first_child;
            is_message = true;
        }
        if (parts[index].kind == MESSAGE_KIND_MULTIPART) {
            index = nth_child(structure, index, path[i]);
            if (index == 0)
                return false;
        } else if (!is_message || path[i] != 1) {
            return false;
        }
        is_message = false;
    }
    *out_index = index;
    return true;
}

const struct message_part *message_section_part(const struct message_structure *structure,
                                                const uint32_t *path, size_t path_len)
{
    uint32_t index;

    if (structure->part_count == 0 || !find_part(structure, path, path_len, &index))
        return NULL;
    return &structure->parts[index];
}

bool message_section_range(const struct message_structure *structure, const uint32_t *path,
                           size_t path_len, enum message_section section, struct message_range *out)
{
    const struct message_part *part;
    uint32_t index;

    if (structure->part_count == 0 || !find_part(structure, path, path_len, &index))
        return false;
    part = &structure->parts[index];
    switch (section) {
    case MESSAGE_SECTION_ALL:
        *out = body_range(part);
        if (path_len == 0)
            *out = (struct message_range){0, part->body_start + part->body_len};
        return true;
    case MESSAGE_SECTION_MIME:
        *out = header_range(part);
        return path_len > 0;
    case MESSAGE_SECTION_HEADER:
    case MESSAGE_SECTION_TEXT:
        if (path_len > 0) {
            if (part->kind != MESSAGE_KIND_MESSAGE)
                return false;
            part = &structure->parts[part->first_child];
        }
        *out = section == MESSAGE_SECTION_HEADER ? header_range(part) : body_range(part);
        return true;
    }
    return false;
}
