/*
 * An answer is read in two passes over its records. The first finds the aliases, the SOA of a
 * negative answer and the extended code, and checks the frame of everything; then the aliases are
 * followed; the second takes the records that stand at their end.
 *
 * Compression pointers must point backwards, each before the one that led to it, so a name of 255
 * bytes takes at most 127 of them and no message makes more work than its own length times that.
 */
#include "dns/message.h"

#include "base/ascii.h"
#include "dns/name.h"

#include <assert.h>
#include <string.h>

enum {
    HEADER_BYTES = 12,
    CLASS_IN = 1,
    TYPE_OPT = 41,
    OPTION_PADDING = 12, /* RFC 7830 */
    PADDED_TO = 128,
    FLAG_QR = 0x8000,
    FLAG_OPCODE = 0x7800,
    FLAG_TC = 0x0200,
    FLAG_RD = 0x0100,
    FLAG_AD = 0x0020,
    FLAG_RCODE = 0x000f,
    RCODE_NOERROR = 0,
    RCODE_NXDOMAIN = 3,
    ALIASES_MAX = 2 * DNS_CHAIN_MAX, /* looked at in one message */
    HOPS_MAX = 127,
};

/* ---- The question ---- */

static void put_u16(struct buf *out, unsigned value)
{
    char bytes[2] = {(char)(value >> 8), (char)value};

    buf_put(out, str_make(bytes, sizeof(bytes)));
}

static void put_name(struct buf *out, struct str name)
{
    struct str label;

    while (name.len > 0 && str_split(&name, '.', &label)) {
        char len = (char)label.len;

        buf_put(out, str_make(&len, 1));
        buf_put(out, label);
    }
    buf_put(out, str_make("", 1));
}

static void put_opt(struct buf *out, size_t start, bool is_padded)
{
    static const char zeros[PADDED_TO];
    size_t bare, padding;

    buf_put(out, str_make("", 1)); /* the root */
    put_u16(out, TYPE_OPT);
    put_u16(out, DNS_UDP_MAX);
    put_u16(out, 0); /* extended code, version */
    put_u16(out, 0); /* flags: no DO, the AD bit of the header asks for what we want */
    if (!is_padded) {
        put_u16(out, 0);
        return;
    }
    bare = out->len - start + 2 + 4;
    padding = (PADDED_TO - bare % PADDED_TO) % PADDED_TO;
    put_u16(out, (unsigned)padding + 4);
    put_u16(out, OPTION_PADDING);
    put_u16(out, (unsigned)padding);
    buf_put(out, str_make(zeros, padding));
}

void dns_message_query(struct buf *out, uint16_t id, struct str name, enum dns_type type,
                       bool is_padded)
{
    size_t start = out->len;

    assert(name.len <= DNS_NAME_MAX);
    put_u16(out, id);
    put_u16(out, FLAG_RD | FLAG_AD);
    put_u16(out, 1); /* one question */
    put_u16(out, 0);
    put_u16(out, 0);
    put_u16(out, 1); /* OPT */
    put_name(out, name);
    put_u16(out, type);
    put_u16(out, CLASS_IN);
    put_opt(out, start, is_padded);
}

/* ---- Reading ---- */

/* A place in the message. What is read beyond its end makes it bad. */
struct reader {
    struct str message;
    size_t at;
    bool is_bad;
};

static unsigned read_u8(struct reader *reader)
{
    if (reader->at >= reader->message.len) {
        reader->is_bad = true;
        return 0;
    }
    return (unsigned char)reader->message.ptr[reader->at++];
}

static unsigned read_u16(struct reader *reader)
{
    unsigned high = read_u8(reader);

    return high << 8 | read_u8(reader);
}

static uint32_t read_u32(struct reader *reader)
{
    uint32_t high = read_u16(reader);

    return high << 16 | read_u16(reader);
}

static struct str read_bytes(struct reader *reader, size_t len)
{
    struct str bytes = str_upto(str_from(reader->message, reader->at), len);

    if (bytes.len < len)
        reader->is_bad = true;
    reader->at += bytes.len;
    return bytes;
}

/* A name as text; is_text false: a label has a dot or a NUL in it, so it is not what it looks. */
struct read_name {
    struct dns_name name;
    bool is_text;
};

static bool read_label(struct reader *reader, size_t len, struct read_name *out)
{
    struct dns_name *name = &out->name;
    struct str label = read_bytes(reader, len);

    if (reader->is_bad || name->len + (name->len > 0) + len > DNS_NAME_MAX)
        return false;
    if (name->len > 0)
        name->text[name->len++] = '.';
    for (size_t i = 0; i < len; i++) {
        if (label.ptr[i] == '.' || label.ptr[i] == '\0')
            out->is_text = false;
        name->text[name->len++] = ascii_lower(label.ptr[i]);
    }
    name->text[name->len] = '\0';
    return true;
}

/* RFC 1035 §4.1.4. The reader stands behind the name afterwards. */
static void read_name(struct reader *reader, struct read_name *out)
{
    struct reader inner = *reader;
    size_t end = 0, lowest = reader->at; /* end: behind the first pointer */

    out->name.len = 0;
    out->name.text[0] = '\0';
    out->is_text = true;
    for (unsigned hops = 0; !inner.is_bad;) {
        unsigned len = read_u8(&inner);

        if (len == 0 && !inner.is_bad) {
            reader->at = end != 0 ? end : inner.at;
            return;
        }
        if (len < 64) {
            if (!read_label(&inner, len, out))
                break;
        } else if (len >= 0xc0) {
            size_t target = (len & 0x3f) << 8 | read_u8(&inner);

            if (end == 0)
                end = inner.at;
            if (target >= lowest || target < HEADER_BYTES || ++hops > HOPS_MAX)
                break;
            lowest = target;
            inner.at = target;
        } else {
            break;
        }
    }
    reader->is_bad = true;
}

struct header {
    unsigned id, flags, questions, answers, authorities, additional;
};

/* The frame of one record; its data starts at data_at, and the reader stands behind it. */
struct frame {
    struct read_name owner;
    unsigned type, class;
    uint32_t ttl_s;
    size_t data_at, data_len;
};

static uint32_t sane_ttl(uint32_t ttl_s)
{
    if (ttl_s > INT32_MAX)
        return 0; /* RFC 2181 §8 */
    return ttl_s < DNS_TTL_MAX_S ? ttl_s : DNS_TTL_MAX_S;
}

static bool read_frame(struct reader *reader, struct frame *out)
{
    read_name(reader, &out->owner);
    if (reader->is_bad)
        return false;
    out->type = read_u16(reader);
    out->class = read_u16(reader);
    out->ttl_s = read_u32(reader);
    out->data_len = read_u16(reader);
    out->data_at = reader->at;
    (void)read_bytes(reader, out->data_len);
    return !reader->is_bad;
}

/* A reader of the record's data alone, which may point back to anything before its end. */
static struct reader data_of(const struct reader *whole, const struct frame *frame)
{
    return (struct reader){str_upto(whole->message, frame->data_at + frame->data_len),
                           frame->data_at, false};
}

static bool is_at_end(const struct reader *reader)
{
    return !reader->is_bad && reader->at == reader->message.len;
}

/* ---- The parts of an answer ---- */

struct alias {
    struct dns_name owner;
    struct dns_name target;
    uint32_t ttl_s;
};

/* What the first pass found. */
struct survey {
    struct task *task;     /* borrowed */
    struct alias *aliases; /* in the task's arena; ALIASES_MAX of them, once there is one */
    size_t alias_count;
    struct dns_name soa_owner;
    bool has_soa;
    uint32_t negative_ttl_s; /* of the SOA */
    unsigned extended_code;
};

/* False: the record is malformed. */
static bool note_alias(struct survey *survey, const struct reader *whole, const struct frame *frame)
{
    struct reader data = data_of(whole, frame);
    struct read_name target;
    struct alias *alias;

    read_name(&data, &target);
    if (!is_at_end(&data))
        return false;
    if (survey->alias_count == ALIASES_MAX || !frame->owner.is_text || !target.is_text)
        return true;
    if (survey->aliases == NULL)
        survey->aliases = ARENA_ARRAY(&survey->task->arena, struct alias, ALIASES_MAX);
    alias = &survey->aliases[survey->alias_count++];
    alias->owner = frame->owner.name;
    alias->target = target.name;
    alias->ttl_s = sane_ttl(frame->ttl_s);
    return true;
}

/* RFC 2308 §5: the lesser of the SOA's own TTL and its MINIMUM. */
static bool note_soa(struct survey *survey, const struct reader *whole, const struct frame *frame)
{
    struct reader data = data_of(whole, frame);
    uint32_t ttl_s = sane_ttl(frame->ttl_s), minimum_s;
    struct read_name name;

    read_name(&data, &name);
    if (!data.is_bad)
        read_name(&data, &name);
    if (!data.is_bad)
        (void)read_bytes(&data, 4 * sizeof(uint32_t));
    minimum_s = sane_ttl(read_u32(&data));
    if (!is_at_end(&data))
        return false;
    survey->has_soa = frame->owner.is_text;
    survey->soa_owner = frame->owner.name;
    survey->negative_ttl_s = ttl_s < minimum_s ? ttl_s : minimum_s;
    return true;
}

enum section { SECTION_ANSWER, SECTION_AUTHORITY, SECTION_ADDITIONAL };

static bool note(struct survey *survey, const struct reader *whole, const struct frame *frame,
                 enum section section)
{
    if (section == SECTION_ADDITIONAL && frame->type == TYPE_OPT)
        survey->extended_code = frame->ttl_s >> 24;
    if (frame->class != CLASS_IN)
        return true;
    if (section == SECTION_ANSWER && frame->type == DNS_TYPE_CNAME)
        return note_alias(survey, whole, frame);
    if (section == SECTION_AUTHORITY && frame->type == DNS_TYPE_SOA && !survey->has_soa)
        return note_soa(survey, whole, frame);
    return true;
}

/* All records' frames, to the message's end. */
static bool make_survey(struct reader reader, const struct header *header, struct survey *out)
{
    const unsigned counts[] = {header->answers, header->authorities, header->additional};
    struct frame frame;

    for (unsigned section = 0; section < ARRAY_LEN(counts); section++) {
        for (unsigned i = 0; i < counts[section]; i++) {
            if (!read_frame(&reader, &frame) || !note(out, &reader, &frame, (enum section)section))
                return false;
        }
    }
    return is_at_end(&reader);
}

/* False: the aliases go in a circle, or on for too long. */
static bool follow_aliases(const struct survey *survey, struct dns_name *name, uint32_t *ttl_s)
{
    for (size_t step = 0; step <= DNS_CHAIN_MAX; step++) {
        const struct alias *found = NULL;

        for (size_t i = 0; i < survey->alias_count && found == NULL; i++) {
            if (str_equal(dns_name_str(&survey->aliases[i].owner), dns_name_str(name)))
                found = &survey->aliases[i];
        }
        if (found == NULL)
            return true;
        *name = found->target;
        if (found->ttl_s < *ttl_s)
            *ttl_s = found->ttl_s;
    }
    return false;
}

/* RFC 1035 §3.3.14: the strings of one record belong together. */
static bool join_strings(struct task *task, struct reader *data, size_t len, struct str *out)
{
    char *text = ARENA_ARRAY(&task->arena, char, len + 1);
    size_t used = 0;

    while (data->at < data->message.len && !data->is_bad) {
        struct str string = read_bytes(data, read_u8(data));

        if (string.len > 0)
            memcpy(text + used, string.ptr, string.len);
        used += string.len;
    }
    *out = str_make(text, used);
    return is_at_end(data);
}

/* The last part of most: a name. *out_is_usable false: one that text cannot say. */
static bool take_name(struct task *task, struct reader *data, struct str *out, bool *out_is_usable)
{
    struct read_name name;

    read_name(data, &name);
    if (!is_at_end(data))
        return false;
    *out_is_usable = name.is_text;
    *out = arena_copy(&task->arena, dns_name_str(&name.name));
    return true;
}

/* False: malformed. */
static bool take_data(struct task *task, const struct reader *whole, const struct frame *frame,
                      enum dns_type type, struct dns_record *out, bool *out_is_usable)
{
    struct reader data = data_of(whole, frame);

    *out_is_usable = true;
    *out = (struct dns_record){.ttl_s = sane_ttl(frame->ttl_s)};
    switch (type) {
    case DNS_TYPE_A:
        out->data = read_bytes(&data, 4);
        return is_at_end(&data);
    case DNS_TYPE_AAAA:
        out->data = read_bytes(&data, 16);
        return is_at_end(&data);
    case DNS_TYPE_MX:
        out->preference = (uint16_t)read_u16(&data);
        return take_name(task, &data, &out->name, out_is_usable);
    case DNS_TYPE_SRV:
        out->preference = (uint16_t)read_u16(&data);
        out->weight = (uint16_t)read_u16(&data);
        out->port = (uint16_t)read_u16(&data);
        return take_name(task, &data, &out->name, out_is_usable);
    case DNS_TYPE_NS:
    case DNS_TYPE_CNAME:
    case DNS_TYPE_PTR:
        return take_name(task, &data, &out->name, out_is_usable);
    case DNS_TYPE_TXT:
        return join_strings(task, &data, frame->data_len, &out->data);
    case DNS_TYPE_TLSA: /* RFC 6698 §2.1: three numbers, then what they say */
    case DNS_TYPE_SOA:
        break;
    }
    out->data = read_bytes(&data, frame->data_len);
    return type != DNS_TYPE_TLSA || out->data.len >= 3;
}

/* The records of that type at that name. *out_skipped: some are there that we cannot use. */
static bool take_records(struct task *task, struct reader reader, unsigned count,
                         const struct dns_name *name, enum dns_type type, struct dns_reply *out,
                         bool *out_skipped)
{
    size_t room = count < DNS_RECORDS_MAX ? count : DNS_RECORDS_MAX;
    struct frame frame;

    out->answer.records = ARENA_ARRAY(&task->arena, struct dns_record, room + 1);
    *out_skipped = false;
    for (unsigned i = 0; i < count; i++) {
        struct dns_record *record = &out->answer.records[out->answer.count];
        bool is_usable;

        if (!read_frame(&reader, &frame))
            return false;
        if (frame.type != type || frame.class != CLASS_IN || !frame.owner.is_text ||
            !str_equal(dns_name_str(&frame.owner.name), dns_name_str(name)) ||
            out->answer.count == DNS_RECORDS_MAX)
            continue;
        if (!take_data(task, &reader, &frame, type, record, &is_usable))
            return false;
        if (!is_usable) {
            *out_skipped = true;
            continue;
        }
        out->answer.count++;
        if (record->ttl_s < out->ttl_s)
            out->ttl_s = record->ttl_s;
    }
    return true;
}

/* ---- An answer ---- */

static bool read_header(struct reader *reader, struct header *out)
{
    out->id = read_u16(reader);
    out->flags = read_u16(reader);
    out->questions = read_u16(reader);
    out->answers = read_u16(reader);
    out->authorities = read_u16(reader);
    out->additional = read_u16(reader);
    return !reader->is_bad;
}

static bool is_our_question(struct reader *reader, struct str name, enum dns_type type)
{
    struct read_name asked;
    unsigned asked_type, asked_class;

    read_name(reader, &asked);
    if (reader->is_bad)
        return false;
    asked_type = read_u16(reader);
    asked_class = read_u16(reader);
    return !reader->is_bad && asked.is_text && asked_type == type && asked_class == CLASS_IN &&
           str_equal(dns_name_str(&asked.name), name);
}

/* The name itself or one above it. */
static bool is_zone_of(const struct dns_name *zone, const struct dns_name *name)
{
    struct str above = dns_name_str(zone), below = dns_name_str(name);

    return above.len == 0 ||
           (str_ends_with(below, above) &&
            (below.len == above.len || below.ptr[below.len - above.len - 1] == '.'));
}

static void finish_negative(const struct survey *survey, const struct dns_name *name,
                            enum dns_status status, struct dns_reply *out)
{
    uint32_t ttl_s = 0;

    if (survey->has_soa && is_zone_of(&survey->soa_owner, name))
        ttl_s = survey->negative_ttl_s;
    if (ttl_s > DNS_NEGATIVE_MAX_S)
        ttl_s = DNS_NEGATIVE_MAX_S;
    out->answer.status = status;
    out->answer.count = 0;
    if (ttl_s < out->ttl_s)
        out->ttl_s = ttl_s;
}

static void finish_failed(struct dns_reply *out)
{
    out->answer = (struct dns_answer){.status = DNS_FAILED};
    out->ttl_s = 0;
}

static enum err read_answer(struct task *task, struct reader reader, const struct header *header,
                            struct dns_name *name, enum dns_type type, struct dns_reply *out)
{
    struct survey survey = {.task = task};
    bool has_skipped;
    unsigned code;

    if (!make_survey(reader, header, &survey))
        return fail(task, ERR_INVALID, "malformed DNS message");
    code = survey.extended_code << 4 | (header->flags & FLAG_RCODE);
    out->ttl_s = DNS_TTL_MAX_S;
    out->answer.is_secure = (header->flags & FLAG_AD) != 0;
    if ((code != RCODE_NOERROR && code != RCODE_NXDOMAIN) ||
        (type != DNS_TYPE_CNAME && !follow_aliases(&survey, name, &out->ttl_s))) {
        finish_failed(out);
        return ERR_OK;
    }
    if (!take_records(task, reader, header->answers, name, type, out, &has_skipped))
        return fail(task, ERR_INVALID, "malformed DNS record");
    if (code == RCODE_NXDOMAIN)
        finish_negative(&survey, name, DNS_NO_NAME, out);
    else if (out->answer.count > 0)
        out->answer.status = DNS_OK;
    else if (has_skipped)
        finish_failed(out);
    else
        finish_negative(&survey, name, DNS_NO_DATA, out);
    return ERR_OK;
}

enum err dns_message_parse(struct task *task, struct str message, uint16_t id, struct str name,
                           enum dns_type type, struct dns_reply *out)
{
    struct reader reader = {message, 0, false};
    struct dns_reply reply = {.ttl_s = 0};
    struct dns_name final;
    struct header header;

    if (!dns_name_set(&final, name))
        return fail(task, ERR_INVALID, "not a domain name");
    if (message.len > DNS_MESSAGE_MAX || !read_header(&reader, &header) || header.id != id ||
        (header.flags & (FLAG_QR | FLAG_OPCODE)) != FLAG_QR || header.questions != 1 ||
        !is_our_question(&reader, dns_name_str(&final), type))
        return fail(task, ERR_INVALID, "not an answer to our DNS question");
    if ((header.flags & FLAG_TC) != 0)
        reply.is_truncated = true;
    else
        TRY(read_answer(task, reader, &header, &final, type, &reply));
    *out = reply;
    return ERR_OK;
}
