/* What the formats share: flags and special uses by name. */
#include "transfer/transfer.h"

#include "vault/message.h"

const struct transfer_flag transfer_flags[TRANSFER_FLAG_COUNT] = {
    {STR_INIT("\\Seen"), VAULT_FLAG_SEEN, 'S'},
    {STR_INIT("\\Answered"), VAULT_FLAG_ANSWERED, 'R'},
    {STR_INIT("\\Flagged"), VAULT_FLAG_FLAGGED, 'F'},
    {STR_INIT("\\Deleted"), VAULT_FLAG_DELETED, 'T'},
    {STR_INIT("\\Draft"), VAULT_FLAG_DRAFT, 'D'},
};

uint64_t transfer_flag_named(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(transfer_flags); i++) {
        if (str_equal_nocase(transfer_flags[i].name, name))
            return transfer_flags[i].flag;
    }
    return 0;
}

static const struct {
    struct str name;
    enum vault_special_use use;
} uses[] = {
    {STR_INIT("drafts"), VAULT_USE_DRAFTS},   {STR_INIT("sent"), VAULT_USE_SENT},
    {STR_INIT("junk"), VAULT_USE_JUNK},       {STR_INIT("trash"), VAULT_USE_TRASH},
    {STR_INIT("archive"), VAULT_USE_ARCHIVE}, {STR_INIT("all"), VAULT_USE_ALL},
    {STR_INIT("flagged"), VAULT_USE_FLAGGED},
};

struct str transfer_use_name(enum vault_special_use use)
{
    for (size_t i = 0; i < ARRAY_LEN(uses); i++) {
        if (uses[i].use == use)
            return uses[i].name;
    }
    return STR("");
}

enum vault_special_use transfer_use_named(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(uses); i++) {
        if (str_equal_nocase(uses[i].name, name))
            return uses[i].use;
    }
    return VAULT_USE_NONE;
}

/* Names under which other programs and services keep them. */
static const struct {
    struct str name;
    enum vault_special_use use;
} guesses[] = {
    {STR_INIT("drafts"), VAULT_USE_DRAFTS},          {STR_INIT("draft"), VAULT_USE_DRAFTS},
    {STR_INIT("entwürfe"), VAULT_USE_DRAFTS},        {STR_INIT("brouillons"), VAULT_USE_DRAFTS},
    {STR_INIT("sent"), VAULT_USE_SENT},              {STR_INIT("sent items"), VAULT_USE_SENT},
    {STR_INIT("sent messages"), VAULT_USE_SENT},     {STR_INIT("sent mail"), VAULT_USE_SENT},
    {STR_INIT("sent-mail"), VAULT_USE_SENT},         {STR_INIT("gesendet"), VAULT_USE_SENT},
    {STR_INIT("gesendete objekte"), VAULT_USE_SENT}, {STR_INIT("junk"), VAULT_USE_JUNK},
    {STR_INIT("junk e-mail"), VAULT_USE_JUNK},       {STR_INIT("junk email"), VAULT_USE_JUNK},
    {STR_INIT("spam"), VAULT_USE_JUNK},              {STR_INIT("bulk mail"), VAULT_USE_JUNK},
    {STR_INIT("trash"), VAULT_USE_TRASH},            {STR_INIT("deleted items"), VAULT_USE_TRASH},
    {STR_INIT("deleted messages"), VAULT_USE_TRASH}, {STR_INIT("papierkorb"), VAULT_USE_TRASH},
    {STR_INIT("archive"), VAULT_USE_ARCHIVE},        {STR_INIT("archives"), VAULT_USE_ARCHIVE},
    {STR_INIT("archiv"), VAULT_USE_ARCHIVE},
};

enum vault_special_use transfer_use_guess(struct str name)
{
    struct str last = str_from(name, (size_t)(str_last_index(name, '/') + 1));

    for (size_t i = 0; i < ARRAY_LEN(guesses); i++) {
        if (str_equal_nocase(guesses[i].name, last))
            return guesses[i].use;
    }
    return VAULT_USE_NONE;
}
