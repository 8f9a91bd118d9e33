#include "message/envelope.h"

#include "message/header.h"
#include "message/imaptext.h"

static const struct str names[ENVELOPE_FIELDS] = {
    [ENVELOPE_DATE] = STR_INIT("date"),
    [ENVELOPE_SUBJECT] = STR_INIT("subject"),
    [ENVELOPE_FROM] = STR_INIT("from"),
    [ENVELOPE_SENDER] = STR_INIT("sender"),
    [ENVELOPE_REPLY_TO] = STR_INIT("reply-to"),
    [ENVELOPE_TO] = STR_INIT("to"),
    [ENVELOPE_CC] = STR_INIT("cc"),
    [ENVELOPE_BCC] = STR_INIT("bcc"),
    [ENVELOPE_IN_REPLY_TO] = STR_INIT("in-reply-to"),
    [ENVELOPE_MESSAGE_ID] = STR_INIT("message-id"),
    [ENVELOPE_REFERENCES] = STR_INIT("references"),
};

static bool has_addresses(enum envelope_field field)
{
    return field >= ENVELOPE_FROM && field <= ENVELOPE_BCC;
}

/* Of the budget: what an address, or a field of addresses, takes besides its text. */
enum { ADDRESS_COST = 64 };

static void charge(size_t *budget, size_t cost)
{
    *budget -= cost < *budget ? cost : *budget;
}

static void note(struct arena *arena, const struct header_field *field, size_t *budget,
                 struct envelope *out)
{
    for (size_t i = 0; i < ENVELOPE_FIELDS; i++) {
        struct str flat;

        if (field->name.len != names[i].len || !str_equal_nocase(field->name, names[i]))
            continue;
        /* Of addresses all fields count, while there is room for them. */
        if (out->values[i].ptr != NULL && (!has_addresses((enum envelope_field)i) || *budget == 0))
            return;
        flat = header_flat(arena, field->value, budget);
        if (out->values[i].ptr == NULL)
            out->values[i] = flat;
        if (has_addresses((enum envelope_field)i)) {
            size_t before = out->addresses[i].count;

            address_parse(arena, flat, &out->addresses[i]);
            charge(budget, (1 + out->addresses[i].count - before) * ADDRESS_COST);
        }
        return;
    }
}

void envelope_read(struct arena *arena, struct str header, size_t *budget, struct envelope *out)
{
    struct header_field field;
    size_t position = 0;

    *out = (struct envelope){0};
    while (header_field_next(header, &position, &field)) {
        if (str_equal_nocase(field.name, STR("received")))
            out->received_count++;
        else
            note(arena, &field, budget, out);
    }
}

/* address = "(" addr-name SP addr-adl SP addr-mailbox SP addr-host ")"; a group begins with a NIL
 * host and ends with both NIL (RFC 3501 §7.4.2). */
static void write_address(const struct address *address, struct buf *out)
{
    switch (address->kind) {
    case ADDRESS_GROUP_START:
        buf_put(out, STR("(NIL NIL "));
        imaptext_string(address->mailbox, out);
        buf_put(out, STR(" NIL)"));
        return;
    case ADDRESS_GROUP_END:
        buf_put(out, STR("(NIL NIL NIL NIL)"));
        return;
    case ADDRESS_MAILBOX:
        buf_put(out, STR("("));
        imaptext_nstring(address->name, out);
        buf_put(out, STR(" "));
        imaptext_nstring(address->route, out);
        buf_put(out, STR(" "));
        imaptext_string(address->mailbox, out);
        buf_put(out, STR(" "));
        imaptext_string(address->host, out);
        buf_put(out, STR(")"));
        return;
    }
}

static void write_addresses(const struct address_list *list, struct buf *out)
{
    if (list->count == 0) {
        buf_put(out, STR(" NIL"));
        return;
    }
    buf_put(out, STR(" ("));
    for (size_t i = 0; i < list->count; i++)
        write_address(&list->addresses[i], out);
    buf_put(out, STR(")"));
}

void envelope_write(const struct envelope *envelope, struct buf *out)
{
    buf_put(out, STR("("));
    imaptext_nstring(envelope->values[ENVELOPE_DATE], out);
    buf_put(out, STR(" "));
    imaptext_nstring(envelope->values[ENVELOPE_SUBJECT], out);
    for (size_t i = ENVELOPE_FROM; i <= ENVELOPE_BCC; i++) {
        const struct address_list *list = &envelope->addresses[i];

        /* Without a Sender or Reply-To, or with an empty one, it is From. */
        if (list->count == 0 && (i == ENVELOPE_SENDER || i == ENVELOPE_REPLY_TO))
            list = &envelope->addresses[ENVELOPE_FROM];
        write_addresses(list, out);
    }
    buf_put(out, STR(" "));
    imaptext_nstring(envelope->values[ENVELOPE_IN_REPLY_TO], out);
    buf_put(out, STR(" "));
    imaptext_nstring(envelope->values[ENVELOPE_MESSAGE_ID], out);
    buf_put(out, STR(")"));
}
