#include "account/expelled.h"

#include "base/clock.h"
#include "base/memory.h"

struct end {
    struct id mailbox;
    uint64_t serial;
};

struct account_expelled {
    uint64_t serial; /* the last that was given */
    struct end ends[ACCOUNT_EXPELLED_MAX];
    size_t count; /* of all; the oldest is overwritten */
};

struct account_expelled *account_expelled_new(void)
{
    return NEW(struct account_expelled);
}

void account_expelled_free(struct account_expelled **expelled)
{
    mem_free(expelled);
}

uint64_t account_expelled_serial(struct account_expelled *expelled)
{
    uint64_t now = (uint64_t)clock_monotonic_us();

    expelled->serial = now > expelled->serial ? now : expelled->serial + 1;
    return expelled->serial;
}

void account_expelled_note(struct account_expelled *expelled, const struct id *mailbox)
{
    expelled->ends[expelled->count++ % ACCOUNT_EXPELLED_MAX] =
        (struct end){*mailbox, account_expelled_serial(expelled)};
}

uint64_t account_expelled_since(const struct account_expelled *expelled, const struct id *mailbox)
{
    uint64_t since = 0;

    for (size_t i = 0; i < expelled->count && i < ACCOUNT_EXPELLED_MAX; i++) {
        const struct end *end = &expelled->ends[i];

        if (end->serial > since && id_equal(&end->mailbox, mailbox))
            since = end->serial;
    }
    return since;
}
