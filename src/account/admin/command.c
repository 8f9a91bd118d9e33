/* The table of commands, and what their outcomes are called. */
#include "account/admin/command.h"

#include "account/admin/handlers.h"

#define END {NULL, ADMIN_TEXT, false, false, NULL}
#define ADDRESS_ARGUMENT {"address", ADMIN_ADDRESS, false, true, "the alias, someone@domain"}
#define OWNER_ARGUMENT                                                                             \
    {"password", ADMIN_SECRET, true, true,                                                         \
     "the mailbox's password or recovery key: the first line of FILE, - for the standard input; "  \
     "asked for when left out"}
#define SIZE_ARGUMENT {"size", ADMIN_SIZE, false, true, "as 500M, 10G, 1T; or none"}

static const struct admin_argument no_arguments[] = {END};
static const struct admin_argument user_argument[] = {
    {"name", ADMIN_TEXT, false, true, "the user's name"}, END};
static const struct admin_argument user_add_arguments[] = {
    {"name", ADMIN_TEXT, false, true, "the user's name"},
    {"quota", ADMIN_SIZE, true, false, "how much all its mailboxes may hold together"},
    END};
static const struct admin_argument user_quota_arguments[] = {
    {"name", ADMIN_TEXT, false, true, "the user's name"}, SIZE_ARGUMENT, END};
static const struct admin_argument domain_argument[] = {
    {"domain", ADMIN_DOMAIN, false, true, "its name, in letters of any script"}, END};
static const struct admin_argument domain_add_arguments[] = {
    {"domain", ADMIN_DOMAIN, false, true, "its name, in letters of any script"},
    {"user", ADMIN_TEXT, true, false, "whose it is; \"default\" when left out"},
    {"quota", ADMIN_SIZE, true, false, "how much the mailboxes at home in it may hold together"},
    END};
static const struct admin_argument domain_quota_arguments[] = {
    {"domain", ADMIN_DOMAIN, false, true, "its name"}, SIZE_ARGUMENT, END};
static const struct admin_argument catch_all_arguments[] = {
    {"domain", ADMIN_DOMAIN, false, true, "its name"},
    {"address", ADMIN_ADDRESS, false, false, "an alias: its mailbox gets the mail"},
    {"off", ADMIN_FLAG, true, false, "no catch-all any more: unknown addresses are refused"},
    END};
static const struct admin_argument alias_argument[] = {ADDRESS_ARGUMENT, END};
static const struct admin_argument alias_add_arguments[] = {
    ADDRESS_ARGUMENT,
    {"to", ADMIN_ADDRESS, true, false, "another alias: both lead to its mailbox, none is made"},
    {"user", ADMIN_TEXT, true, false, "whose mailbox it is; the domain's user when left out"},
    {"quota", ADMIN_SIZE, true, false, "how much the mailbox may hold"},
    {"recovery-key", ADMIN_FLAG, true, false, "make a recovery key too, and show it once"},
    END};
static const struct admin_argument alias_list_arguments[] = {
    {"domain", ADMIN_DOMAIN, true, false, "only those of this domain"}, END};
static const struct admin_argument alias_quota_arguments[] = {ADDRESS_ARGUMENT, SIZE_ARGUMENT, END};
static const struct admin_argument alias_password_arguments[] = {
    ADDRESS_ARGUMENT,
    {"old-password", ADMIN_SECRET, true, true,
     "the present password or the recovery key: the first line of FILE, - for the standard input; "
     "asked for when left out"},
    END};
static const struct admin_argument owner_arguments[] = {ADDRESS_ARGUMENT, OWNER_ARGUMENT, END};
static const struct admin_argument app_password_add_arguments[] = {
    ADDRESS_ARGUMENT,
    {"name", ADMIN_TEXT, false, true, "what it is for: phone, scanner"},
    {"scope", ADMIN_SERVICES, true, false, "what it opens; imap,pop3,smtp when left out"},
    OWNER_ARGUMENT,
    END};
static const struct admin_argument app_password_remove_arguments[] = {
    ADDRESS_ARGUMENT, {"name", ADMIN_TEXT, false, true, "the name that it was given"}, END};
static const struct admin_argument import_arguments[] = {
    {"file", ADMIN_FILE, false, true,
     "lines of \"new@domain existing@domain\"; - for the standard input"},
    END};

const struct admin_command admin_commands[] = {
    {"status", "what the service holds and does now", "", no_arguments, NULL, NULL, admin_status,
     true},
    {"user add", "make an account",
     "An account owns domains and mailboxes, and has one quota for all of them.",
     user_add_arguments, NULL, NULL, admin_user_add, false},
    {"user list", "list the accounts", "", no_arguments, NULL, "name quota used created",
     admin_user_list, true},
    {"user show", "show an account", "", user_argument, NULL, NULL, admin_user_show, true},
    {"user remove", "remove an account with its domains, aliases, mailboxes and all their mail",
     "The keys go at once, so that no mail can be read any more; the files follow.", user_argument,
     "This removes the account with all its domains, aliases and mailboxes. Their mail is lost.",
     NULL, admin_user_remove, false},
    {"user quota", "set how much an account's mailboxes may hold together", "",
     user_quota_arguments, NULL, NULL, admin_user_quota, false},
    {"domain add", "take mail for a domain", "", domain_add_arguments, NULL, NULL,
     admin_domain_add, false},
    {"domain list", "list the domains", "", no_arguments, NULL, "domain user quota used created",
     admin_domain_list, true},
    {"domain show", "show a domain", "", domain_argument, NULL, NULL, admin_domain_show, true},
    {"domain remove", "remove a domain with its aliases, and mailboxes that no other alias names",
     "The keys go at once, so that no mail can be read any more; the files follow.",
     domain_argument,
     "This removes the domain with all its aliases. Mailboxes that no alias of another domain "
     "leads to are removed too, and their mail is lost.",
     NULL, admin_domain_remove, false},
    {"domain quota", "set how much the mailboxes at home in a domain may hold together", "",
     domain_quota_arguments, NULL, NULL, admin_domain_quota, false},
    {"domain catch-all", "send mail for unknown addresses of a domain to a mailbox", "",
     catch_all_arguments, NULL, NULL, admin_domain_catch_all, false},
    {"alias add", "make an alias: with a mailbox of its own, or for another alias's mailbox",
     "The password of a new mailbox is made by the service, shown once and kept nowhere. The "
     "account is made where there is none.",
     alias_add_arguments, NULL, NULL, admin_alias_add, false},
    {"alias list", "list the aliases", "", alias_list_arguments, NULL,
     "address mailbox enabled created", admin_alias_list, true},
    {"alias show", "show an alias and its mailbox", "", alias_argument, NULL, NULL,
     admin_alias_show, true},
    {"alias remove", "remove an alias, and its mailbox if no other alias names it", "",
     alias_argument,
     "This removes the alias. If it is the last that leads to its mailbox, the mailbox is removed "
     "too, and its mail is lost.",
     NULL, admin_alias_remove, false},
    {"alias enable", "take mail for an alias again", "", alias_argument, NULL, NULL,
     admin_alias_enable, false},
    {"alias disable", "take no mail for an alias, and send none from it",
     "Its owner can still log in and read.", alias_argument, NULL, NULL, admin_alias_disable,
     false},
    {"alias password", "give a mailbox a new password",
     "Needs the old one or the recovery key; all its sessions end. App passwords and the recovery "
     "key stay as they are.",
     alias_password_arguments, NULL, NULL, admin_alias_password, false},
    {"alias app-password add", "make a password for one program",
     "It opens the mailbox for the services of its scope, and can be removed by itself.",
     app_password_add_arguments, NULL, NULL, admin_app_password_add, false},
    {"alias app-password list", "list a mailbox's app passwords", "", alias_argument, NULL,
     "name scope created last_used", admin_app_password_list, true},
    {"alias app-password remove", "remove an app password; all sessions of the mailbox end", "",
     app_password_remove_arguments, NULL, NULL, admin_app_password_remove, false},
    {"alias recovery-key", "make a new recovery key for a mailbox; an old one opens nothing more",
     "With it a new password can be had when the old one is lost. Keep it on paper.",
     owner_arguments, NULL, NULL, admin_alias_recovery_key, false},
    {"alias quota", "set how much an alias's mailbox may hold", "", alias_quota_arguments, NULL,
     NULL, admin_alias_quota, false},
    {"alias import", "add many aliases for mailboxes that exist",
     "What is there already as the file says is left alone, so an import can be repeated.",
     import_arguments, NULL, NULL, admin_alias_import, false},
};
const size_t admin_command_count = ARRAY_LEN(admin_commands);

const struct admin_status admin_statuses[] = {
    {ERR_OK, "ok", ADMIN_EXIT_OK, "done"},
    {ERR_IO, "failed", ADMIN_EXIT_FAILED, "the service failed; its log says why"},
    {ERR_CORRUPT, "damaged", ADMIN_EXIT_FAILED, "stored data is damaged; the log says which"},
    {ERR_INVALID, "invalid", ADMIN_EXIT_USAGE, "the command or an argument makes no sense"},
    {ERR_NOT_FOUND, "not-found", 4, "the named user, domain, alias or password does not exist"},
    {ERR_EXISTS, "exists", 5, "it exists already"},
    {ERR_DENIED, "denied", 6, "the password is wrong, or the caller may not do this"},
    {ERR_LIMIT, "limit", 7, "a limit is reached"},
    {ERR_BUSY, "busy", 8, "not now; try again"},
};
const size_t admin_status_count = ARRAY_LEN(admin_statuses);

const struct admin_command *admin_command_find(struct str name)
{
    for (size_t i = 0; i < admin_command_count; i++) {
        if (str_equal(name, str_from_c(admin_commands[i].name)))
            return &admin_commands[i];
    }
    return NULL;
}

const struct admin_argument *admin_argument_find(const struct admin_command *command,
                                                 struct str name)
{
    for (const struct admin_argument *argument = command->arguments; argument->name != NULL;
         argument++) {
        if (str_equal(name, str_from_c(argument->name)))
            return argument;
    }
    return NULL;
}
