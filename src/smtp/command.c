/* Fills typed arguments and touches nothing else. */
#include "smtp/command.h"

#include "base/ascii.h"

void smtp_command_split(struct str line, struct str *out_verb, struct str *out_argument)
{
    ptrdiff_t space = str_index(line, ' ');

    *out_verb = space < 0 ? line : str_upto(line, (size_t)space);
    *out_argument = space < 0 ? str_from(line, line.len) : str_trim(str_from(line, (size_t)space));
}

/* Takes `word` off the front, whatever its case, and the blanks that some clients put behind it. */
static bool take_word(struct str *rest, struct str word)
{
    if (!str_starts_with_nocase(*rest, word))
        return false;
    *rest = str_from(*rest, word.len);
    while (rest->len > 0 && rest->ptr[0] == ' ')
        *rest = str_from(*rest, 1);
    return true;
}

enum parameter { SIZE, BODY, UTF8, AUTH, PARAMETER_COUNT };

static const struct str parameter_names[PARAMETER_COUNT] = {
    [SIZE] = STR_INIT("SIZE"),
    [BODY] = STR_INIT("BODY"),
    [UTF8] = STR_INIT("SMTPUTF8"),
    [AUTH] = STR_INIT("AUTH"),
};

static bool read_value(enum parameter parameter, struct str value, bool has_value,
                       struct smtp_mail_args *out)
{
    switch (parameter) {
    case SIZE: /* 1*20DIGIT */
        return value.len <= 20 && parse_u64(value, &out->size_bytes);
    case BODY:
        out->body = str_equal_nocase(value, STR("8BITMIME")) ? SMTP_BODY_8BITMIME : SMTP_BODY_7BIT;
        return out->body == SMTP_BODY_8BITMIME || str_equal_nocase(value, STR("7BIT"));
    case UTF8:
        out->is_utf8 = true;
        return !has_value;
    case AUTH: /* RFC 4954 §5: accepted, trusted from nobody */
        return value.len > 0;
    case PARAMETER_COUNT:
        break;
    }
    return false;
}

/* Mail-parameters = esmtp-param *(SP esmtp-param); esmtp-param = keyword ["=" value] */
static enum smtp_args_problem read_parameters(struct str rest, struct smtp_mail_args *out)
{
    unsigned seen = 0;
    struct str word;

    if (rest.len > 0 && rest.ptr[0] != ' ')
        return SMTP_ARGS_SYNTAX;
    while (str_split(&rest, ' ', &word)) {
        ptrdiff_t equals = str_index(word, '=');
        struct str name = equals < 0 ? word : str_upto(word, (size_t)equals);
        struct str value = equals < 0 ? STR("") : str_from(word, (size_t)equals + 1);
        unsigned parameter;

        if (word.len == 0)
            continue;
        for (parameter = 0; parameter < PARAMETER_COUNT; parameter++) {
            if (str_equal_nocase(name, parameter_names[parameter]))
                break;
        }
        if (parameter == PARAMETER_COUNT)
            return SMTP_ARGS_PARAMETER_UNKNOWN;
        if ((seen & BIT(parameter)) != 0 ||
            !read_value((enum parameter)parameter, value, equals >= 0, out))
            return SMTP_ARGS_PARAMETER_INVALID;
        seen |= BIT(parameter);
    }
    return SMTP_ARGS_OK;
}

enum smtp_args_problem smtp_mail_parse(struct arena *arena, struct str argument,
                                       struct smtp_mail_args *out)
{
    struct smtp_mail_args args = {0};
    enum smtp_args_problem problem;

    if (!take_word(&argument, STR("FROM:")))
        return SMTP_ARGS_SYNTAX;
    if (smtp_path_parse(arena, &argument, true, &args.sender) != SMTP_ADDRESS_OK)
        return SMTP_ARGS_ADDRESS;
    problem = read_parameters(argument, &args);
    if (problem != SMTP_ARGS_OK)
        return problem;
    if (args.sender.has_utf8 && !args.is_utf8)
        return SMTP_ARGS_UTF8;
    *out = args;
    return SMTP_ARGS_OK;
}

enum smtp_args_problem smtp_rcpt_parse(struct arena *arena, struct str argument, bool is_utf8,
                                       struct smtp_address *out)
{
    if (!take_word(&argument, STR("TO:")))
        return SMTP_ARGS_SYNTAX;
    if (smtp_path_parse(arena, &argument, false, out) != SMTP_ADDRESS_OK)
        return SMTP_ARGS_ADDRESS;
    if (str_trim(argument).len > 0)
        return argument.ptr[0] == ' ' ? SMTP_ARGS_PARAMETER_UNKNOWN : SMTP_ARGS_SYNTAX;
    if (out->has_utf8 && !is_utf8)
        return SMTP_ARGS_UTF8;
    return SMTP_ARGS_OK;
}

bool smtp_bdat_parse(struct str argument, uint64_t *out_size, bool *out_is_last)
{
    struct str rest = argument, size;

    if (!str_split(&rest, ' ', &size) || size.len > 20 || !parse_u64(size, out_size))
        return false;
    *out_is_last = rest.ptr != NULL;
    return rest.ptr == NULL || str_equal_nocase(str_trim(rest), STR("LAST"));
}
