/*
 * What is attached: programs by their content, names that hide what they are, archives and what is
 * in them. Text parts that are shown as the message itself are not files.
 */
#include "spam/archives.h"
#include "spam/scan.h"

#include "base/ascii.h"

enum {
    PEEK_RAW = 12 * 1024,              /* of a part, to see what it is */
    WHOLE_RAW = 24 * 1024 * 1024,      /* of an archive or a document, to look into it */
    PARTS_MAX = 2000,                  /* that are looked at */
};

struct attachments {
    struct spam_scan *scan;
    struct spam_archive archive;
    size_t looked_at;
};

/* A text that a script may well be quoted in, and that nobody runs by opening it. */
static bool is_reading_matter(const struct message_part *part)
{
    static const struct str extensions[] = {
        STR_INIT(".txt"), STR_INIT(".md"),  STR_INIT(".log"),  STR_INIT(".csv"),
        STR_INIT(".eml"), STR_INIT(".diff"), STR_INIT(".patch"), STR_INIT(".rst"),
    };

    for (size_t i = 0; i < ARRAY_LEN(extensions); i++) {
        if (part->filename.len >= extensions[i].len &&
            str_equal_nocase(str_from(part->filename, part->filename.len - extensions[i].len),
                             extensions[i]))
            return true;
    }
    return false;
}

static bool is_file(const struct message_part *part)
{
    if (part->kind != MESSAGE_KIND_LEAF || part->body_len == 0)
        return false;
    return part->is_attachment || part->filename.len > 0 || !str_equal(part->type, STR("text"));
}

static void judge_name(struct attachments *all, const struct message_part *part)
{
    struct spam_name name;

    spam_name_judge(part->filename, &name);
    if (name.is_double)
        scan_add(all->scan, "NAME_DOUBLE", part->filename);
    if (name.has_override)
        scan_add(all->scan, "NAME_OVERRIDE", part->filename);
    if (name.is_program)
        scan_add(all->scan, "NAME_PROGRAM", part->filename);
}

static void refuse(struct spam_scan *scan, struct str what)
{
    scan->verdict->refusal =
        arena_printf(&scan->task->arena, "an attachment is, or has in it, %.*s", STR_ARG(what)).ptr;
}

static void judge_content(struct attachments *all, const struct message_part *part,
                          enum spam_content content)
{
    struct str words = str_from_c(spam_content_words(content));
    struct spam_name name;

    spam_name_judge(part->filename, &name);
    if (spam_content_is_program(content)) {
        bool is_text = content == SPAM_CONTENT_SCRIPT || content == SPAM_CONTENT_HTA;

        if (is_text && is_reading_matter(part)) {
            scan_add(all->scan, "SCRIPT_TEXT", words);
            return;
        }
        scan_add(all->scan, "EXECUTABLE", words);
        if (name.claims_document)
            scan_add(all->scan, "NAME_LIES", part->filename);
        refuse(all->scan, words);
    } else if (content == SPAM_CONTENT_OLE_MACRO) {
        scan_add(all->scan, "MACRO", words);
    } else if (content == SPAM_CONTENT_SHELL) {
        scan_add(all->scan, "SHELL_SCRIPT", words);
    } else if (content == SPAM_CONTENT_RTF_OBJECT || content == SPAM_CONTENT_ONENOTE ||
               content == SPAM_CONTENT_DISK || content == SPAM_CONTENT_ISO) {
        scan_add(all->scan, "RISKY_FILE", words);
    } else if (content == SPAM_CONTENT_PDF_ACTION) {
        scan_add(all->scan, "PDF_ACTION", words);
    }
}

/* The first `max` bytes of its body, decoded. */
static bool decode(struct attachments *all, const struct message_part *part, size_t max,
                   struct buf *out)
{
    struct str raw = str_upto(spam_view_body(all->scan->request->message, part), max);

    buf_reset(out);
    if (!spam_budget_take(&all->scan->budget, raw.len))
        return false;
    message_decode_body(part->encoding, raw, out);
    return true;
}

static bool wants_all(enum spam_content content, struct str head)
{
    return spam_content_is_archive(content) || content == SPAM_CONTENT_OLE ||
           str_find(str_upto(head, 1024), STR("%PDF-")) >= 0 ||
           str_starts_with(head, STR("{\\rt"));
}

static void look_at(struct attachments *all, const struct message_part *part)
{
    CLEANUP(buf_free) struct buf bytes = {0};
    enum spam_content content;

    judge_name(all, part);
    buf_init(&bytes, SIZE_MAX);
    if (!decode(all, part, PEEK_RAW, &bytes))
        return;
    content = spam_content_of(buf_str(&bytes));
    if (content == SPAM_CONTENT_OTHER && part->body_len > PEEK_RAW && bytes.len >= 512 &&
        part->body_len >= 40 * 1024)
        /* An ISO image shows what it is at 32 KiB. */
        content = decode(all, part, 64 * 1024, &bytes) ? spam_content_of(buf_str(&bytes)) : content;
    if (wants_all(content, buf_str(&bytes)) && part->body_len > PEEK_RAW) {
        if (!decode(all, part, WHOLE_RAW, &bytes))
            return;
        if (!spam_budget_take(&all->scan->budget, bytes.len))
            return;
        content = spam_content_of(buf_str(&bytes));
    }
    judge_content(all, part, content);
    if (spam_content_is_archive(content))
        spam_archive_look(&all->archive, content, buf_str(&bytes));
}

static void judge_archives(struct attachments *all)
{
    const struct spam_archive *archive = &all->archive;
    struct spam_scan *scan = all->scan;

    if (archive->is_bomb) {
        scan_add(scan, "ARCHIVE_BOMB", STR(""));
        refuse(scan, STR("an archive that unpacks without end"));
    }
    if (archive->program != SPAM_CONTENT_OTHER) {
        scan_add(scan, "ARCHIVE_EXECUTABLE", str_from_c(spam_content_words(archive->program)));
        refuse(scan, str_from_c(spam_content_words(archive->program)));
    }
    if (archive->has_program_name)
        scan_add(scan, "ARCHIVE_PROGRAM_NAME", STR(""));
    if (archive->has_double_name)
        scan_add(scan, "NAME_DOUBLE", STR("in an archive"));
    if (archive->has_macros)
        scan_add(scan, "MACRO", STR("an Office document with macros"));
    if (archive->has_risky)
        scan_add(scan, "RISKY_FILE", STR("in an archive"));
    if (archive->is_encrypted)
        scan_add(scan, "ARCHIVE_ENCRYPTED", STR(""));
    if (archive->is_unread)
        scan_add(scan, "ARCHIVE_UNREAD", STR(""));
}

void scan_attachments(struct spam_scan *scan)
{
    struct attachments all = {.scan = scan};
    const struct message_structure *structure = scan->request->structure;

    spam_archive_init(&all.archive, &scan->budget);
    for (uint32_t i = 0; i < structure->part_count && all.looked_at < PARTS_MAX; i++) {
        if (!is_file(&structure->parts[i]))
            continue;
        all.looked_at++;
        look_at(&all, &structure->parts[i]);
        if (scan->budget.is_spent)
            break;
    }
    if (all.looked_at == PARTS_MAX)
        scan_add(scan, "MANY_FILES", STR(""));
    judge_archives(&all);
}
