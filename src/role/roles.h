/* The roles that `serve` starts, in this order; they are stopped in the opposite one. */
#ifndef ROLE_ROLES_H
#define ROLE_ROLES_H

#include "role/identity.h"
#include "role/role.h"

/* One constant in role/<name>.c each. */
extern const struct role role_resolver, role_scanner, role_examiner, role_keeper, role_sealer,
    role_nursery, role_store, role_archivist, role_courier, role_smtp, role_gate;

extern const struct role *const roles[];
extern const size_t roles_count;

/* Whom the roles' processes become; found by master before it forks the first. */
extern struct identity roles_identity;

/* What a role gets with CONFIGURE beside the configuration. */
enum { ROLE_FILES_MAX = 3, CONFIG_TEXT_MAX = 1024 * 1024 };

struct role_files {
    bool has_certificate; /* and its key */
    bool has_host_key;
    bool has_trust; /* and a password: role_trust_pem, role_password */
};

/* What a role of this kind gets. */
struct role_files role_files(enum wire_role kind);
/* Which role serves a listening socket of this name. */
enum wire_role role_of_listener(struct str name);

#endif
