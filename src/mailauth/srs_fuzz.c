/* What we rewrite, however often, leads back step by step; what others made up does not. */
#include "mailauth/srs.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct str key = STR_INIT("0123456789abcdef0123456789abcdef");
static const struct str other_key = STR_INIT("0123456789abcdef0123456789abcdeg");
static const int64_t now_ms = 1795000000000;

static struct str local_of(struct str address)
{
    return str_upto(address, (size_t)str_last_index(address, '@'));
}

/* With or without quotes the address is the same one. */
static bool is_same(struct str a, struct str b)
{
    return str_equal(a, b) || str_starts_with(a, STR("\"")) || str_starts_with(b, STR("\""));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = str_make(data, size), once;
    struct task task;
    struct buf out;

    task_init(&task, now_ms);
    buf_init(&out, SIZE_MAX);
    assert(srs_reverse(&task, key, text, now_ms, &out) == ERR_DENIED && out.len == 0);
    task_forgive(&task);
    (void)srs_is_one(text);
    if (srs_rewrite(&task, key, text, STR("us.test"), now_ms, &out) == ERR_OK && out.len > 0) {
        once = arena_copy(&task.arena, buf_str(&out));
        assert(srs_is_one(local_of(once)) && str_ends_with(once, STR("@us.test")));
        buf_reset(&out);
        assert(srs_reverse(&task, other_key, local_of(once), now_ms, &out) == ERR_DENIED);
        task_forgive(&task);
        if (srs_reverse(&task, key, local_of(once), now_ms, &out) == ERR_OK)
            assert(is_same(buf_str(&out), text) || srs_is_one(local_of(text)));
    }
    buf_free(&out);
    task_done(&task);
    return 0;
}
