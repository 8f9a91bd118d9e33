#include "smtp/client/extension.h"

#include "base/macros.h"

struct row {
    struct str keyword;
    enum smtp_extension extension;
};

static const struct row rows[] = {
    {STR_INIT("STARTTLS"), SMTP_EXTENSION_STARTTLS},     /* RFC 3207 */
    {STR_INIT("PIPELINING"), SMTP_EXTENSION_PIPELINING}, /* RFC 2920 */
    {STR_INIT("SIZE"), SMTP_EXTENSION_SIZE},             /* RFC 1870 */
    {STR_INIT("8BITMIME"), SMTP_EXTENSION_8BITMIME},     /* RFC 6152 */
    {STR_INIT("SMTPUTF8"), SMTP_EXTENSION_UTF8},         /* RFC 6531 */
    {STR_INIT("DSN"), SMTP_EXTENSION_DSN},               /* RFC 3461 */
    {STR_INIT("REQUIRETLS"), SMTP_EXTENSION_REQUIRETLS}, /* RFC 8689 */
    {STR_INIT("AUTH"), SMTP_EXTENSION_AUTH_PLAIN},       /* RFC 4954 */
};

/* The next word of a line; old servers write "AUTH=PLAIN". */
static bool next_word(struct str *line, struct str *out_word)
{
    size_t len = 0;

    *line = str_trim(*line);
    while (len < line->len && line->ptr[len] != ' ' && line->ptr[len] != '\t' &&
           line->ptr[len] != '=')
        len++;
    *out_word = str_upto(*line, len);
    *line = str_from(*line, len + 1);
    return len > 0;
}

static bool has_plain(struct str mechanisms)
{
    struct str word;

    while (next_word(&mechanisms, &word))
        if (str_equal_nocase(word, STR("PLAIN")))
            return true;
    return false;
}

/* ehlo-line = ehlo-keyword *( SP ehlo-param ) */
static void take_line(struct str line, struct smtp_extensions *out)
{
    struct str keyword;

    if (!next_word(&line, &keyword))
        return;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (!str_equal_nocase(keyword, rows[i].keyword))
            continue;
        if (rows[i].extension == SMTP_EXTENSION_AUTH_PLAIN && !has_plain(line))
            return;
        if (rows[i].extension == SMTP_EXTENSION_SIZE && !parse_u64(str_trim(line), &out->size_max))
            out->size_max = 0;
        out->bits |= BIT(rows[i].extension);
        return;
    }
}

void smtp_extensions_parse(struct str text, struct smtp_extensions *out)
{
    struct str line;

    *out = (struct smtp_extensions){0};
    str_split(&text, '\n', &line);
    while (str_split(&text, '\n', &line))
        take_line(line, out);
}

bool smtp_extensions_has(const struct smtp_extensions *extensions, enum smtp_extension extension)
{
    return (extensions->bits & BIT(extension)) != 0;
}
