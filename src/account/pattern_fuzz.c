/*
 * Input: a pattern, a line break, a target, a line break, a local part. What must hold: nothing takes
 * long; what a match took lies inside the local part; and what a target makes of it is an address
 * that parses, of the domain and local part that are written there.
 */
#include "account/pattern.h"

#include "account/address.h"
#include "account/target.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct str take_line(struct str *rest)
{
    struct str line = STR("");

    if (rest->ptr == NULL || !str_split(rest, '\n', &line))
        return STR("");
    return line;
}

static void check_groups(const struct account_captures *captures, struct str local)
{
    for (size_t i = 0; i < ACCOUNT_CAPTURES; i++) {
        struct str group = captures->groups[i];

        assert(group.len == 0 ||
               (group.ptr >= local.ptr && group.ptr + group.len <= local.ptr + local.len));
    }
}

static void check_forward(struct task *task, const struct account_forward *forward)
{
    struct account_address address;
    enum err err = account_address_parse(task, forward->to, &address);

    assert(err == ERR_OK);
    for (size_t i = 0; i < forward->via.len; i++)
        assert(forward->via.ptr[i] > ' ' && forward->via.ptr[i] < 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct account_pattern *pattern = NULL;
    struct account_captures captures;
    struct account_destination destination = {.domain = STR("home.test")};
    struct account_address address;
    struct account_forward forward;
    struct str rest = str_make(data, size);
    struct str text = take_line(&rest), target = take_line(&rest), local = rest, expanded;
    struct task task;

    task_init(&task, 0);
    if (account_address_parse(&task,
                              arena_printf(&task.arena, "%.*s@home.test", STR_ARG(local)),
                              &address) == ERR_OK) {
        destination.local = local;
        destination.detail = address.detail;
        if (account_target_resolve(&task, target, &destination, &forward) == ERR_OK)
            check_forward(&task, &forward);
        if (account_pattern_compile(&task, text, &pattern) == ERR_OK &&
            account_pattern_match(pattern, address.local, &captures)) {
            check_groups(&captures, address.local);
            if (account_pattern_expand(&task, target, &captures, account_pattern_groups(pattern),
                                       512, &expanded) == ERR_OK &&
                account_target_resolve(&task, expanded, &destination, &forward) == ERR_OK)
                check_forward(&task, &forward);
        }
    }
    account_pattern_free(&pattern);
    task_done(&task);
    return 0;
}
