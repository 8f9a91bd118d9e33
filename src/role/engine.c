#include "role/engine.h"

static const struct engine_kind *const kinds[] = {&engine_imap, &engine_pop3};

const struct engine_kind *engine_for_service(uint64_t service)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (kinds[i]->service == service)
            return kinds[i];
    }
    return NULL;
}

const struct engine_kind *engine_for_listener(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (str_equal(name, kinds[i]->setting) || str_equal(name, kinds[i]->tls_setting))
            return kinds[i];
    }
    return NULL;
}
