#include "examiner/examine.h"

#include "base/ascii.h"
#include "examiner/bounce.h"
#include "examiner/reply.h"
#include "mailauth/domain.h"
#include "message/structure.h"

#include <string.h>

enum {
    SCAN_SCORE_MOST = 12000, /* alone it does not refuse, unless rspamd itself would */
    SCAN_SCORE_LEAST = -5000,
    WORDS_MAX = 200,
};

/* One judgement in the making. */
struct examination {
    const struct examiner_request *request; /* borrowed, as the tools */
    const struct examiner_tools *tools;
    struct mailauth_verdict auth;
    struct mailauth_verdict counted; /* the same, as it counts: nothing that is excused */
    struct examiner_scan scan;
    struct spam_verdict spam;
};

/* Printable ASCII in one line, from what others sent. */
static struct str plain_words(struct task *task, struct str text, size_t max)
{
    char *bytes = arena_alloc(&task->arena, max + 1, 1);
    size_t len = 0;

    for (; len < text.len && len < max; len++) {
        char c = text.ptr[len];

        bytes[len] = ascii_is_control(c) || ascii_is_8bit(c) ? '?' : c;
    }
    return str_make(bytes, len);
}

static int64_t clamp_scan(int64_t score)
{
    if (score >= SPAM_SCORE_REFUSE)
        return SPAM_SCORE_REFUSE;
    if (score > SCAN_SCORE_MOST)
        return SCAN_SCORE_MOST;
    return score < SCAN_SCORE_LEAST ? SCAN_SCORE_LEAST : score;
}

/* ---- Who it is from ---- */

/* A list or forwarder that the operator trusts says that it was right when it came there. */
static bool is_excused(const struct examination *work)
{
    const struct examiner_tools *tools = work->tools;

    if (work->auth.arc != MAILAUTH_PASS)
        return false;
    for (size_t i = 0; i < tools->arc_trust_count; i++) {
        if (tools->arc_trust[i].len > 0 &&
            str_equal_nocase(tools->arc_trust[i], work->auth.arc_domain))
            return true;
    }
    return false;
}

/* The domain itself, or one above it that is not a single label. */
static bool speaks_for(struct str domain, struct str author)
{
    if (domain.len == 0 || str_index(domain, '.') < 0)
        return false;
    if (str_equal_nocase(domain, author))
        return true;
    return author.len > domain.len && author.ptr[author.len - domain.len - 1] == '.' &&
           str_equal_nocase(str_from(author, author.len - domain.len), domain);
}

/* Where the domain has no policy, the same alignment counts. */
static bool is_authenticated(const struct mailauth_verdict *auth)
{
    if (auth->dmarc == MAILAUTH_PASS)
        return true;
    if (auth->dmarc != MAILAUTH_NONE || auth->author_domain.len == 0)
        return false;
    if (auth->spf == MAILAUTH_PASS && speaks_for(auth->spf_domain, auth->author_domain))
        return true;
    for (size_t i = 0; i < auth->signature_count; i++) {
        if (auth->signatures[i].result == MAILAUTH_PASS &&
            speaks_for(auth->signatures[i].domain, auth->author_domain))
            return true;
    }
    return false;
}

/* ---- What is done ---- */

static bool is_refused(const struct examination *work, struct task *task, struct str *out_words,
                       bool *out_is_spam)
{
    *out_is_spam = false;
    if (work->scan.is_virus)
        *out_words = arena_printf(&task->arena, "a virus was found: %.*s",
                                  STR_ARG(plain_words(task, work->scan.name, WORDS_MAX / 2)));
    else if (work->spam.refusal != NULL)
        *out_words = plain_words(task, str_from_c(work->spam.refusal), WORDS_MAX);
    else if (work->counted.dmarc_policy == MAILAUTH_POLICY_REJECT && work->tools->rejects_by_dmarc)
        *out_words = arena_printf(
            &task->arena, "not authenticated, and the policy (DMARC) of %.*s asks to refuse it",
            STR_ARG(plain_words(task, work->auth.author_domain, WORDS_MAX / 2)));
    else if (work->spam.score >= SPAM_SCORE_REFUSE)
        *out_is_spam = true;
    else
        return false;
    if (*out_is_spam)
        *out_words = STR("this is considered spam");
    return true;
}

static bool is_of_organization(struct task *task, struct str domain, struct str author)
{
    struct str normal;

    return mailauth_domain_normal(&task->arena, domain, &normal) &&
           str_equal(mailauth_domain_organization(normal), mailauth_domain_organization(author));
}

static bool has_aligned_pass(struct task *task, const struct mailauth_verdict *auth)
{
    struct str author;

    if (!mailauth_domain_normal(&task->arena, auth->author_domain, &author))
        return false;
    if (auth->spf == MAILAUTH_PASS && is_of_organization(task, auth->spf_domain, author))
        return true;
    for (size_t i = 0; i < auth->signature_count; i++) {
        if (auth->signatures[i].result == MAILAUTH_PASS &&
            is_of_organization(task, auth->signatures[i].domain, author))
            return true;
    }
    return false;
}

/* Is it worth waiting for the DNS? */
static bool is_dmarc_missed(const struct examination *work, struct task *task)
{
    const struct mailauth_verdict *auth = &work->auth;

    if (auth->dmarc != MAILAUTH_TEMPERROR || auth->dmarc_published == MAILAUTH_POLICY_NONE ||
        is_excused(work))
        return false;
    return auth->dmarc_published != MAILAUTH_POLICY_UNKNOWN || !has_aligned_pass(task, auth);
}

static bool is_deferred(const struct examination *work, struct task *task, struct str *out_words)
{
    if (is_dmarc_missed(work, task))
        *out_words = STR("who it is from could not be found out now, the DNS failed");
    else if (work->scan.is_failed && work->tools->needs_scan)
        *out_words = STR("it could not be scanned now");
    else
        return false;
    return true;
}

static void decide(const struct examination *work, struct task *task, struct examiner_result *out)
{
    if (is_refused(work, task, &out->words, &out->is_spam))
        out->action = EXAMINER_REJECT;
    else if (is_deferred(work, task, &out->words))
        out->action = EXAMINER_DEFER;
    else if (work->spam.score >= SPAM_SCORE_JUNK)
        out->action = EXAMINER_JUNK;
    else
        out->action = EXAMINER_ACCEPT;
}

/* Pairs of u32, little-endian. */
static struct str write_removals(struct task *task, const struct mailauth_verdict *auth)
{
    unsigned char *bytes = arena_alloc(&task->arena, auth->removal_count * 8 + 1, 1);
    size_t at = 0;

    for (size_t i = 0; i < auth->removal_count; i++) {
        const uint32_t pair[] = {auth->removals[i].start, auth->removals[i].len};

        for (size_t n = 0; n < ARRAY_LEN(pair); n++) {
            for (unsigned shift = 0; shift < 32; shift += 8)
                bytes[at++] = (unsigned char)(pair[n] >> shift);
        }
    }
    return str_make(bytes, at);
}

static struct str write_fields(struct task *task, const struct examination *work)
{
    CLEANUP(buf_free) struct buf fields;

    buf_init(&fields, SIZE_MAX);
    buf_put(&fields, work->auth.field);
    spam_write_fields(&work->spam, &fields);
    return arena_copy(&task->arena, buf_str(&fields));
}

/* ---- The work ---- */

/* With a trusted seal it counts for nothing that the rest does not verify any more. */
static void find_out_sender(struct task *task, struct examination *work)
{
    const struct examiner_request *request = work->request;
    const struct mailauth_request auth = {
        .client = request->is_trusted ? STR("") : request->client,
        .helo = request->helo,
        .sender = request->sender,
        .message = request->message,
        .authserv = work->tools->authserv,
        .now_ms = request->now_ms,
    };

    mailauth_examine(task, &auth, work->tools->dns, &work->auth);
    work->counted = work->auth;
    if (work->auth.dmarc == MAILAUTH_FAIL && is_excused(work)) {
        work->counted.dmarc = MAILAUTH_NONE;
        work->counted.dmarc_policy = MAILAUTH_POLICY_NONE;
    }
}

static void find_out_spam(struct task *task, struct examination *work,
                          const struct message_structure *structure)
{
    const struct examiner_request *request = work->request;
    const struct spam_request spam = {
        .message = request->message,
        .structure = structure,
        .auth = &work->counted,
        .helo = request->is_trusted ? STR("") : request->helo,
        .client = request->is_trusted ? STR("") : request->client,
        .reverse_name = request->is_trusted ? STR("") : request->reverse_name,
        .is_nameless = request->is_nameless && !request->is_trusted,
        .list_score = request->list_score,
        .model = work->tools->model,
        .link_check = work->tools->link_check,
        .now_ms = request->now_ms,
    };

    spam_judge(task, &spam, &work->spam);
}

/* What the scanners found, in the same report. */
static void find_out_scan(struct task *task, struct examination *work)
{
    const struct examiner_tools *tools = work->tools;

    if (tools->await_scan != NULL)
        tools->await_scan(tools->owner, task, &work->scan);
    if (work->scan.is_virus)
        spam_verdict_add(task, &work->spam, "VIRUS", SPAM_SCORE_REFUSE, work->scan.name);
    if (work->scan.score != 0)
        spam_verdict_add(task, &work->spam, "RSPAMD", clamp_scan(work->scan.score),
                         work->scan.symbols);
}

void examiner_examine(struct task *task, const struct examiner_request *request,
                      const struct examiner_tools *tools, struct examiner_result *out)
{
    struct examination *work = ARENA_NEW(&task->arena, struct examination);
    struct message_structure structure;
    struct structure_notes *notes;
    struct str header;

    *out = (struct examiner_result){.action = EXAMINER_ACCEPT};
    work->request = request;
    work->tools = tools;
    structure_scan(&task->arena, request->message, &structure, &notes);
    header = str_upto(request->message, (size_t)structure.parts[0].header_len);
    find_out_sender(task, work);
    find_out_spam(task, work, &structure);
    find_out_scan(task, work);
    decide(work, task, out);
    out->score = work->spam.score;
    out->fields = write_fields(task, work);
    out->removals = write_removals(task, &work->auth);
    out->is_authenticated = is_authenticated(&work->auth);
    out->is_from_sender = request->sender.len > 0 && work->auth.spf == MAILAUTH_PASS;
    if (out->action == EXAMINER_ACCEPT && request->sender.len == 0)
        out->bounce = examiner_read_bounce(&task->arena, request->message, &structure);
    out->may_reply =
        out->action == EXAMINER_ACCEPT && examiner_may_reply(&task->arena, request->sender, header);
}
