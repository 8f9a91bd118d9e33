/* Everything added up. */
#include "spam/reasons.h"
#include "spam/scan.h"
#include "spam/tokens.h"

#include <assert.h>
#include <string.h>

/* --- Reasons --- */

void scan_add_score(struct spam_scan *scan, const char *name, int64_t score, struct str detail)
{
    spam_verdict_add(scan->task, scan->verdict, name, score, detail);
}

void scan_add(struct spam_scan *scan, const char *name, struct str detail)
{
    const struct spam_reason_row *row = spam_reason_row(str_from_c(name));

    assert(row != NULL);
    scan_add_score(scan, name, row->score, detail);
}

/* --- What others found --- */

static void add_authentication(struct spam_scan *scan)
{
    const struct mailauth_verdict *auth = scan->request->auth;
    bool is_broken = false, is_signed = false;

    if (auth == NULL)
        return;
    if (auth->dmarc == MAILAUTH_PASS)
        scan_add(scan, "DMARC_PASS", str_upto(auth->author_domain, SPAM_DETAIL_MAX));
    else if (auth->dmarc == MAILAUTH_FAIL)
        scan_add(scan,
                 auth->dmarc_policy == MAILAUTH_POLICY_REJECT       ? "DMARC_REJECT"
                 : auth->dmarc_policy == MAILAUTH_POLICY_QUARANTINE ? "DMARC_QUARANTINE"
                                                                    : "DMARC_FAIL",
                 auth->author_domain);
    if (auth->spf == MAILAUTH_FAIL)
        scan_add(scan, "SPF_FAIL", auth->spf_domain);
    else if (auth->spf == MAILAUTH_SOFTFAIL)
        scan_add(scan, "SPF_SOFTFAIL", auth->spf_domain);
    for (size_t i = 0; i < auth->signature_count; i++) {
        is_signed |= auth->signatures[i].result == MAILAUTH_PASS;
        is_broken |= auth->signatures[i].result == MAILAUTH_FAIL;
    }
    if (is_broken && !is_signed)
        scan_add(scan, "DKIM_FAIL", STR(""));
}

/* --- The words --- */

static const struct {
    unsigned from; /* probability in thousandths */
    int64_t score;
} bayes_scores[] = {
    {995, 5000}, {980, 4200}, {950, 3500}, {850, 2500}, {700, 1200}, {600, 500},
    {401, 0},    {250, -500}, {100, -1000}, {30, -1800}, {0, -2500},
};

static void add_bayes(struct spam_scan *scan)
{
    struct spam_tokens *tokens;
    struct spam_count total;
    struct str detail;
    unsigned probability;

    if (scan->request->model == NULL)
        return;
    total = spam_model_total(scan->request->model);
    if (total.spam < SPAM_MODEL_LEARNED_MIN || total.ham < SPAM_MODEL_LEARNED_MIN)
        return; /* a handful of messages says more about themselves than about others */
    tokens = ARENA_NEW(&scan->task->arena, struct spam_tokens);
    spam_tokenize_view(scan->task, &scan->view, tokens);
    probability = spam_model_probability(scan->request->model, tokens);
    detail = arena_printf(&scan->task->arena, "probability %u.%03u", probability / 1000,
                          probability % 1000);
    for (size_t i = 0; i < ARRAY_LEN(bayes_scores); i++) {
        if (probability < bayes_scores[i].from)
            continue;
        scan_add_score(scan, "BAYES", bayes_scores[i].score, detail);
        return;
    }
}

/* Put together here, so that this file is none. */
static void look_for_gtube(struct spam_scan *scan)
{
    static const struct str gtube =
        STR_INIT("XJS*C4JDBQADN1.NSBN3*2IDNEN*" "GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X");

    for (size_t i = 0; i < scan->view.text_count; i++) {
        if (str_find(scan->view.texts[i].text, gtube) >= 0) {
            scan_add(scan, "GTUBE", STR(""));
            return;
        }
    }
}

void spam_judge(struct task *task, const struct spam_request *request, struct spam_verdict *out)
{
    struct spam_scan *scan = ARENA_NEW(&task->arena, struct spam_scan);

    *out = (struct spam_verdict){.score = 0};
    scan->task = task;
    scan->request = request;
    scan->verdict = out;
    spam_budget_init(&scan->budget);
    spam_view_make(task, request->message, request->structure, &scan->view);
    add_authentication(scan);
    if (request->list_score != 0)
        scan_add_score(scan, "DNSBL", request->list_score, STR(""));
    add_bayes(scan);
    look_for_gtube(scan);
    scan_rules(scan);
    scan_phishing(scan);
    scan_attachments(scan);
    if (scan->budget.is_spent)
        scan_add(scan, "EXPENSIVE", STR(""));
}
