/*
 * When a client that loads in bulk (imap/session.h) has to wait:
 *
 *   - for this mailbox: another client, with a person before it, said something within the last
 *     seconds. The process does one thing after the other, so the bulk would stand in its way;
 *   - for the host: its load of the last minute is above `bulk_load_max` for each processor.
 */
#include "base/clock.h"
#include "mailbox/session.h"

#include <sched.h>
#include <sys/sysinfo.h>

enum { INTERACTIVE_MS = 5000 };

static bool is_host_loaded(uint64_t load_max)
{
    struct sysinfo host;
    cpu_set_t processors;

    if (sysinfo(&host) != 0 || sched_getaffinity(0, sizeof(processors), &processors) != 0)
        return false;
    return host.loads[0] >> SI_LOAD_SHIFT >= load_max * (uint64_t)CPU_COUNT(&processors);
}

static bool is_bulk(const struct mailbox_session *session)
{
    return session->kind->is_bulk != NULL && session->kind->is_bulk(session->engine);
}

bool mailbox_is_under_load(void *owner)
{
    const struct mailbox *mailbox = owner;
    int64_t now_ms = clock_monotonic_ms();

    for (const struct mailbox_session *session = mailbox->sessions; session != NULL;
         session = session->next) {
        if (!is_bulk(session) && now_ms - session->spoke_ms < INTERACTIVE_MS)
            return true;
    }
    return is_host_loaded(mailbox->start->config->bulk_load_max);
}
