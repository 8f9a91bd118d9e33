#include "base/id.h"

#include "base/random.h"

#include <string.h>

struct id id_from_bytes(const unsigned char bytes[static ID_BYTES])
{
    static const char hex_digits[] = "0123456789abcdef";
    struct id id;

    for (size_t i = 0; i < ID_BYTES; i++) {
        id.text[2 * i] = hex_digits[bytes[i] >> 4];
        id.text[2 * i + 1] = hex_digits[bytes[i] & 15];
    }
    id.text[ID_TEXT_LEN] = '\0';
    return id;
}

struct id id_random(void)
{
    unsigned char bytes[ID_BYTES];

    random_bytes(bytes, sizeof(bytes));
    return id_from_bytes(bytes);
}

bool id_parse(struct str text, struct id *out_id)
{
    if (text.len != ID_TEXT_LEN)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (!(text.ptr[i] >= '0' && text.ptr[i] <= '9') &&
            !(text.ptr[i] >= 'a' && text.ptr[i] <= 'f'))
            return false;
    memcpy(out_id->text, text.ptr, ID_TEXT_LEN);
    out_id->text[ID_TEXT_LEN] = '\0';
    return true;
}

bool id_equal(const struct id *a, const struct id *b)
{
    return memcmp(a->text, b->text, sizeof(a->text)) == 0;
}

bool id_is_set(const struct id *id)
{
    return id->text[0] != '\0';
}

struct str id_str(const struct id *id)
{
    return str_make(id->text, strnlen(id->text, ID_TEXT_LEN));
}
