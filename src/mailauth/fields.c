/* Header fields by name; fields.h has the rules. */
#include "mailauth/fields.h"

#include "base/ascii.h"

#include <string.h>

enum { SLOTS_MIN = 64, NAME_HASHED_MAX = 256 };

/* The names are the peer's, so the hash is keyed; it need not be secret for longer than a message.
 */
static size_t slot_of(const struct mailauth_fields *fields, struct str name)
{
    char lower[NAME_HASHED_MAX];
    size_t len = name.len < sizeof(lower) ? name.len : sizeof(lower);

    for (size_t i = 0; i < len; i++)
        lower[i] = ascii_lower(name.ptr[i]);
    return (size_t)hash_text(&fields->key, str_make(lower, len)) % fields->slot_count;
}

/* The slot that has the name, or the free one where it belongs. */
static uint32_t *find(const struct mailauth_fields *fields, struct str name)
{
    size_t slot = slot_of(fields, name);

    for (;; slot = (slot + 1) % fields->slot_count) {
        uint32_t number = fields->slots[slot];

        if (number == 0 || str_equal_nocase(fields->names[number - 1], name))
            return &fields->slots[slot];
    }
}

static void add(struct mailauth_fields *fields, const struct header_field *text, size_t start)
{
    struct mailauth_field *field = &fields->fields[fields->count++];
    uint32_t *slot = find(fields, text->name);

    if (*slot == 0) {
        fields->names[fields->name_count++] = text->name;
        *slot = (uint32_t)fields->name_count;
    }
    field->text = *text;
    field->start = start;
    field->name = *slot - 1;
    field->above = fields->lowest[field->name];
    fields->lowest[field->name] = (uint32_t)fields->count;
}

static size_t count_fields(struct str message, size_t *position)
{
    struct header_field field;
    size_t count = 0;

    while (header_field_next(message, position, &field))
        count += field.name.len > 0;
    return count;
}

void mailauth_fields_read(struct arena *arena, struct str message, struct mailauth_fields *out)
{
    struct header_field field;
    size_t end = 0, position = 0, count = count_fields(message, &end);

    *out = (struct mailauth_fields){.is_too_many = count > MAILAUTH_FIELDS_MAX,
                                    .key = hash_key_random()};
    if (count > MAILAUTH_FIELDS_MAX)
        count = MAILAUTH_FIELDS_MAX;
    out->fields = ARENA_ARRAY(arena, struct mailauth_field, count + 1);
    out->lowest = ARENA_ARRAY(arena, uint32_t, count + 1);
    out->names = ARENA_ARRAY(arena, struct str, count + 1);
    out->slot_count = 2 * count + SLOTS_MIN; /* never full: there are no more names than fields */
    out->slots = ARENA_ARRAY(arena, uint32_t, out->slot_count);
    for (;;) {
        size_t start = position;

        if (out->count == count || !header_field_next(message, &position, &field))
            break;
        if (field.name.len > 0)
            add(out, &field, start);
    }
    /* Over the empty line. */
    out->body = str_from(message, end);
    if (str_starts_with(out->body, STR("\r\n")))
        out->body = str_from(out->body, 2);
    else if (str_starts_with(out->body, STR("\n")))
        out->body = str_from(out->body, 1);
}

size_t mailauth_fields_count(const struct mailauth_fields *fields, struct str name)
{
    uint32_t number = *find(fields, name);
    size_t count = 0;

    if (number == 0)
        return 0;
    for (uint32_t at = fields->lowest[number - 1]; at != 0; at = fields->fields[at - 1].above)
        count++;
    return count;
}

void mailauth_taker_init(struct arena *arena, const struct mailauth_fields *fields,
                         struct mailauth_taker *out)
{
    out->fields = fields;
    out->next = ARENA_ARRAY(arena, uint32_t, fields->name_count + 1);
    if (fields->name_count > 0)
        memcpy(out->next, fields->lowest, fields->name_count * sizeof(*out->next));
}

const struct mailauth_field *mailauth_take(struct mailauth_taker *taker, struct str name)
{
    uint32_t number = *find(taker->fields, name), at;

    if (number == 0 || taker->next[number - 1] == 0)
        return NULL;
    at = taker->next[number - 1];
    taker->next[number - 1] = taker->fields->fields[at - 1].above;
    return &taker->fields->fields[at - 1];
}
