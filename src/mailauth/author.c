/* The domains of From. */
#include "mailauth/author.h"

#include "mailauth/domain.h"
#include "message/address.h"

#include <string.h>

static void add(struct mailauth_authors *authors, struct str domain)
{
    for (size_t i = 0; i < authors->count; i++)
        if (str_equal(authors->domains[i], domain))
            return;
    if (authors->count < MAILAUTH_AUTHORS_MAX)
        authors->domains[authors->count++] = domain;
}

void mailauth_authors_read(struct arena *arena, const struct mailauth_fields *fields,
                           struct mailauth_authors *out)
{
    struct mailauth_taker taker;
    const struct mailauth_field *field;
    size_t field_count = 0, address_count = 0, budget = HEADER_FIELD_MAX;
    bool is_clean = true;

    memset(out, 0, sizeof(*out));
    mailauth_taker_init(arena, fields, &taker);
    while ((field = mailauth_take(&taker, STR("From"))) != NULL) {
        struct address_list list = {0};

        field_count++;
        is_clean = is_clean && field->text.value.len < HEADER_FIELD_MAX;
        address_parse(arena, header_flat(arena, field->text.value, &budget), &list);
        for (size_t i = 0; i < list.count; i++) {
            struct str domain;

            address_count++;
            if (list.addresses[i].kind == ADDRESS_MAILBOX &&
                mailauth_domain_normal(arena, list.addresses[i].host, &domain))
                add(out, domain);
            else
                is_clean = false;
            if (list.addresses[i].name_host.ptr == NULL)
                continue;
            /* Whom a reader may take for the author has a say, too. */
            is_clean = false;
            if (mailauth_domain_normal(arena, list.addresses[i].name_host, &domain))
                add(out, domain);
        }
    }
    out->is_none = field_count == 0;
    out->is_one = field_count == 1 && address_count == 1 && is_clean && !fields->is_too_many;
}
