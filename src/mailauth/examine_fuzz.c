#include "mailauth/examine_fuzz.h"

#include <assert.h>
#include <string.h>

static void ask(void *owner, struct task *task, struct str name, enum dns_type type,
                struct dns_answer *out)
{
    const struct str *record = owner;

    assert(name.len <= 253);
    *out = (struct dns_answer){.status = type == DNS_TYPE_TXT ? DNS_OK : DNS_NO_DATA};
    if (type != DNS_TYPE_TXT)
        return;
    out->records = ARENA_NEW(&task->arena, struct dns_record);
    out->records->data = *record;
    out->count = 1;
}

/* One header field, folded: every line but the first begins with a tab, no control characters. */
static void check_field(struct str field)
{
    struct str rest = field, line;
    bool is_first = true;

    assert(str_starts_with(field, STR("Authentication-Results: us.test;")));
    assert(str_ends_with(field, STR("\r\n")));
    rest.len -= 2;
    while (str_split(&rest, '\n', &line)) {
        assert(is_first || str_starts_with(line, STR("\t")));
        is_first = false;
        if (str_ends_with(line, STR("\r")))
            line.len--;
        for (size_t i = 0; i < line.len; i++)
            assert((line.ptr[i] >= ' ' && line.ptr[i] <= '~') || line.ptr[i] == '\t');
    }
}

static void check_removals(const struct mailauth_verdict *verdict, size_t message_len)
{
    size_t end = 0;

    for (size_t i = 0; i < verdict->removal_count; i++) {
        assert(verdict->removals[i].start >= end && verdict->removals[i].len > 0);
        end = verdict->removals[i].start + verdict->removals[i].len;
    }
    assert(end <= message_len);
}

void examine_fuzz(struct task *task, struct str message, struct str record,
                  struct mailauth_verdict *out)
{
    const struct mailauth_request request = {
        .client = STR("192.0.2.1"),
        .helo = STR("h.test"),
        .sender = STR("ann@a.test"),
        .message = message,
        .authserv = STR("us.test"),
        .now_ms = 1795000000000,
    };
    struct dns_source dns = {.owner = &record, .ask = ask};

    mailauth_examine(task, &request, &dns, out);
    check_field(out->field);
    check_removals(out, message.len);
    assert(out->signature_count <= MAILAUTH_SIGNATURES_MAX);
    assert(out->dmarc_policy == MAILAUTH_POLICY_NONE || out->dmarc == MAILAUTH_FAIL);
    assert(out->arc == MAILAUTH_NONE || out->arc == MAILAUTH_PASS || out->arc == MAILAUTH_FAIL);
    assert(out->dmarc != MAILAUTH_PASS || out->author_domain.len > 0);
}
