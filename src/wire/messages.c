/*
 * The table of messages.h as data: what each message is called, who may send it to whom, and where
 * its fields lie. The codec (codec.c) and the channel walk it; nothing else lists messages.
 */
#include "wire/table.h"

#include "base/macros.h"
#include "wire/channel.h"

#include <assert.h>
#include <stddef.h>

static const char *const role_names[WIRE_ROLE_COUNT] = {
#define R(NAME, name) #name,
    WIRE_ROLES(R)
#undef R
};

/* One array of fields for each message: fields_login[] and so on. `type` names the structure. */
#define FIELD(kind, field) {#field, WIRE_KIND_##kind, offsetof(struct message, field)},
#define M(NAME, name, senders, receivers, descriptors)                                             \
    static const struct wire_field *fields_of_##name(size_t *out_count)                            \
    {                                                                                              \
        struct message {                                                                           \
            WIRE_FIELDS_##name(WIRE_FIELD)                                                         \
        };                                                                                         \
        static const struct wire_field fields[] = {WIRE_FIELDS_##name(FIELD)};                     \
                                                                                                   \
        static_assert(sizeof(struct message) == sizeof(struct wire_##name), "one layout");         \
        *out_count = ARRAY_LEN(fields);                                                            \
        return fields;                                                                             \
    }
WIRE_MESSAGES(M)
#undef M

static const struct wire_entry entries[WIRE_TYPE_COUNT] = {
#define M(NAME, name, senders, receivers, descriptors)                                             \
    {#name, (senders), (receivers), (descriptors), fields_of_##name},
    WIRE_MESSAGES(M)
#undef M
};

const struct wire_entry *wire_entry(enum wire_type type)
{
    assert((unsigned)type < WIRE_TYPE_COUNT);
    return &entries[type];
}

const char *wire_role_name(enum wire_role role)
{
    return (unsigned)role < WIRE_ROLE_COUNT ? role_names[role] : "unknown";
}

const char *wire_type_name(enum wire_type type)
{
    return (unsigned)type < WIRE_TYPE_COUNT ? entries[type].name : "unknown";
}

bool wire_is_allowed(enum wire_type type, enum wire_role sender, enum wire_role receiver)
{
    if ((unsigned)type >= WIRE_TYPE_COUNT || (unsigned)sender >= WIRE_ROLE_COUNT ||
        (unsigned)receiver >= WIRE_ROLE_COUNT)
        return false;
    return (entries[type].senders & BIT(sender)) != 0 &&
           (entries[type].receivers & BIT(receiver)) != 0 && sender != receiver;
}
