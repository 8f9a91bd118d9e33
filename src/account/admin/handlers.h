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
/* limit.c */
MUST_CHECK enum err admin_user_limit(struct admin_request *request);
MUST_CHECK enum err admin_domain_limit(struct admin_request *request);
/* domain.c */
MUST_CHECK enum err admin_domain_add(struct admin_request *request);
MUST_CHECK enum err admin_domain_list(struct admin_request *request);
MUST_CHECK enum err admin_domain_show(struct admin_request *request);
MUST_CHECK enum err admin_domain_remove(struct admin_request *request);
MUST_CHECK enum err admin_domain_quota(struct admin_request *request);
MUST_CHECK enum err admin_domain_catch_all(struct admin_request *request);
MUST_CHECK enum err admin_domain_require_tls(struct admin_request *request);
/* dns.c, dns_check.c */
MUST_CHECK enum err admin_domain_dns(struct admin_request *request);
MUST_CHECK enum err admin_domain_check(struct admin_request *request);
/* key.c */
MUST_CHECK enum err admin_domain_dkim_rotate(struct admin_request *request);
MUST_CHECK enum err admin_domain_dkim_use(struct admin_request *request);
/* alias_add.c */
MUST_CHECK enum err admin_alias_add(struct admin_request *request);
/* alias.c */
MUST_CHECK enum err admin_alias_list(struct admin_request *request);
MUST_CHECK enum err admin_alias_show(struct admin_request *request);
MUST_CHECK enum err admin_alias_remove(struct admin_request *request);
MUST_CHECK enum err admin_alias_enable(struct admin_request *request);
MUST_CHECK enum err admin_alias_disable(struct admin_request *request);
MUST_CHECK enum err admin_alias_quota(struct admin_request *request);
MUST_CHECK enum err admin_alias_store_on(struct admin_request *request);
MUST_CHECK enum err admin_alias_store_off(struct admin_request *request);
MUST_CHECK enum err admin_alias_junk_on(struct admin_request *request);
MUST_CHECK enum err admin_alias_junk_off(struct admin_request *request);
/* target.c */
MUST_CHECK enum err admin_forward_add(struct admin_request *request);
MUST_CHECK enum err admin_forward_list(struct admin_request *request);
MUST_CHECK enum err admin_forward_remove(struct admin_request *request);
MUST_CHECK enum err admin_webhook_add(struct admin_request *request);
MUST_CHECK enum err admin_webhook_list(struct admin_request *request);
MUST_CHECK enum err admin_webhook_remove(struct admin_request *request);
/* vacation.c */
MUST_CHECK enum err admin_vacation_on(struct admin_request *request);
MUST_CHECK enum err admin_vacation_off(struct admin_request *request);
MUST_CHECK enum err admin_vacation_show(struct admin_request *request);
/* list.c */
MUST_CHECK enum err admin_allow_add(struct admin_request *request);
MUST_CHECK enum err admin_allow_list(struct admin_request *request);
MUST_CHECK enum err admin_allow_remove(struct admin_request *request);
MUST_CHECK enum err admin_deny_add(struct admin_request *request);
MUST_CHECK enum err admin_deny_list(struct admin_request *request);
MUST_CHECK enum err admin_deny_remove(struct admin_request *request);
/* backup.c */
MUST_CHECK enum err admin_backup_list(struct admin_request *request);
MUST_CHECK enum err admin_backup_status(struct admin_request *request);
/* bucket.c */
MUST_CHECK enum err admin_bucket_set(struct admin_request *request);
MUST_CHECK enum err admin_bucket_show(struct admin_request *request);
MUST_CHECK enum err admin_bucket_remove(struct admin_request *request);
/* queue.c: of all its commands */
MUST_CHECK enum err admin_queue(struct admin_request *request);
/* password.c */
MUST_CHECK enum err admin_alias_password(struct admin_request *request);
MUST_CHECK enum err admin_alias_password_confirm(struct admin_request *request);
MUST_CHECK enum err admin_alias_recovery_key(struct admin_request *request);
MUST_CHECK enum err admin_app_password_add(struct admin_request *request);
MUST_CHECK enum err admin_app_password_list(struct admin_request *request);
MUST_CHECK enum err admin_app_password_remove(struct admin_request *request);
/* reset.c */
MUST_CHECK enum err admin_alias_reset(struct admin_request *request);
/* job.c: of all commands that are done in the mailbox's process */
MUST_CHECK enum err admin_job(struct admin_request *request);
/* import.c */
MUST_CHECK enum err admin_alias_import(struct admin_request *request);

#endif
