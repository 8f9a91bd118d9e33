/* Any bytes: the canonical text of an address is an address, its own canonical text. */
#include "smtp/address.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(struct arena *arena, const struct smtp_address *address)
{
    struct smtp_address again = {0};

    if (address->is_null || address->is_postmaster)
        return;
    assert(address->text.len + 2 <= SMTP_PATH_MAX);
    assert(smtp_address_parse(arena, address->text, &again) == SMTP_ADDRESS_OK);
    assert(str_equal(again.text, address->text));
    assert(str_equal(again.local, address->local) && str_equal(again.domain, address->domain));
    assert(again.is_literal == address->is_literal && again.has_utf8 == address->has_utf8);
    assert(str_is_utf8(again.text) && str_index(again.text, '\r') < 0 &&
           str_index(again.text, '\n') < 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena = {NULL};
    struct smtp_address address;
    struct str text = str_make(data, size), rest = text;

    if (smtp_address_parse(&arena, text, &address) == SMTP_ADDRESS_OK)
        check(&arena, &address);
    if (smtp_path_parse(&arena, &rest, true, &address) == SMTP_ADDRESS_OK) {
        assert(rest.len < text.len);
        check(&arena, &address);
    }
    rest = text;
    if (smtp_path_parse(&arena, &rest, false, &address) == SMTP_ADDRESS_OK)
        check(&arena, &address);
    arena_free(&arena);
    return 0;
}
