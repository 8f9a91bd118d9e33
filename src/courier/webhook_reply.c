#include "courier/webhook_reply.h"

#include "message/date.h"

static bool is_redirect(unsigned status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static bool is_temporary(unsigned status)
{
    return status < 200 || status == 408 || status == 425 || status == 429 || status >= 500;
}

/* Retry-After = HTTP-date / delay-seconds (RFC 9110 §10.2.3); 0: nothing that can be used. */
static int64_t read_delay(struct str text, int64_t now_ms)
{
    int64_t delay_ms = 0, moment_ms, day;
    uint32_t seconds;

    text = str_trim(text);
    if (text.len > 64)
        return 0;
    if (parse_u32(text, &seconds))
        delay_ms = (int64_t)seconds * 1000;
    else if (text.len > 0 && date_parse(text, &moment_ms, &day) && moment_ms > now_ms)
        delay_ms = moment_ms - now_ms;
    return delay_ms > WEBHOOK_RETRY_AFTER_MAX_MS ? WEBHOOK_RETRY_AFTER_MAX_MS : delay_ms;
}

bool webhook_reply_read(struct arena *arena, const struct webhook_reply *reply,
                        const struct net_url *base, int64_t now_ms, struct webhook_result *out,
                        struct net_url *out_next)
{
    *out = (struct webhook_result){.outcome = WEBHOOK_FAILED, .status = reply->status};
    out->reason = arena_printf(arena, "HTTP %u", reply->status);
    if (is_redirect(reply->status)) {
        const char *reason = reply->location.len == 0
                                 ? "no Location"
                                 : net_url_resolve(arena, base, reply->location, out_next);

        if (reason == NULL)
            return true;
        out->reason = arena_printf(arena, "HTTP %u: %s", reply->status, reason);
    } else if (reply->status >= 200 && reply->status < 300) {
        out->outcome = WEBHOOK_DONE;
    } else if (is_temporary(reply->status)) {
        out->outcome = WEBHOOK_RETRY;
        out->retry_after_ms = read_delay(reply->retry_after, now_ms);
    }
    return false;
}
