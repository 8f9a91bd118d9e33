/* `sealpost domain check`: what is right with a record, or wrong. */
#include "account/admin/dns_check.h"

#include "base/ascii.h"

struct admin_finding admin_found(enum admin_finding_state state, const char *why)
{
    return (struct admin_finding){state, str_from_c(why)};
}

/* "tag=value" of a list with semicolons (RFC 6376 §3.2), without white space around; empty: none.
 */
static struct str tag_of(struct str text, const char *tag)
{
    struct str rest = text, part;

    while (rest.ptr != NULL && str_split(&rest, ';', &part)) {
        ptrdiff_t equal = str_index(part, '=');

        if (equal > 0 && str_equal_nocase(str_trim(str_upto(part, (size_t)equal)), str_from_c(tag)))
            return str_trim(str_from(part, (size_t)equal + 1));
    }
    return STR("");
}

/* Records that begin with this version; the first of them. */
static size_t of_version(const struct dns_answer *answer, struct str version, struct str *out_text)
{
    size_t count = 0;

    for (size_t i = 0; i < answer->count; i++) {
        struct str text = str_trim(answer->records[i].data), behind;

        if (!str_starts_with_nocase(text, version))
            continue;
        behind = str_from(text, version.len);
        if (behind.len > 0 && behind.ptr[0] != ' ' && behind.ptr[0] != ';')
            continue;
        if (count++ == 0)
            *out_text = text;
    }
    return count;
}

bool admin_dns_only_one(const struct dns_answer *answer, struct str version, struct str *out_text,
                        struct admin_finding *out_finding)
{
    size_t count = of_version(answer, version, out_text);

    if (count == 0)
        *out_finding = admin_found(ADMIN_FINDING_MISSING, "there is none");
    else if (count > 1)
        *out_finding =
            admin_found(ADMIN_FINDING_WRONG, "there are several, so that receivers heed none");
    return count == 1;
}

const struct dns_answer *admin_check_answer(const struct admin_check *check,
                                            enum admin_dns_role role)
{
    for (size_t i = 0; i < check->dns->count; i++) {
        if (check->dns->records[i].role == role)
            return &check->asked[i].answer;
    }
    return NULL;
}

/* The same key, whatever white space its text was given. */
static bool is_same_key(struct str a, struct str b)
{
    size_t i = 0, j = 0;

    for (;;) {
        while (i < a.len && ascii_is_space(a.ptr[i]))
            i++;
        while (j < b.len && ascii_is_space(b.ptr[j]))
            j++;
        if (i == a.len || j == b.len)
            return i == a.len && j == b.len;
        if (a.ptr[i++] != b.ptr[j++])
            return false;
    }
}

static struct admin_finding judge_dkim(const struct admin_dns_record *record,
                                       const struct dns_answer *answer)
{
    if (answer->count == 0)
        return admin_found(ADMIN_FINDING_MISSING, "mail is signed with a key that nobody finds");
    if (answer->count > 1)
        return admin_found(ADMIN_FINDING_WRONG, "there are several records of this name");
    if (!is_same_key(tag_of(answer->records[0].data, "p"), tag_of(record->text, "p")))
        return admin_found(ADMIN_FINDING_WRONG,
                           "another key is published, or a part of it is missing");
    return admin_found(ADMIN_FINDING_RIGHT, "");
}

static struct admin_finding judge_dmarc(const struct dns_answer *answer)
{
    struct admin_finding finding;
    struct str text, policy;

    if (!admin_dns_only_one(answer, STR("v=DMARC1"), &text, &finding))
        return finding;
    policy = tag_of(text, "p");
    if (str_equal_nocase(policy, STR("none")))
        return admin_found(ADMIN_FINDING_RIGHT, "p=none: forged mail is only reported");
    if (str_equal_nocase(policy, STR("quarantine")) || str_equal_nocase(policy, STR("reject")))
        return admin_found(ADMIN_FINDING_RIGHT, "");
    return admin_found(ADMIN_FINDING_WRONG, "its p= is none of none, quarantine and reject");
}

static struct admin_finding judge_tagged(const struct dns_answer *answer, struct str version,
                                         const char *tag, const char *lack)
{
    struct admin_finding finding;
    struct str text;

    if (!admin_dns_only_one(answer, version, &text, &finding))
        return finding;
    return tag_of(text, tag).len > 0 ? admin_found(ADMIN_FINDING_RIGHT, "")
                                     : admin_found(ADMIN_FINDING_WRONG, lack);
}

static struct admin_finding judge_mx(const struct admin_dns_record *record,
                                     const struct dns_answer *answer)
{
    bool has_others = false, is_named = false;

    for (size_t i = 0; i < answer->count; i++) {
        if (answer->records[i].name.len == 0)
            return admin_found(ADMIN_FINDING_WRONG,
                               "it says that the domain takes no mail (null MX)");
        if (str_equal_nocase(answer->records[i].name, record->text))
            is_named = true;
        else
            has_others = true;
    }
    if (answer->count == 0)
        return admin_found(ADMIN_FINDING_MISSING, "there is none");
    if (!is_named)
        return admin_found(ADMIN_FINDING_WRONG, "it names other hosts, not this one");
    return admin_found(ADMIN_FINDING_RIGHT, has_others ? "other hosts are named, too" : "");
}

static struct admin_finding judge_service(const struct admin_dns_record *record,
                                          const struct dns_answer *answer)
{
    if (answer->count == 0)
        return admin_found(ADMIN_FINDING_MISSING, "mail programs must be told the server's name");
    for (size_t i = 0; i < answer->count; i++) {
        if (str_equal_nocase(answer->records[i].name, record->text) &&
            answer->records[i].port == record->port)
            return admin_found(ADMIN_FINDING_RIGHT, "");
    }
    return admin_found(ADMIN_FINDING_WRONG, answer->records[0].name.len == 0
                                                ? "it says that there is no such service"
                                                : "it names another host or port");
}

static struct admin_finding judge_host(const struct admin_check *check, enum admin_dns_role role,
                                       const struct dns_answer *answer)
{
    const struct dns_answer *other =
        admin_check_answer(check, role == ADMIN_DNS_HOST ? ADMIN_DNS_HOST6 : ADMIN_DNS_HOST);

    if (answer->count > 0)
        return admin_found(ADMIN_FINDING_RIGHT, "");
    if (other != NULL && other->count > 0)
        return admin_found(ADMIN_FINDING_RIGHT, "none, but one of the other kind");
    if (other != NULL && other->status == DNS_FAILED)
        return admin_found(ADMIN_FINDING_UNKNOWN,
                           "none; for one of the other kind the DNS did not answer");
    return admin_found(ADMIN_FINDING_MISSING, "this host's name has no address");
}

struct admin_finding admin_check_judge(struct admin_check *check, size_t index)
{
    const struct admin_dns_record *record = &check->dns->records[index];
    const struct dns_answer *answer = &check->asked[index].answer;

    if (answer->status == DNS_FAILED)
        return admin_found(ADMIN_FINDING_UNKNOWN, "the DNS did not answer");
    switch (record->role) {
    case ADMIN_DNS_HOST:
    case ADMIN_DNS_HOST6:
        return judge_host(check, record->role, answer);
    case ADMIN_DNS_MX:
        return judge_mx(record, answer);
    case ADMIN_DNS_SPF:
        return admin_check_judge_spf(check, answer);
    case ADMIN_DNS_DKIM:
        return judge_dkim(record, answer);
    case ADMIN_DNS_DMARC:
        return judge_dmarc(answer);
    case ADMIN_DNS_STS:
        return judge_tagged(answer, STR("v=STSv1"), "id", "it has no id=");
    case ADMIN_DNS_STS_HOST:
        if (answer->count > 0)
            return admin_found(ADMIN_FINDING_RIGHT, "");
        return check->policy.state == ADMIN_FINDING_RIGHT
                   ? admin_found(ADMIN_FINDING_RIGHT, "none, but one of the other kind")
                   : admin_found(ADMIN_FINDING_MISSING,
                                 "the MTA-STS policy cannot be fetched from there");
    case ADMIN_DNS_TLS_REPORT:
        return judge_tagged(answer, STR("v=TLSRPTv1"), "rua", "it has no rua=");
    case ADMIN_DNS_SERVICE:
        return judge_service(record, answer);
    }
    return admin_found(ADMIN_FINDING_UNKNOWN, "");
}
