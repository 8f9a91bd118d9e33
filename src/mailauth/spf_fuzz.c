/*
 * The DNS is the enemy's: line 1 of the input is client, HELO and sender, the others are records,
 * of which each name has one, by its length. However they are made, the questions stay few, a valid
 * record's macros expand, and an explanation is ASCII.
 */
#include "mailauth/spf.h"
#include "mailauth/spf_macro.h"
#include "mailauth/spf_term.h"

#include <assert.h>

/* Ten terms that ask, each for an MX with ten hosts at worst; ten records; PTR with ten hosts; exp.
 */
enum { QUESTIONS_MAX = 10 * 11 + 11 + 11 + 1, RECORDS_MAX = 32 };

struct zone {
    struct str lines[RECORDS_MAX];
    size_t count;
    unsigned questions;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ask(void *owner, struct task *task, struct str name, enum dns_type type,
                struct dns_answer *out)
{
    struct zone *zone = owner;
    struct str line, part;

    assert(name.len > 0 && name.len <= 253);
    zone->questions++;
    *out = (struct dns_answer){.status = DNS_NO_NAME};
    if (zone->count == 0)
        return;
    line = zone->lines[name.len % zone->count];
    if (line.len == 0) {
        out->status = name.len % 2 == 0 ? DNS_FAILED : DNS_NO_DATA;
        return;
    }
    out->status = DNS_OK;
    out->records = ARENA_ARRAY(&task->arena, struct dns_record, 16);
    if (type == DNS_TYPE_TXT) {
        out->records[out->count++].data = line;
        return;
    }
    while (out->count < 16 && str_split(&line, ' ', &part)) {
        out->records[out->count].data = str_upto(part, type == DNS_TYPE_AAAA ? 16 : 4);
        out->records[out->count++].name = str_upto(part, 255);
    }
}

static void check_macros(struct arena *arena, struct str text)
{
    struct spf_macros macros = {.local = STR("a-b.c"),
                                .sender_domain = STR("d.e"),
                                .domain = STR("f.g"),
                                .helo = STR("h.i"),
                                .address = STR("192.0.2.1"),
                                .labels = STR("192.0.2.1"),
                                .family = STR("in-addr"),
                                .receiver = STR("r")};
    struct buf out;

    macros.parts = ARENA_ARRAY(arena, struct str, SPF_VALUE_MAX + 1);
    if (!spf_macro_is_valid(text, true) || str_find(text, STR("%{p")) >= 0 ||
        str_find(text, STR("%{P")) >= 0)
        return;
    buf_init(&out, SPF_EXPANSION_MAX);
    assert(spf_macro_expand(&macros, text, &out) != ERR_INVALID);
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = str_make(data, size), first = STR(""), line;
    struct zone zone = {0};
    struct dns_source dns = {.owner = &zone, .ask = ask};
    struct mailauth_lookup lookup = {&dns, 0};
    struct mailauth_spf_request request = {.wants_explanation = true, .now_ms = 1795000000000};
    struct mailauth_spf_result result;
    struct task task;

    task_init(&task, 0);
    (void)str_split(&rest, '\n', &first);
    (void)str_split(&first, ' ', &request.client);
    (void)str_split(&first, ' ', &request.helo);
    request.sender = first.ptr == NULL ? STR("") : first;
    while (zone.count < RECORDS_MAX && str_split(&rest, '\n', &line)) {
        zone.lines[zone.count++] = line;
        check_macros(&task.arena, line);
    }
    mailauth_spf_check(&task, &lookup, &request, &result);
    assert(zone.questions <= QUESTIONS_MAX);
    assert(result.result != MAILAUTH_POLICY);
    assert(result.explanation.len == 0 || result.result == MAILAUTH_FAIL);
    for (size_t i = 0; i < result.explanation.len; i++)
        assert(result.explanation.ptr[i] >= ' ' && result.explanation.ptr[i] <= '~');
    task_done(&task);
    return 0;
}
