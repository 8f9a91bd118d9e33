/* Which role needs what from master. */
#include "role/roles.h"

struct identity roles_identity;

struct role_files role_files(enum wire_role kind)
{
    return (struct role_files){
        .has_certificate = kind == WIRE_ROLE_GATE || kind == WIRE_ROLE_SMTP,
        .has_host_key = kind == WIRE_ROLE_KEEPER,
        .has_trust = kind == WIRE_ROLE_COURIER || kind == WIRE_ROLE_RESOLVER ||
                     kind == WIRE_ROLE_ARCHIVIST,
    };
}

enum wire_role role_of_listener(struct str name)
{
    if (str_equal(name, STR("admin")))
        return WIRE_ROLE_KEEPER;
    return str_starts_with(name, STR("imap")) || str_starts_with(name, STR("pop3"))
               ? WIRE_ROLE_GATE
               : WIRE_ROLE_SMTP;
}
