/* The functions behind the table of commands; each gives its reply in the request. */
#ifndef ACCOUNT_ADMIN_HANDLERS_H
#define ACCOUNT_ADMIN_HANDLERS_H

#include "account/admin/command.h"

/* status.c */
MUST_CHECK enum err admin_status(struct admin_request *request);
/* user.c */
MUST_CHECK enum err admin_user_add(struct admin_request *request);
MUST_CHECK enum err admin_user_list(struct admin_request *request);
MUST_CHECK enum err admin_user_show(struct admin_request *request);
MUST_CHECK enum err admin_user_remove(struct admin_request *request);
MUST_CHECK enum err admin_user_quota(struct admin_request *request);
/* domain.c */
MUST_CHECK enum err admin_domain_add(struct admin_request *request);
MUST_CHECK enum err admin_domain_list(struct admin_request *request);
MUST_CHECK enum err admin_domain_show(struct admin_request *request);
MUST_CHECK enum err admin_domain_remove(struct admin_request *request);
MUST_CHECK enum err admin_domain_quota(struct admin_request *request);
MUST_CHECK enum err admin_domain_catch_all(struct admin_request *request);
/* alias_add.c */
MUST_CHECK enum err admin_alias_add(struct admin_request *request);
/* alias.c */
MUST_CHECK enum err admin_alias_list(struct admin_request *request);
MUST_CHECK enum err admin_alias_show(struct admin_request *request);
MUST_CHECK enum err admin_alias_remove(struct admin_request *request);
MUST_CHECK enum err admin_alias_enable(struct admin_request *request);
MUST_CHECK enum err admin_alias_disable(struct admin_request *request);
MUST_CHECK enum err admin_alias_quota(struct admin_request *request);
/* password.c */
MUST_CHECK enum err admin_alias_password(struct admin_request *request);
MUST_CHECK enum err admin_alias_recovery_key(struct admin_request *request);
MUST_CHECK enum err admin_app_password_add(struct admin_request *request);
MUST_CHECK enum err admin_app_password_list(struct admin_request *request);
MUST_CHECK enum err admin_app_password_remove(struct admin_request *request);
/* import.c */
MUST_CHECK enum err admin_alias_import(struct admin_request *request);

#endif
