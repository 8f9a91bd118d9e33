/* The routes of an alias as the courier reads them (docs/routes.md). */
#ifndef ACCOUNT_ROUTES_H
#define ACCOUNT_ROUTES_H

#include "account/database_rules.h"
#include "account/resolve.h"
#include "account/target.h"

/* Empty text: none. ERR_INVALID: what a pattern's groups took makes no address of a target. */
MUST_CHECK enum err account_routes(struct account_database *database, struct task *task,
                                   const struct account_resolution *resolution,
                                   const struct account_destination *destination,
                                   struct str *out_routes);
/* That of a bounce on its way back. */
struct str account_routes_return(struct task *task, struct str to);

#endif
