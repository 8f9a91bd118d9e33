#include "role/roles.h"

/* Each one uses only those before it, or waits for them. */
const struct role *const roles[] = {
    &role_resolver, &role_scanner, &role_examiner, &role_keeper, &role_sealer, &role_nursery,
    &role_archivist, &role_store, &role_courier, &role_smtp, &role_gate,
};
const size_t roles_count = ARRAY_LEN(roles);
