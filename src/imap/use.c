#include "imap/use.h"

#include "base/macros.h"

static const struct {
    struct str name;
    enum vault_special_use use;
    bool is_real;
} USES[] = {
    {STR_INIT("\\Drafts"), VAULT_USE_DRAFTS, true},    {STR_INIT("\\Sent"), VAULT_USE_SENT, true},
    {STR_INIT("\\Junk"), VAULT_USE_JUNK, true},        {STR_INIT("\\Trash"), VAULT_USE_TRASH, true},
    {STR_INIT("\\Archive"), VAULT_USE_ARCHIVE, true},  {STR_INIT("\\All"), VAULT_USE_ALL, false},
    {STR_INIT("\\Flagged"), VAULT_USE_FLAGGED, false},
};

struct str imap_use_name(enum vault_special_use use)
{
    for (size_t i = 0; i < ARRAY_LEN(USES); i++)
        if (USES[i].use == use)
            return USES[i].name;
    return STR("");
}

enum vault_special_use imap_use_named(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(USES); i++)
        if (str_equal_nocase(USES[i].name, name))
            return USES[i].use;
    return VAULT_USE_NONE;
}

bool imap_use_is_real(enum vault_special_use use)
{
    for (size_t i = 0; i < ARRAY_LEN(USES); i++)
        if (USES[i].use == use)
            return USES[i].is_real;
    return false;
}
