#include "courier/sts_policy.h"

#include "base/ascii.h"

#include <inttypes.h>

/* Takes "name=value" up to the next ";". False at the end, or where there is no "=". */
static bool take_field(struct str *rest, struct str *out_name, struct str *out_value)
{
    struct str field;

    if (!str_split(rest, ';', &field))
        return false;
    field = str_trim(field);
    if (!str_split(&field, '=', out_name) || field.ptr == NULL)
        return false;
    *out_value = field;
    return true;
}

static bool is_id(struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!ascii_is_alnum(text.ptr[i]))
            return false;
    return text.len > 0 && text.len <= COURIER_STS_ID_MAX;
}

/* sts-text-record = sts-version 1*(sts-field-delim sts-field) [sts-field-delim] */
bool courier_sts_record_parse(struct str text, struct str *out_id)
{
    struct str name, value;
    bool has_id = false;

    if (!take_field(&text, &name, &value) || !str_equal(name, STR("v")) ||
        !str_equal(value, STR("STSv1")))
        return false;
    while (take_field(&text, &name, &value)) {
        if (!str_equal(name, STR("id")))
            continue;
        if (has_id || !is_id(value))
            return false;
        has_id = true;
        *out_id = value;
    }
    return has_id;
}

struct reading {
    struct task *task;
    struct courier_sts_policy *policy;
    bool has_version, has_mode, has_age;
};

static enum err take_mode(struct reading *reading, struct str value)
{
    static const struct {
        struct str name;
        enum courier_sts_mode mode;
    } modes[] = {
        {STR_INIT("enforce"), COURIER_STS_ENFORCE},
        {STR_INIT("testing"), COURIER_STS_TESTING},
        {STR_INIT("none"), COURIER_STS_NONE},
    };

    for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
        if (str_equal(value, modes[i].name)) {
            reading->policy->mode = modes[i].mode;
            reading->has_mode = true;
            return ERR_OK;
        }
    }
    return fail(reading->task, ERR_INVALID, "an MTA-STS policy of an unknown mode");
}

/* Of a field that may stand once only, the first counts (§3.2). */
static enum err take_line(struct reading *reading, struct arena *arena, struct str name,
                          struct str value)
{
    struct courier_sts_policy *policy = reading->policy;

    if (str_equal(name, STR("version")) && !reading->has_version) {
        if (!str_equal(value, STR("STSv1")))
            return fail(reading->task, ERR_INVALID, "an MTA-STS policy of an unknown version");
        reading->has_version = true;
    } else if (str_equal(name, STR("mode")) && !reading->has_mode) {
        return take_mode(reading, value);
    } else if (str_equal(name, STR("max_age")) && !reading->has_age) {
        if (value.len > 10 || !parse_u64(value, &policy->max_age_s))
            return fail(reading->task, ERR_INVALID, "an MTA-STS policy's max_age is no number");
        if (policy->max_age_s > COURIER_STS_AGE_MAX_S)
            policy->max_age_s = COURIER_STS_AGE_MAX_S;
        reading->has_age = true;
    } else if (str_equal(name, STR("mx")) && value.len > 0 &&
               policy->mx_count < COURIER_STS_MX_MAX) {
        policy->mx[policy->mx_count++] = arena_copy(arena, value);
    }
    return ERR_OK;
}

enum err courier_sts_policy_parse(struct task *task, struct arena *arena, struct str text,
                                  struct courier_sts_policy *out)
{
    struct courier_sts_policy policy = {.mx = ARENA_ARRAY(arena, struct str, COURIER_STS_MX_MAX)};
    struct reading reading = {.task = task, .policy = &policy};
    struct str line, name;

    if (text.len > COURIER_STS_TEXT_MAX)
        return fail(task, ERR_INVALID, "an MTA-STS policy that is too long");
    while (str_split(&text, '\n', &line)) {
        line = str_trim(line);
        if (str_split(&line, ':', &name) && line.ptr != NULL)
            TRY(take_line(&reading, arena, str_trim(name), str_trim(line)));
    }
    if (!reading.has_version || !reading.has_mode || !reading.has_age)
        return fail(task, ERR_INVALID, "an MTA-STS policy without version, mode or max_age");
    if (policy.mx_count == 0 && policy.mode != COURIER_STS_NONE)
        return fail(task, ERR_INVALID, "an MTA-STS policy without mx");
    *out = policy;
    return ERR_OK;
}

/* "*.example.com" is for one label more, and for one only. */
static bool matches(struct str pattern, struct str host)
{
    ptrdiff_t dot;

    if (!str_starts_with(pattern, STR("*.")))
        return str_equal_nocase(pattern, host);
    dot = str_index(host, '.');
    return dot > 0 && str_equal_nocase(str_from(pattern, 1), str_from(host, (size_t)dot));
}

bool courier_sts_policy_has(const struct courier_sts_policy *policy, struct str host)
{
    for (size_t i = 0; i < policy->mx_count; i++)
        if (matches(policy->mx[i], host))
            return true;
    return false;
}
