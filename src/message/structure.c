/*
 * The scanner. It keeps a stack of the open entities, at most MESSAGE_DEPTH_MAX deep, and goes over
 * the message line by line: a line that begins with "--" may be a boundary of any open multipart.
 *
 * Not GMime's parser: it gives no offsets of the parts, and 100,000 nested multiparts cost it a
 * second. Here the bytes decide: all ranges are exact, and the time is that of finding line ends.
 *
 * The line break before a boundary belongs to the boundary (RFC 2046 §5.1.1). What does not fit
 * into the limits stays as opaque bytes of the part in which it is.
 */
#include "message/structure.h"

#include "base/ascii.h"
#include "message/header.h"
#include "message/mime.h"
#include "message/words.h"
#include "message/charset.h"

#include <assert.h>
#include <string.h>

enum {
    CHARSET_MAX = 64,
    FILENAME_MAX_BYTES = 1000,
    FIRST_PARTS = 8,
};

struct level {
    uint32_t part;
    struct str boundary; /* of a multipart that is not closed yet; else empty */
    uint32_t boundary_hash;
    uint32_t last_child; /* 0: none yet */
    uint64_t first_line; /* line breaks in the message before the part's body */
    bool is_digest;
};

struct scanner {
    struct arena *arena;
    struct str raw;
    size_t at;     /* the line that is looked at */
    uint64_t line; /* line breaks before it */
    struct message_part *parts;
    struct structure_notes *notes;
    uint32_t count;
    size_t room;
    struct level levels[MESSAGE_DEPTH_MAX + 1];
    size_t depth; /* levels in use */
    size_t open_boundaries;
    size_t budget; /* for header_flat */
    bool is_full;  /* MESSAGE_PARTS_MAX is reached: boundaries only close */
};

static const struct {
    struct str name;
    enum message_encoding encoding;
} encodings[] = {
    {STR_INIT("7bit"), MESSAGE_ENCODING_7BIT},
    {STR_INIT("8bit"), MESSAGE_ENCODING_8BIT},
    {STR_INIT("binary"), MESSAGE_ENCODING_BINARY},
    {STR_INIT("quoted-printable"), MESSAGE_ENCODING_QUOTED_PRINTABLE},
    {STR_INIT("base64"), MESSAGE_ENCODING_BASE64},
};

static const struct str field_names[STRUCTURE_FIELDS] = {
    [STRUCTURE_CONTENT_TYPE] = STR_INIT("content-type"),
    [STRUCTURE_CONTENT_ENCODING] = STR_INIT("content-transfer-encoding"),
    [STRUCTURE_CONTENT_DISPOSITION] = STR_INIT("content-disposition"),
    [STRUCTURE_CONTENT_ID] = STR_INIT("content-id"),
    [STRUCTURE_CONTENT_DESCRIPTION] = STR_INIT("content-description"),
    [STRUCTURE_CONTENT_MD5] = STR_INIT("content-md5"),
    [STRUCTURE_CONTENT_LANGUAGE] = STR_INIT("content-language"),
    [STRUCTURE_CONTENT_LOCATION] = STR_INIT("content-location"),
};

static size_t line_end(const struct scanner *s, size_t start)
{
    const char *lf = memchr(s->raw.ptr + start, '\n', s->raw.len - start);

    return lf == NULL ? s->raw.len : (size_t)(lf - s->raw.ptr) + 1;
}

static bool ends_line(const struct scanner *s, size_t end)
{
    return end > 0 && s->raw.ptr[end - 1] == '\n';
}

static uint64_t count_lines(struct str text)
{
    uint64_t count = 0;

    for (size_t i = 0; i < text.len;) {
        /* In blocks whose count fits a byte, which compilers turn into vector code. */
        size_t end = text.len - i < 255 ? text.len : i + 255;
        unsigned char block = 0;

        for (; i < end; i++)
            block = (unsigned char)(block + (text.ptr[i] == '\n'));
        count += block;
    }
    return count;
}

/* ---- boundaries ---- */

struct boundary_hit {
    size_t level;
    bool is_close;
};

static uint32_t boundary_hash(struct str text)
{
    uint32_t hash = 2166136261u;

    for (size_t i = 0; i < text.len; i++)
        hash = (hash ^ (unsigned char)text.ptr[i]) * 16777619u;
    return hash;
}

/*
 * delimiter = "--" boundary, close-delimiter = delimiter "--", then transport-padding
 * (RFC 2046 §5.1.1). The innermost multipart goes first. `line` begins with "--". Lines are hashed
 * since somebody may send nothing but lines that almost are each of 64 open boundaries.
 */
static bool find_boundary(const struct scanner *s, struct str line, struct boundary_hit *out)
{
    struct str inner;
    uint32_t hash, inner_hash;

    line = str_from(line, 2);
    while (line.len > 0 && ascii_is_space(line.ptr[line.len - 1]))
        line.len--;
    hash = inner_hash = boundary_hash(line);
    inner = line;
    if (str_ends_with(line, STR("--"))) {
        inner.len -= 2;
        inner_hash = boundary_hash(inner);
    }
    for (size_t i = s->depth; i-- > 0;) {
        const struct level *level = &s->levels[i];

        if (level->boundary_hash != hash && level->boundary_hash != inner_hash)
            continue;
        if (level->boundary.len > 0 && str_equal(level->boundary, line)) {
            *out = (struct boundary_hit){i, false};
            return true;
        }
        if (level->boundary.len > 0 && inner.len < line.len && str_equal(level->boundary, inner)) {
            *out = (struct boundary_hit){i, true};
            return true;
        }
    }
    return false;
}

static bool is_boundary_line(const struct scanner *s, size_t start, size_t end,
                             struct boundary_hit *out)
{
    return s->open_boundaries > 0 && end - start > 2 && s->raw.ptr[start] == '-' &&
           s->raw.ptr[start + 1] == '-' &&
           find_boundary(s, str_make(s->raw.ptr + start, end - start), out) &&
           (out->is_close || !s->is_full);
}

/* ---- one part's header ---- */

static void note_field(struct structure_notes *notes, struct str line, struct str **out_current)
{
    ptrdiff_t colon;
    struct str name;

    *out_current = NULL;
    if (!str_starts_with_nocase(line, STR("content-")))
        return;
    colon = str_index(line, ':');
    if (colon < 0)
        return;
    name = str_trim(str_upto(line, (size_t)colon));
    for (size_t i = 0; i < STRUCTURE_FIELDS; i++) {
        if (name.len == field_names[i].len && str_equal_nocase(name, field_names[i]) &&
            notes->fields[i].ptr == NULL) {
            notes->fields[i] = str_from(line, (size_t)colon + 1);
            *out_current = &notes->fields[i];
        }
    }
}

/* Goes over the header at s->at, up to and with the empty line, or to a boundary or the end. */
static void read_header(struct scanner *s, struct message_part *part, struct structure_notes *notes)
{
    struct str *current = NULL; /* the field that a folded line continues */

    part->header_start = s->at;
    while (s->at < s->raw.len) {
        size_t end = line_end(s, s->at);
        struct str line = str_make(s->raw.ptr + s->at, end - s->at);
        struct boundary_hit hit;

        if (is_boundary_line(s, s->at, end, &hit))
            break;
        s->at = end;
        s->line += ends_line(s, end);
        if (line.ptr[0] == '\n' || (line.len == 2 && line.ptr[0] == '\r' && line.ptr[1] == '\n'))
            break;
        if (line.ptr[0] == ' ' || line.ptr[0] == '\t') {
            if (current != NULL)
                current->len += line.len;
        } else {
            note_field(notes, line, &current);
        }
    }
    part->header_len = s->at - part->header_start;
    part->body_start = s->at;
    for (size_t i = 0; i < STRUCTURE_FIELDS; i++) {
        if (notes->fields[i].ptr != NULL)
            notes->fields[i] = header_flat(s->arena, notes->fields[i], &s->budget);
    }
}

static struct str cut(struct str text, size_t max)
{
    return text.len > max ? STR("") : text;
}

/* A parameter of Content-Type that readers act on; in pieces or encoded (RFC 2231) it counts too.
 */
static struct str find_param(struct scanner *s, const struct structure_notes *notes,
                             struct str name)
{
    struct str flat = notes->fields[STRUCTURE_CONTENT_TYPE];
    size_t position = notes->params;
    struct mime_param param;
    bool has_pieces = false;
    struct buf decoded;
    struct str value;

    while (mime_param_next(s->arena, flat, &position, &param)) {
        if (str_equal_nocase(param.name, name))
            return param.value;
        has_pieces = has_pieces || str_starts_with_nocase(param.name, name);
    }
    if (!has_pieces)
        return STR("");
    buf_init(&decoded, SIZE_MAX);
    (void)mime_param_decoded(s->arena, flat, notes->params, name, &decoded);
    value = arena_copy(s->arena, buf_str(&decoded));
    buf_free(&decoded);
    return value;
}

static void read_disposition(struct scanner *s, struct message_part *part,
                             const struct structure_notes *notes)
{
    struct str flat = notes->fields[STRUCTURE_CONTENT_DISPOSITION];
    struct buf name;
    struct str view;
    size_t position = 0;
    bool has_name = false;

    if (flat.ptr == NULL && !notes->is_type_given)
        return;
    buf_init(&name, SIZE_MAX);
    if (flat.ptr != NULL) {
        part->is_attachment = str_equal_nocase(mime_token(flat, &position), STR("attachment"));
        has_name = mime_param_decoded(s->arena, flat, position, STR("filename"), &name);
    }
    if (!has_name && notes->is_type_given)
        has_name = mime_param_decoded(s->arena, notes->fields[STRUCTURE_CONTENT_TYPE],
                                      notes->params, STR("name"), &name);
    view = buf_str(&name);
    if (has_name && view.len > 0)
        part->filename =
            arena_copy(s->arena, str_upto(view, charset_utf8_cut(view, FILENAME_MAX_BYTES)));
    buf_free(&name);
}

static enum message_encoding read_encoding(struct str flat)
{
    size_t position;
    struct str token;

    if (flat.ptr == NULL)
        return MESSAGE_ENCODING_7BIT;
    token = mime_token(flat, &position);
    if (token.len == 0)
        return MESSAGE_ENCODING_7BIT;
    for (size_t i = 0; i < ARRAY_LEN(encodings); i++) {
        if (str_equal_nocase(encodings[i].name, token))
            return encodings[i].encoding;
    }
    return MESSAGE_ENCODING_OTHER;
}

/* A leaf of another type than its header says. */
static void become(struct message_part *part, struct structure_notes *notes, struct str type,
                   struct str subtype)
{
    part->kind = MESSAGE_KIND_LEAF;
    part->type = type;
    part->subtype = subtype;
    notes->is_type_given = false;
}

static bool is_identity(enum message_encoding encoding)
{
    return encoding == MESSAGE_ENCODING_7BIT || encoding == MESSAGE_ENCODING_8BIT ||
           encoding == MESSAGE_ENCODING_BINARY;
}

/* What the header says about the body. A container's kind is settled by open_level. */
static void read_part(struct scanner *s, struct message_part *part, struct structure_notes *notes,
                      bool is_in_digest)
{
    struct str type_field = notes->fields[STRUCTURE_CONTENT_TYPE];

    part->type = part->subtype = part->charset = part->filename = STR("");
    part->encoding = read_encoding(notes->fields[STRUCTURE_CONTENT_ENCODING]);
    notes->is_type_given = type_field.ptr != NULL && mime_type(s->arena, type_field, &part->type,
                                                               &part->subtype, &notes->params);
    if (!notes->is_type_given) {
        part->type = is_in_digest && type_field.ptr == NULL ? STR("message") : STR("text");
        part->subtype = is_in_digest && type_field.ptr == NULL ? STR("rfc822") : STR("plain");
    }
    read_disposition(s, part, notes);
    if (str_equal(part->type, STR("text")) && notes->is_type_given)
        part->charset =
            arena_copy(s->arena, cut(find_param(s, notes, STR("charset")), CHARSET_MAX));
}

/* ---- the tree ---- */

static uint32_t add_part(struct scanner *s)
{
    if (s->count == s->room) {
        size_t room = s->room; /* of the one as of the other */

        s->parts = arena_grow(s->arena, s->parts, &room, FIRST_PARTS, sizeof(*s->parts));
        s->notes = arena_grow(s->arena, s->notes, &s->room, FIRST_PARTS, sizeof(*s->notes));
    }
    s->is_full = s->count + 1 == MESSAGE_PARTS_MAX;
    return s->count++;
}

static void set_boundary(struct scanner *s, struct level *level, struct str boundary)
{
    s->open_boundaries += (boundary.len > 0) - (size_t)(level->boundary.len > 0);
    level->boundary = boundary;
    level->boundary_hash = boundary_hash(boundary);
}

/*
 * Reads one entity's header and opens its level; then, as long as the entity is an embedded
 * message, the same for the message inside.
 */
static void open_parts(struct scanner *s)
{
    for (;;) {
        uint32_t index = add_part(s);
        struct message_part *part = &s->parts[index];
        struct level *above = s->depth > 0 ? &s->levels[s->depth - 1] : NULL;
        struct level *level = &s->levels[s->depth];
        bool has_room;

        assert(s->depth <= MESSAGE_DEPTH_MAX);
        if (above != NULL) {
            part->parent = above->part;
            if (above->last_child == 0)
                s->parts[above->part].first_child = index;
            else
                s->parts[above->last_child].next = index;
            above->last_child = index;
        }
        read_header(s, part, &s->notes[index]);
        read_part(s, part, &s->notes[index], above != NULL && above->is_digest);
        s->depth++;
        *level = (struct level){.part = index, .first_line = s->line};
        has_room = s->depth <= MESSAGE_DEPTH_MAX && !s->is_full;
        if (str_equal(part->type, STR("multipart"))) {
            struct str boundary = find_param(s, &s->notes[index], STR("boundary"));

            part->kind = MESSAGE_KIND_MULTIPART;
            level->is_digest = str_equal(part->subtype, STR("digest"));
            if (!has_room)
                become(part, &s->notes[index], STR("application"), STR("octet-stream"));
            else
                set_boundary(s, level, str_trim(boundary));
            return;
        }
        if (!str_equal(part->type, STR("message")) ||
            !(str_equal(part->subtype, STR("rfc822")) || str_equal(part->subtype, STR("global"))))
            return;
        if (!has_room || !is_identity(part->encoding)) {
            become(part, &s->notes[index], STR("application"), STR("octet-stream"));
            return;
        }
        part->kind = MESSAGE_KIND_MESSAGE;
    }
}

/* Closes all levels from `level` up; their bodies end at `end`, where `line` breaks are before. */
static void close_parts(struct scanner *s, size_t level, size_t end, uint64_t line)
{
    while (s->depth > level) {
        struct level *top = &s->levels[--s->depth];
        struct message_part *part = &s->parts[top->part];

        assert(end >= part->body_start && line >= top->first_line);
        part->body_len = end - part->body_start;
        part->body_lines = (uint32_t)(line - top->first_line);
        set_boundary(s, top, STR(""));
        /* Labelled multipart, but no boundary occurs: let the reader see the text. */
        if (part->kind == MESSAGE_KIND_MULTIPART && part->first_child == 0) {
            become(part, &s->notes[top->part], STR("text"), STR("plain"));
            if (!is_identity(part->encoding))
                part->encoding = MESSAGE_ENCODING_7BIT;
        }
    }
}

/* At a boundary line: s->at is its start. */
static void take_boundary(struct scanner *s, struct boundary_hit hit, size_t line_end_at)
{
    const struct message_part *innermost = &s->parts[s->levels[s->depth - 1].part];
    size_t end = s->at;
    uint64_t line = s->line;

    if (end > innermost->body_start && ends_line(s, end)) {
        end--;
        line--;
        if (end > innermost->body_start && s->raw.ptr[end - 1] == '\r')
            end--;
    }
    close_parts(s, hit.level + 1, end, line);
    s->at = line_end_at;
    s->line += ends_line(s, line_end_at);
    if (hit.is_close)
        set_boundary(s, &s->levels[hit.level], STR(""));
    else
        open_parts(s);
}

/* The start of the next line from s->at on that begins with "--", or the end of the message. */
static void skip_lines(struct scanner *s)
{
    const char *p = s->raw.ptr + s->at;
    const char *end = s->raw.ptr + s->raw.len;

    while (p < end && !(end - p > 2 && p[0] == '-' && p[1] == '-')) {
        const char *lf = memchr(p, '\n', (size_t)(end - p));

        if (lf == NULL) {
            p = end;
            break;
        }
        s->line++;
        p = lf + 1;
    }
    s->at = (size_t)(p - s->raw.ptr);
}

void structure_scan(struct arena *arena, struct str raw, struct message_structure *out,
                    struct structure_notes **out_notes)
{
    struct scanner s = {.arena = arena, .raw = raw, .budget = HEADER_BUDGET};

    open_parts(&s);
    while (s.at < s.raw.len && s.open_boundaries > 0) {
        struct boundary_hit hit;
        size_t end;

        skip_lines(&s);
        if (s.at == s.raw.len)
            break;
        end = line_end(&s, s.at);
        if (is_boundary_line(&s, s.at, end, &hit)) {
            take_boundary(&s, hit, end);
        } else {
            s.line += ends_line(&s, end);
            s.at = end;
        }
    }
    s.line += count_lines(str_from(s.raw, s.at));
    close_parts(&s, 0, s.raw.len, s.line);
    out->parts = s.parts;
    out->part_count = s.count;
    *out_notes = s.notes;
}
