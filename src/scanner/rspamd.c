#include "scanner/rspamd.h"

#include "base/ascii.h"
#include "base/macros.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

enum { VALUE_MAX = 1000 };

static const double default_required = 15;

struct symbol {
    struct str name;
    double weight;
};

static void free_json(json_t **value)
{
    json_decref(*value);
    *value = NULL;
}

static bool read_number(const json_t *object, const char *key, double *out)
{
    const json_t *value = json_object_get(object, key);

    if (!json_is_number(value) || !isfinite(json_number_value(value)))
        return false;
    *out = json_number_value(value);
    return true;
}

/* Names of rules: what may stand in a header field of ours. */
static bool is_symbol(struct str name)
{
    for (size_t i = 0; i < name.len; i++) {
        if (!ascii_is_alnum(name.ptr[i]) && name.ptr[i] != '_' && name.ptr[i] != '-')
            return false;
    }
    return name.len > 0 && name.len <= RSPAMD_SYMBOL_MAX;
}

/* Keeps the weightiest, in their order. */
static void keep(struct symbol *best, size_t *count, struct symbol symbol)
{
    size_t at = *count;

    while (at > 0 && best[at - 1].weight < symbol.weight)
        at--;
    if (at == RSPAMD_SYMBOLS_NAMED)
        return;
    if (*count < RSPAMD_SYMBOLS_NAMED)
        (*count)++;
    memmove(&best[at + 1], &best[at], (*count - 1 - at) * sizeof(best[0]));
    best[at] = symbol;
}

static struct str name_symbols(struct task *task, json_t *symbols)
{
    struct symbol best[RSPAMD_SYMBOLS_NAMED];
    struct str text = STR("");
    size_t count = 0;
    const char *key;
    json_t *value;

    json_object_foreach(symbols, key, value) {
        struct symbol symbol = {.name = str_from_c(key)};

        if (!is_symbol(symbol.name) || !read_number(value, "score", &symbol.weight))
            continue;
        symbol.weight = fabs(symbol.weight);
        if (symbol.weight > 0)
            keep(best, &count, symbol);
    }
    for (size_t i = 0; i < count; i++)
        text = arena_printf(&task->arena, "%.*s%s%.*s", STR_ARG(text), i == 0 ? "" : " ",
                            STR_ARG(best[i].name));
    return text;
}

static int64_t scale(double score, double required)
{
    double scaled = score / required * RSPAMD_REFUSE;

    if (!(scaled < RSPAMD_SCORE_LARGEST))
        return RSPAMD_SCORE_LARGEST;
    return scaled < -RSPAMD_SCORE_LARGEST ? -RSPAMD_SCORE_LARGEST : (int64_t)scaled;
}

enum err rspamd_reply_parse(struct task *task, struct str body, struct rspamd_reply *out)
{
    CLEANUP(free_json) json_t *whole = NULL;
    const char *action;
    double score, required;

    if (body.len > RSPAMD_REPLY_MAX)
        return fail(task, ERR_INVALID, "its reply is too long");
    whole = json_loadb(body.ptr == NULL ? "" : body.ptr, body.len, JSON_REJECT_DUPLICATES, NULL);
    action = json_string_value(json_object_get(whole, "action"));
    if (!json_is_object(whole) || action == NULL || !read_number(whole, "score", &score))
        return fail(task, ERR_INVALID, "its reply makes no sense");
    if (!read_number(whole, "required_score", &required) || required <= 0)
        required = default_required;
    out->score = scale(score, required);
    if (strcmp(action, "reject") == 0 && out->score < RSPAMD_REFUSE)
        out->score = RSPAMD_REFUSE;
    out->symbols = name_symbols(task, json_object_get(whole, "symbols"));
    return ERR_OK;
}

/* One line; what cannot stand in a header field's value becomes "?". */
static struct str header_line(struct task *task, const char *name, struct str value)
{
    char *bytes;
    size_t start;
    struct str line;

    value = str_upto(value, VALUE_MAX);
    line = arena_printf(&task->arena, "%s: ", name);
    start = line.len;
    bytes = arena_alloc(&task->arena, start + value.len + 1, 1);
    memcpy(bytes, line.ptr, start);
    for (size_t i = 0; i < value.len; i++)
        bytes[start + i] = ascii_is_control(value.ptr[i]) ? '?' : value.ptr[i];
    return str_make(bytes, start + value.len);
}

size_t rspamd_headers(struct task *task, struct str client, struct str name, struct str helo,
                      struct str sender, struct str out[static RSPAMD_HEADERS])
{
    size_t count = 0;

    out[count++] = STR("Content-Type: message/rfc822");
    if (client.len > 0)
        out[count++] = header_line(task, "IP", client);
    if (name.len > 0)
        out[count++] = header_line(task, "Hostname", name);
    if (helo.len > 0)
        out[count++] = header_line(task, "Helo", helo);
    if (sender.len > 0)
        out[count++] = header_line(task, "From", sender);
    return count;
}
