/* The header fields of a receiver's reply: status (2 bytes), Retry-After, a line end, Location.
 * Where it leads is a URL that we can write and read again, and no delay is longer than allowed. */
#include "courier/webhook_reply.h"
#include "net/address_class.h"
#include "net/target.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_next(struct arena *arena, const struct net_url *next)
{
    struct str text = net_url_text(arena, next);
    struct net_target_rules *rules = net_target_rules_new(NULL, 0, true);
    struct net_url again;

    if (text.len <= NET_URL_MAX) {
        assert(net_url_parse(arena, text, &again) == NULL);
        assert(str_equal(again.host, next->host) && again.port == next->port);
    }
    /* An address that is named in whatever way is judged as what it is. */
    if (next->is_address && net_address_class(&next->address) != NET_ADDRESS_PUBLIC)
        assert(net_target_reason(rules, next, &next->address, 1) != NULL);
    net_target_rules_free(&rules);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct webhook_reply reply = {.status = 302};
    struct arena arena = {NULL};
    struct webhook_result result;
    struct net_url base, next;
    struct str rest;

    if (size < 2)
        return 0;
    reply.status = 100 + (unsigned)(data[0] << 8 | data[1]) % 900;
    rest = str_make(data + 2, size - 2);
    (void)str_split(&rest, '\n', &reply.retry_after);
    reply.location = rest.ptr == NULL ? STR("") : rest;
    assert(net_url_parse(&arena, STR("https://a.example/b/c?d"), &base) == NULL);
    if (webhook_reply_read(&arena, &reply, &base, INT64_C(1790000000000), &result, &next)) {
        check_next(&arena, &next);
    } else {
        assert(result.reason.len > 0);
        assert(result.retry_after_ms >= 0 && result.retry_after_ms <= WEBHOOK_RETRY_AFTER_MAX_MS);
        assert((result.outcome == WEBHOOK_DONE) == (reply.status >= 200 && reply.status < 300));
    }
    arena_free(&arena);
    return 0;
}
