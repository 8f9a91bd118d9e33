/*
 * Address lists (RFC 5322 §3.4 and its obsolete forms), read without recursion and without failing:
 * whatever is between two commas is an address somehow.
 */
#ifndef MESSAGE_ADDRESS_H
#define MESSAGE_ADDRESS_H

#include "base/arena.h"
#include "base/str.h"

enum address_kind {
    ADDRESS_MAILBOX,
    ADDRESS_GROUP_START, /* `mailbox` holds the group's name */
    ADDRESS_GROUP_END,
};

/* Quotes and backslashes are taken off; encoded words stay. ptr NULL: absent. */
struct address {
    enum address_kind kind;
    struct str name;    /* the phrase before <…>, or else the comment behind the address */
    struct str route;   /* "@a,@b" */
    struct str mailbox; /* the local part; never absent */
    struct str host;    /* empty when the writer gave none */
    /* Not NULL: the name is an address at this other host that somebody forgot to quote, as in
     * "a@x.org <b@y.org>": others may take it for the address. */
    struct str name_host;
};

struct address_list {
    struct address *addresses; /* in the arena, as what they point to, unless it is in the value */
    size_t count, room;
};

/* Adds to *list, which begins all zero. `flat` is a flat value (header_flat) and outlives it. */
void address_parse(struct arena *arena, struct str flat, struct address_list *list);

#endif
