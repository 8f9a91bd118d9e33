/* The table of commands, and what their outcomes are called. */
#include "account/admin/command.h"

#include "account/admin/handlers.h"

#define END {NULL, ADMIN_TEXT, false, false, NULL}
#define ADDRESS_ARGUMENT {"address", ADMIN_ADDRESS, false, true, "the alias, someone@domain"}
#define OWNER_ARGUMENT                                                                             \
    {"password", ADMIN_SECRET, true, true,                                                         \
     "the mailbox's password or recovery key: the first line of FILE, - for the standard input; "  \
     "asked for when left out"}
#define KEEP_BACKUPS_ARGUMENT                                                                      \
    {"keep-backups", ADMIN_COUNT, true, false,                                                     \
     "so many days the backups of removed mailboxes stay; as the setting removed_backups_keep says "\
     "when left out"}
#define SIZE_ARGUMENT {"size", ADMIN_SIZE, false, true, "as 500M, 10G, 1T; or none"}

#define LIMIT_ARGUMENT                                                                             \
    {"limit", ADMIN_COUNT, false, false,                                                           \
     "a number; none; or default, which the configuration says; shown when left out"}
#define TARGET_HELP                                                                                \
    "someone@example.org; someone@ of the same domain; example.org, for the same name there; or "  \
    "mail.example.org:25"
#define LIST_SCOPE_ARGUMENTS                                                                       \
    {"domain", ADMIN_DOMAIN, true, false, "the list of this domain, not of the whole host"},       \
    {"alias", ADMIN_ADDRESS, true, false, "the list of this alias"}

static const struct admin_argument no_arguments[] = {END};
static const struct admin_argument user_argument[] = {
    {"name", ADMIN_TEXT, false, true, "the user's name"}, END};
static const struct admin_argument user_remove_arguments[] = {
    {"name", ADMIN_TEXT, false, true, "the user's name"}, KEEP_BACKUPS_ARGUMENT, END};
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
static const struct admin_argument domain_remove_arguments[] = {
    {"domain", ADMIN_DOMAIN, false, true, "its name"}, KEEP_BACKUPS_ARGUMENT, END};
static const struct admin_argument domain_quota_arguments[] = {
    {"domain", ADMIN_DOMAIN, false, true, "its name"}, SIZE_ARGUMENT, END};
static const struct admin_argument catch_all_arguments[] = {
    {"domain", ADMIN_DOMAIN, false, true, "its name"},
    {"address", ADMIN_ADDRESS, false, false, "an alias: its mailbox gets the mail"},
    {"off", ADMIN_FLAG, true, false, "no catch-all any more: unknown addresses are refused"},
    END};
static const struct admin_argument require_tls_arguments[] = {
    {"domain", ADMIN_DOMAIN, false, true, "its name"},
    {"off", ADMIN_FLAG, true, false, "mail may come in clear again"},
    END};
static const struct admin_argument user_limit_arguments[] = {
    {"name", ADMIN_TEXT, false, true, "the user's name"}, LIMIT_ARGUMENT, END};
static const struct admin_argument domain_limit_arguments[] = {
    {"domain", ADMIN_DOMAIN, false, true, "its name"}, LIMIT_ARGUMENT, END};
static const struct admin_argument alias_argument[] = {ADDRESS_ARGUMENT, END};
static const struct admin_argument alias_remove_arguments[] = {
    ADDRESS_ARGUMENT, KEEP_BACKUPS_ARGUMENT, END};
static const struct admin_argument alias_disable_arguments[] = {
    ADDRESS_ARGUMENT,
    {"answer", ADMIN_ANSWER, true, false,
     "250: taken and thrown away; 421: later; 550: never (when left out)"},
    END};
static const struct admin_argument forward_arguments[] = {
    ADDRESS_ARGUMENT, {"target", ADMIN_TARGET, false, true, TARGET_HELP}, END};
static const struct admin_argument webhook_add_arguments[] = {
    ADDRESS_ARGUMENT,
    {"url", ADMIN_URL, false, true, "where the mail is posted to"},
    {"raw", ADMIN_FLAG, true, false, "with the message itself, beside what was read from it"},
    END};
static const struct admin_argument webhook_argument[] = {
    ADDRESS_ARGUMENT, {"url", ADMIN_URL, false, true, "as it was added"}, END};
static const struct admin_argument vacation_arguments[] = {
    ADDRESS_ARGUMENT,
    {"subject", ADMIN_LETTER, true, true, "of the reply"},
    {"text", ADMIN_LETTER, true, true, "of the reply, which may have several lines"},
    {"start", ADMIN_TIME, true, false, "when it begins; at once when left out"},
    {"until", ADMIN_TIME, true, false, "when it ends; when it is taken off, when left out"},
    END};
static const struct admin_argument list_change_arguments[] = {
    {"sender", ADMIN_SENDER, false, true,
     "an address, a domain (with those below it), an IP address or network"},
    LIST_SCOPE_ARGUMENTS, END};
static const struct admin_argument list_arguments[] = {LIST_SCOPE_ARGUMENTS, END};
static const struct admin_argument backup_list_arguments[] = {
    {"address", ADMIN_ADDRESS, false, false, "the alias whose backups are all listed"}, END};
static const struct admin_argument bucket_set_arguments[] = {
    ADDRESS_ARGUMENT,
    {"place", ADMIN_URL, false, true,
     "s3:https://host/bucket/prefix, or s3-host:https://bucket.host/prefix"},
    {"key-id", ADMIN_TEXT, true, true, "the id of the key for it"},
    {"secret", ADMIN_SECRET, true, true,
     "the secret of the key: the first line of FILE, - for the standard input; asked for when left "
     "out"},
    {"region", ADMIN_TEXT, true, false,
     "what requests are signed for: eu-central-1, auto; us-east-1 when left out"},
    END};
static const struct admin_argument queue_list_arguments[] = {
    {"state", ADMIN_TEXT, true, false, "only those that are \"waiting\" or \"held\""}, END};
static const struct admin_argument queue_show_arguments[] = {
    {"id", ADMIN_MESSAGE, false, true, "as the list shows it"}, END};
static const struct admin_argument queue_change_arguments[] = {
    {"id", ADMIN_MESSAGE, false, true, "as the list shows it, or all"}, END};
static const struct admin_argument suppression_clear_arguments[] = {
    {"address", ADMIN_ADDRESS, false, false, "as the list shows it"},
    {"all", ADMIN_FLAG, true, false, "all of them"},
    END};
static const struct admin_argument alias_add_arguments[] = {
    ADDRESS_ARGUMENT,
    {"to", ADMIN_ADDRESS, true, false, "another alias: both lead to its mailbox, none is made"},
    {"forward", ADMIN_TARGET, true, false, "send its mail on to this target; no mailbox is made"},
    {"webhook", ADMIN_URL, true, false, "post its mail to this URL; no mailbox is made"},
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
static const struct admin_argument reset_arguments[] = {
    ADDRESS_ARGUMENT,
    {"recovery-key", ADMIN_FLAG, true, false, "make a recovery key too, and show it once"},
    END};
static const struct admin_argument owner_arguments[] = {ADDRESS_ARGUMENT, OWNER_ARGUMENT, END};
#define BACKUP_ARGUMENTS                                                                           \
    {"from", ADMIN_TEXT, true, false, "this full backup, as full/20261121T100000.000Z-42"},       \
        {"at", ADMIN_TIME, true, false, "as it was then, to the second: 2026-11-21T10:00:00Z"},   \
        {"backup-password", ADMIN_SECRET, true, false,                                             \
         "the password that the mailbox had when the backup was made, if it has another one since: "\
         "the first line of FILE, - for the standard input (behind the first password's line)"}
static const struct admin_argument backup_verify_arguments[] = {ADDRESS_ARGUMENT, BACKUP_ARGUMENTS,
                                                                OWNER_ARGUMENT, END};
static const struct admin_argument restore_arguments[] = {
    ADDRESS_ARGUMENT,
    BACKUP_ARGUMENTS,
    {"into-folder", ADMIN_TEXT, true, false,
     "leave the mailbox as it is, and put the backup's messages below this folder"},
    {"folder", ADMIN_TEXT, true, false, "only those of this folder of the backup"},
    {"skip-duplicates", ADMIN_FLAG, true, false,
     "not those that the folder of the same name has already"},
    OWNER_ARGUMENT,
    END};
static const struct admin_argument export_arguments[] = {
    ADDRESS_ARGUMENT,
    {"file", ADMIN_OUTPUT, false, true, "what is written; - for the standard output"},
    {"format", ADMIN_TEXT, true, false,
     "mbox, maildir, eml, zip, or file: the encrypted mailbox file itself; maildir when left out "
     "(docs/leaving.md)"},
    {"folder", ADMIN_TEXT, true, false, "this folder and those below it; all when left out"},
    {"new-password", ADMIN_KEY, true, false,
     "with --format file: a password for the copy, of at least 12 characters, in place of the "
     "mailbox's: the first line of FILE, - for the standard input"},
    OWNER_ARGUMENT,
    END};
static const struct admin_argument import_mail_arguments[] = {
    ADDRESS_ARGUMENT,
    {"file", ADMIN_SOURCE, false, true,
     "an mbox, a folder (Maildir), a tar or zip of mbox, Maildir or eml files, - for the standard "
     "input; a mailbox file (export --format file); or another server: "
     "imaps://someone@mail.example.org/"},
    {"file-password-file", ADMIN_PATH, true, false,
     "the password of a mailbox file: the first line of this file; asked for when left out"},
    {"server-password-file", ADMIN_PATH, true, false,
     "the other server's password: the first line of this file; asked for when left out"},
    {"server-ca-file", ADMIN_PATH, true, false,
     "PEM file with what the other server's certificate leads back to (its own, if it signed that "
     "itself); when left out the setting outgoing_ca, else what the system trusts"},
    {"into", ADMIN_TEXT, true, false, "put its folders below this one"},
    {"uidl", ADMIN_HINT, true, false,
     "how the server that the mail comes from made POP3's unique-ids, so that POP3 clients take "
     "nothing a second time: dovecot, cyrus, sealpost, or a format with %u and %v for UID and "
     "UIDVALIDITY "
     "(docs/leaving.md)"},
    {"skip-duplicates", ADMIN_FLAG, true, false,
     "what a folder has already, byte for byte, is not stored again: for an import that is "
     "repeated"},
    OWNER_ARGUMENT,
    END};
static const struct admin_argument app_password_add_arguments[] = {
    ADDRESS_ARGUMENT,
    {"name", ADMIN_TEXT, false, true, "what it is for: phone, scanner"},
    {"scope", ADMIN_SERVICES, true, false, "what it opens; imap,pop3,smtp when left out"},
    OWNER_ARGUMENT,
    END};
static const struct admin_argument app_password_remove_arguments[] = {
    ADDRESS_ARGUMENT, {"name", ADMIN_TEXT, false, true, "the name that it was given"}, END};
static const struct admin_argument undelete_arguments[] = {
    ADDRESS_ARGUMENT,
    {"since", ADMIN_TIME, true, false, "only those that were expunged then or later"},
    {"folder", ADMIN_LETTER, true, false, "only those of this folder and the folders below it"},
    {"subject", ADMIN_LETTER, true, false, "only those with this in their subject"},
    OWNER_ARGUMENT,
    END};
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
     "The keys go at once, so that no mail can be read any more; the files follow,"
     " and the backups.", user_remove_arguments,
     "This removes the account with all its domains, aliases and mailboxes. Their mail is lost.",
     NULL, admin_user_remove, false},
    {"user quota", "set how much an account's mailboxes may hold together", "",
     user_quota_arguments, NULL, NULL, admin_user_quota, false},
    {"user limit", "limit to how many recipients on other servers a user writes in a day", "",
     user_limit_arguments, NULL, NULL, admin_user_limit, false},
    {"domain add", "take mail for a domain",
     "Keys to sign its mail with are made; \"domain dns\" prints what to publish.",
     domain_add_arguments, NULL, NULL, admin_domain_add, false},
    {"domain list", "list the domains", "", no_arguments, NULL, "domain user quota used created",
     admin_domain_list, true},
    {"domain show", "show a domain", "", domain_argument, NULL, NULL, admin_domain_show, true},
    {"domain remove", "remove a domain with its aliases, and mailboxes that no other alias names",
     "The keys go at once, so that no mail can be read any more; the files follow,"
     " and the backups.",
     domain_remove_arguments,
     "This removes the domain with all its aliases. Mailboxes that no alias of another domain "
     "leads to are removed too, and their mail is lost.",
     NULL, admin_domain_remove, false},
    {"domain quota", "set how much the mailboxes at home in a domain may hold together", "",
     domain_quota_arguments, NULL, NULL, admin_domain_quota, false},
    {"domain catch-all", "send mail for unknown addresses of a domain to a mailbox", "",
     catch_all_arguments, NULL, NULL, admin_domain_catch_all, false},
    {"domain limit", "limit to how many recipients on other servers a domain writes in a day",
     "All that write with an address of the domain count together.", domain_limit_arguments, NULL,
     NULL, admin_domain_limit, false},
    {"domain require-tls", "refuse mail for a domain that does not come encrypted", "",
     require_tls_arguments, NULL, NULL, admin_domain_require_tls, false},
    {"domain dns", "print every record that a domain should publish",
     "A fragment of a zone file: MX, SPF, DKIM, DMARC, MTA-STS, TLS-RPT, and SRV for mail "
     "programs.",
     domain_argument, NULL, NULL, admin_domain_dns, true},
    {"domain check", "say which of a domain's records are right, missing or wrong, and why",
     "SPF is evaluated for the addresses that mail goes out from, whatever it leads to, and the"
     " MTA-STS policy is fetched.",
     domain_argument, NULL, "state type name why", admin_domain_check, true},
    {"domain dkim rotate", "make new keys to sign a domain's mail with",
     "They are not used before \"domain dkim use\", so that they can be published first.",
     domain_argument, NULL, NULL, admin_domain_dkim_rotate, false},
    {"domain dkim use", "sign a domain's mail with the new keys", "", domain_argument, NULL, NULL,
     admin_domain_dkim_use, false},
    {"alias add", "make an alias: with a mailbox of its own, for another's, or to send mail on",
     "The password of a new mailbox is made by the service, shown once and kept nowhere. The "
     "account is made where there is none. A regular expression stands between slashes: "
     "/^support-(.+)$/@example.org; its targets may have $1.",
     alias_add_arguments, NULL, NULL, admin_alias_add, false},
    {"alias list", "list the aliases", "", alias_list_arguments, NULL,
     "address mailbox enabled created", admin_alias_list, true},
    {"alias show", "show an alias and its mailbox", "", alias_argument, NULL, NULL,
     admin_alias_show, true},
    {"alias remove", "remove an alias, and its mailbox if no other alias names it", "",
     alias_remove_arguments,
     "This removes the alias. If it is the last that leads to its mailbox, the mailbox is removed "
     "too, and its mail is lost.",
     NULL, admin_alias_remove, false},
    {"alias enable", "take mail for an alias again", "", alias_argument, NULL, NULL,
     admin_alias_enable, false},
    {"alias disable", "take no mail for an alias, and send none from it",
     "Its owner can still log in and read.", alias_disable_arguments, NULL, NULL,
     admin_alias_disable, false},
    {"alias store on", "keep an alias's mail in its mailbox", "", alias_argument, NULL, NULL,
     admin_alias_store_on, false},
    {"alias store off", "only send an alias's mail on", "", alias_argument, NULL, NULL,
     admin_alias_store_off, false},
    {"alias junk on", "file an alias's spam into Junk", "", alias_argument, NULL, NULL,
     admin_alias_junk_on, false},
    {"alias junk off", "do not judge an alias's mail as spam", "", alias_argument, NULL, NULL,
     admin_alias_junk_off, false},
    {"alias forward add", "send an alias's mail on, too",
     "A target of a regular expression may have $1 to $9 for what its groups took.",
     forward_arguments, NULL, NULL, admin_forward_add, false},
    {"alias forward list", "list where an alias's mail is sent on to", "", alias_argument, NULL,
     "target created", admin_forward_list, true},
    {"alias forward remove", "send an alias's mail there no more", "", forward_arguments, NULL,
     NULL, admin_forward_remove, false},
    {"alias webhook add", "post an alias's mail to a URL, too",
     "The secret that calls are signed with is made by the service and shown once.",
     webhook_add_arguments, NULL, NULL, admin_webhook_add, false},
    {"alias webhook list", "list where an alias's mail is posted to", "", alias_argument, NULL,
     "url raw created", admin_webhook_list, true},
    {"alias webhook remove", "post an alias's mail there no more", "", webhook_argument, NULL,
     NULL, admin_webhook_remove, false},
    {"alias vacation on", "answer those who write to an alias",
     "Each of them once in four days; lists and automatic mail get no answer.",
     vacation_arguments, NULL, NULL, admin_vacation_on, false},
    {"alias vacation off", "answer nobody", "", alias_argument, NULL, NULL, admin_vacation_off,
     false},
    {"alias vacation show", "show an alias's vacation reply", "", alias_argument, NULL, NULL,
     admin_vacation_show, true},
    {"alias password", "give a mailbox a new password",
     "Needs the old one or the recovery key; all its sessions end. App passwords and the recovery "
     "key stay as they are.",
     alias_password_arguments, NULL, NULL, admin_alias_password, false},
    {"alias password confirm", "say that the new password was seen; the old one opens nothing more",
     "\"alias password\" does so by itself, when it has shown it. If it was ended before, the first "
     "login with the new password says the same.",
     owner_arguments, NULL, NULL, admin_alias_password_confirm, false},
    {"alias reset", "give a mailbox up whose password and recovery key are lost, for an empty one",
     "All its aliases lead to the new mailbox. The old file is kept for a while (setting reset_keep), "
     "and opens with the old password only, should it be found.",
     reset_arguments,
     "This gives up all mail in the mailbox, and what waits for its owner: nobody can read any of it "
     "again without the old password. Its app passwords and recovery key open nothing any more. The "
     "old files are kept for a while, then removed.",
     NULL, admin_alias_reset, false},
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
    {"alias check", "check a mailbox: its file, and every message in it",
     "Reads all of it and changes nothing; sessions go on meanwhile.", owner_arguments, NULL, NULL,
     admin_job, true},
    {"backup now", "back a mailbox up in full, now",
     "Nothing is done if nothing changed since the last backup; sessions go on meanwhile. One that is "
     "being made already is waited for.",
     owner_arguments, NULL, NULL, admin_job, true},
    {"backup verify", "rehearse a restore: fetch a mailbox's newest backup and its log, and check all",
     "Nothing is changed.", backup_verify_arguments, NULL, NULL, admin_job, true},
    {"restore", "bring a mailbox back from its backups",
     "Without more, all of it as it was last seen. The mailbox that was there is kept beside it for a "
     "while (setting restore_keep), its sessions end, and mail programs load the mailbox anew. It opens "
     "with the present password, whichever the backup was made under.",
     restore_arguments, NULL, NULL, admin_job, true},
    {"alias undelete list", "list the messages that were expunged and can be brought back",
     "They are kept for a while (settings undelete_keep and undelete_limit), the oldest first here.",
     undelete_arguments, NULL, "expunged size folder from subject", admin_job, true},
    {"alias undelete restore", "bring expunged messages back, to the folders that they were in",
     "With flags and dates, and new UIDs. All that can be brought back, when no option says which; a "
     "folder that is gone is made again.",
     undelete_arguments, NULL, NULL, admin_job, false},
    {"allow add", "let mail from a sender in, past greylisting, limits and the spam scanner", "",
     list_change_arguments, NULL, NULL, admin_allow_add, false},
    {"allow list", "list who is let in", "", list_arguments, NULL, "sender created",
     admin_allow_list, true},
    {"allow remove", "take a sender off the list", "", list_change_arguments, NULL, NULL,
     admin_allow_remove, false},
    {"deny add", "refuse mail from a sender",
     "An alias's list goes before its domain's, that before the host's.", list_change_arguments,
     NULL, NULL, admin_deny_add, false},
    {"deny list", "list who is refused", "", list_arguments, NULL, "sender created",
     admin_deny_list, true},
    {"deny remove", "take a sender off the list", "", list_change_arguments, NULL, NULL,
     admin_deny_remove, false},
    {"backup list", "list the backups of mailboxes",
     "The newest of each; with an alias all that there are of its mailbox.", backup_list_arguments,
     NULL, "address time kind size verified name", admin_backup_list, true},
    {"backup status", "whether backups are made, and what was last wrong", "", no_arguments, NULL,
     NULL, admin_backup_status, true},
    {"backup destination set", "copy a mailbox's backups to a bucket of its owner's own, too",
     "It is tried first, and must let us write and delete. The secret is kept sealed and shown to "
     "nobody.",
     bucket_set_arguments, NULL, NULL, admin_bucket_set, false},
    {"backup destination show", "show a mailbox's own destination for backups, and how it goes", "",
     alias_argument, NULL, NULL, admin_bucket_show, true},
    {"backup destination remove", "copy a mailbox's backups there no more",
     "What is there stays.", alias_argument, NULL, NULL, admin_bucket_remove, false},
    {"export", "write a mailbox's mail to a file, in a form that other programs read",
     "Folders, flags, keywords, dates and UIDs go along. The mailbox is that of one moment; "
     "sessions go on meanwhile.",
     export_arguments, NULL, NULL, admin_job, true},
    {"import", "take mail from a file, a folder or another server into a mailbox",
     "Folders that are missing are made; flags, keywords and dates are kept, and UIDs where a folder "
     "is empty. What came from another server or a mailbox file is remembered: an import that was "
     "stopped, or is repeated, goes on where it ended.",
     import_mail_arguments, NULL, NULL, admin_job, false},
    {"queue list", "list the mail that waits to go out", "", queue_list_arguments, NULL,
     "id state sender recipient attempts next_attempt error", admin_queue, true},
    {"queue show", "show a message of the queue", "", queue_show_arguments, NULL, NULL,
     admin_queue, true},
    {"queue retry", "try to deliver a message of the queue now", "", queue_change_arguments, NULL,
     NULL, admin_queue, false},
    {"queue hold", "do not deliver a message of the queue before it is retried", "",
     queue_change_arguments, NULL, NULL, admin_queue, false},
    {"queue delete", "take a message out of the queue; nobody is told", "", queue_change_arguments,
     "This removes mail that was not delivered, and its senders are not told.", NULL, admin_queue,
     false},
    {"queue release", "let a message that was held go its way", "", queue_change_arguments, NULL,
     NULL, admin_queue, false},
    {"queue suppression list", "list the addresses that mail is not sent to for a while",
     "Their servers said that they do not exist; who writes to one gets his message back at once.",
     no_arguments, NULL, "address status since expires reason", admin_queue, true},
    {"queue suppression clear", "send mail to an address again", "", suppression_clear_arguments,
     NULL, NULL, admin_queue, false},
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
