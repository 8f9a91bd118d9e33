#include "dns/name.h"

#include "base/ascii.h"

enum { LABEL_MAX = 63 };

bool dns_name_set(struct dns_name *name, struct str text)
{
    size_t label = 0;

    if (text.len > 0 && text.ptr[text.len - 1] == '.')
        text.len--;
    if (text.len > DNS_NAME_MAX)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '.' && label == 0)
            return false;
        label = text.ptr[i] == '.' ? 0 : label + 1;
        if (label > LABEL_MAX)
            return false;
        name->text[i] = ascii_lower(text.ptr[i]);
    }
    if (text.len > 0 && label == 0)
        return false; /* ".." at the end */
    name->text[text.len] = '\0';
    name->len = text.len;
    return true;
}

struct str dns_name_str(const struct dns_name *name)
{
    return str_make(name->text, name->len);
}
