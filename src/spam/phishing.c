/*
 * Who pretends to be somebody else: links that show one place and lead to another, host names that
 * only look like one that is known, senders whose name is another's address. Links are looked up in
 * a filtering resolver when one is configured; it says "there is no such host" or 0.0.0.0 of those
 * that it knows to be bad.
 */
#include "spam/link.h"
#include "spam/scan.h"

#include "base/ascii.h"
#include "base/clock.h"
#include "message/header.h"

#include <idn2.h>
#include <libpsl.h>
#include <string.h>

enum { HOSTS_ASKED_MAX = 12, ASKING_MS = 4000 };

/* --- Names of hosts --- */

/* In UTF-8: "xn--…" labels decoded. */
static struct str unicode_host(struct task *task, struct str host)
{
    struct str copy = arena_copy(&task->arena, host), result;
    char *decoded = NULL;

    if (str_find(copy, STR("xn--")) < 0)
        return copy;
    if (idn2_to_unicode_8z8z(copy.ptr, &decoded, 0) != IDN2_OK || decoded == NULL)
        return copy;
    result = arena_copy(&task->arena, str_from_c(decoded));
    idn2_free(decoded);
    return result;
}

/* The part that somebody registered: "example.co.uk". The whole name where there is none. */
static struct str registered(struct task *task, struct str host)
{
    struct str copy = arena_copy(&task->arena, host);
    const char *found = psl_registrable_domain(psl_builtin(), copy.ptr);

    return found == NULL ? copy : str_from_c(found);
}

static bool is_same_owner(struct task *task, struct str a, struct str b)
{
    return str_equal_nocase(registered(task, a), registered(task, b));
}

/* Looks like ASCII and is not, or mixes alphabets within a label. */
static const char *disguise_of(struct task *task, struct str host)
{
    struct str rest = unicode_host(task, host), label;

    while (str_split(&rest, '.', &label)) {
        struct scan_words words = {0};

        scan_words_count(label, &words);
        if (words.mixed > 0)
            return "LINK_MIXED_SCRIPTS";
        /* The end of the name may be written in the same script: then it pretends nothing. */
        if (rest.ptr != NULL && scan_label_is_lookalike(label) &&
            !ascii_is_8bit(rest.len > 0 ? rest.ptr[rest.len - 1] : '\0'))
            return "LINK_HOMOGRAPH";
    }
    return NULL;
}

/* --- Links --- */

/* Links of the sender himself, proven to be his, may go through his own counting hosts. */
static bool is_senders_own(struct spam_scan *scan, struct str host)
{
    const struct mailauth_verdict *auth = scan->request->auth;

    if (auth == NULL || auth->dmarc != MAILAUTH_PASS)
        return false;
    if (auth->author_domain.len > 0 && is_same_owner(scan->task, host, auth->author_domain))
        return true;
    for (size_t i = 0; i < auth->signature_count; i++) {
        if (auth->signatures[i].result == MAILAUTH_PASS &&
            is_same_owner(scan->task, host, auth->signatures[i].domain))
            return true;
    }
    return false;
}

static void judge_shown(struct spam_scan *scan, const struct spam_link *link)
{
    struct str shown = spam_link_host_shown(scan->task, link->shown);
    struct str detail;

    if (shown.len == 0 || is_same_owner(scan->task, shown, link->host))
        return;
    detail = arena_printf(&scan->task->arena, "%.*s leads to %.*s", STR_ARG(str_upto(shown, 60)),
                          STR_ARG(str_upto(link->host, 60)));
    if (link->is_ip)
        scan_add(scan, "LINK_MISMATCH_IP", detail);
    else if (!is_senders_own(scan, link->host))
        scan_add(scan, "LINK_MISMATCH", detail);
}

static void judge_link(struct spam_scan *scan, const struct spam_link *link)
{
    const char *disguise;

    if (link->is_inline) {
        scan_add(scan, "LINK_INLINE", str_upto(link->url, 20));
        return;
    }
    if (link->userinfo.len > 0)
        scan_add(scan, str_index(link->userinfo, '.') >= 0 ? "LINK_USERINFO" : "LINK_LOGIN",
                 link->host);
    if (link->is_ip)
        scan_add(scan, "LINK_IP", link->host);
    disguise = disguise_of(scan->task, link->host);
    if (disguise != NULL)
        scan_add(scan, disguise, link->host);
    judge_shown(scan, link);
}

/* --- The filtering resolver --- */

static bool is_blocked_address(const struct dns_record *record)
{
    static const char zero[4] = {0};

    return record->data.len == 4 && (memcmp(record->data.ptr, zero, 4) == 0 ||
                                     record->data.ptr[0] == 127);
}

static void ask(struct spam_scan *scan, struct str host)
{
    const struct dns_source *source = scan->request->link_check;
    struct dns_answer answer = {0};
    char *ascii = NULL;
    struct str name;

    if (idn2_to_ascii_8z(arena_copy(&scan->task->arena, host).ptr, &ascii,
                         IDN2_NONTRANSITIONAL | IDN2_NFC_INPUT) != IDN2_OK ||
        ascii == NULL)
        return;
    name = arena_copy(&scan->task->arena, str_from_c(ascii));
    idn2_free(ascii);
    if (name.len > DNS_NAME_MAX)
        return;
    source->ask(source->owner, scan->task, name, DNS_TYPE_A, &answer);
    if (answer.status == DNS_NO_NAME)
        scan_add(scan, "LINK_NO_HOST", name);
    for (size_t i = 0; answer.status == DNS_OK && i < answer.count; i++) {
        if (is_blocked_address(&answer.records[i]))
            scan_add(scan, "LINK_BLOCKED", name);
    }
}

static void ask_about_links(struct spam_scan *scan, const struct spam_link *links, size_t count)
{
    struct str asked[HOSTS_ASKED_MAX];
    size_t asked_count = 0;
    int64_t end_ms = clock_monotonic_ms() + ASKING_MS;

    for (size_t i = 0; i < count && asked_count < HOSTS_ASKED_MAX; i++) {
        bool is_known = links[i].is_inline || links[i].is_ip || links[i].host.len == 0 ||
                        str_index(links[i].host, '.') < 0;

        for (size_t k = 0; k < asked_count && !is_known; k++)
            is_known = str_equal(asked[k], links[i].host);
        if (is_known)
            continue;
        if (clock_monotonic_ms() >= end_ms)
            return;
        asked[asked_count++] = links[i].host;
        ask(scan, links[i].host);
    }
}

/* --- The sender --- */

/* The host of an address inside a name: "service@bank.example" <x@elsewhere.example>. */
static struct str address_in(struct task *task, struct str name)
{
    ptrdiff_t at = str_index(name, '@');
    struct str host;
    size_t end = 0;

    if (at < 1 || !ascii_is_alnum(name.ptr[at - 1]))
        return STR("");
    host = str_from(name, (size_t)at + 1);
    while (end < host.len && (ascii_is_alnum(host.ptr[end]) || host.ptr[end] == '.' ||
                              host.ptr[end] == '-'))
        end++;
    host = str_upto(host, end);
    return spam_link_host_shown(task, host);
}

static void judge_sender(struct spam_scan *scan)
{
    const struct address_list *from = &scan->view.from, *reply_to = &scan->view.reply_to;
    struct scan_words words = {0};
    CLEANUP(buf_free) struct buf name = {0};
    struct str host, pretended;

    if (from->count == 0)
        return;
    host = from->addresses[0].host;
    buf_init(&name, SIZE_MAX);
    message_header_decode(str_upto(from->addresses[0].name, SPAM_VIEW_FIELD_MAX), &name);
    scan_words_count(buf_str(&name), &words);
    if (words.mixed > 0)
        scan_add(scan, "FROM_MIXED_SCRIPTS", STR(""));
    if (host.len == 0)
        return;
    if (disguise_of(scan->task, host) != NULL)
        scan_add(scan, "FROM_HOMOGRAPH", host);
    pretended = address_in(scan->task, buf_str(&name));
    if (pretended.len > 0 && !is_same_owner(scan->task, pretended, host))
        scan_add(scan, "FROM_NAME_ADDRESS", pretended);
    if (reply_to->count > 0 && reply_to->addresses[0].host.len > 0 &&
        !is_same_owner(scan->task, reply_to->addresses[0].host, host) &&
        spam_view_field(scan->task, &scan->view, STR("List-Id")).len == 0)
        scan_add(scan, "REPLY_TO_OTHER", reply_to->addresses[0].host);
}

/* A form that asks for a password belongs on a page, not in a letter. */
static void judge_forms(struct spam_scan *scan)
{
    for (size_t i = 0; i < scan->view.text_count; i++) {
        struct str html = scan->view.texts[i].source;

        if (!scan->view.texts[i].is_html)
            continue;
        for (size_t k = 0; k + 20 < html.len; k++) {
            ptrdiff_t end;

            if (html.ptr[k] != '<' || !str_starts_with_nocase(str_from(html, k), STR("<input")))
                continue;
            end = str_index(str_upto(str_from(html, k), 500), '>');
            for (size_t j = k; end > 0 && j < k + (size_t)end; j++) {
                if (str_starts_with_nocase(str_from(html, j), STR("type=\"password\"")) ||
                    str_starts_with_nocase(str_from(html, j), STR("type=password")) ||
                    str_starts_with_nocase(str_from(html, j), STR("type='password'")))
                    scan_add(scan, "PASSWORD_FORM", STR(""));
            }
            k += end > 0 ? (size_t)end : 0;
        }
    }
}

void scan_phishing(struct spam_scan *scan)
{
    struct spam_link *links;
    size_t count;

    spam_link_find(scan->task, &scan->view, &links, &count);
    for (size_t i = 0; i < count && spam_budget_take(&scan->budget, 4096); i++)
        judge_link(scan, &links[i]);
    judge_sender(scan);
    judge_forms(scan);
    if (scan->request->link_check != NULL)
        ask_about_links(scan, links, count);
}
