#include "spam/archives.h"

#include "spam/unpack.h"

void spam_archive_init(struct spam_archive *archive, struct spam_budget *budget)
{
    *archive = (struct spam_archive){
        .budget = budget,
        .output_left = SPAM_ARCHIVE_OUTPUT_MAX,
        .entries_left = SPAM_ARCHIVE_ENTRIES_MAX,
    };
}

/* --- What is found --- */

bool unpack_name(struct spam_archive *archive, struct str name)
{
    struct spam_name judged;

    if (archive->entries_left == 0 || !spam_budget_take(archive->budget, name.len + 256)) {
        archive->is_unread = true;
        return false;
    }
    archive->entries_left--;
    spam_name_judge(name, &judged);
    archive->has_program_name |= judged.is_program;
    archive->has_double_name |= judged.is_double || (judged.has_override && judged.is_program);
    archive->has_macros |= str_ends_with(name, STR("vbaProject.bin"));
    return true;
}

static void look(struct spam_archive *archive, enum spam_content kind, struct str bytes,
                 unsigned depth);

void unpack_content(struct spam_archive *archive, struct str name, struct str bytes, bool is_whole,
                    unsigned depth)
{
    enum spam_content content;

    if (!spam_budget_take(archive->budget, bytes.len)) {
        archive->is_unread = true;
        return;
    }
    content = spam_content_of(bytes);
    if (spam_content_is_program(content)) {
        if (archive->program == SPAM_CONTENT_OTHER)
            archive->program = content;
    } else if (spam_content_is_archive(content)) {
        if (!is_whole && content != SPAM_CONTENT_TAR && content != SPAM_CONTENT_GZIP)
            archive->is_unread = true;
        look(archive, content, bytes, depth + 1);
    } else if (content == SPAM_CONTENT_OLE_MACRO) {
        /* A spreadsheet of today keeps its printer settings and macros in OLE; those are named. */
        archive->has_macros = true;
    } else if (content == SPAM_CONTENT_RTF_OBJECT || content == SPAM_CONTENT_ONENOTE ||
               content == SPAM_CONTENT_DISK) {
        archive->has_risky = true;
    }
    (void)name;
}

bool unpack_wants_all(struct str head)
{
    enum spam_content content = spam_content_of(head);

    return spam_content_is_archive(content) || content == SPAM_CONTENT_OLE;
}

/* --- Limits --- */

size_t unpack_room(struct spam_archive *archive, size_t want)
{
    if (want > archive->output_left)
        want = (size_t)archive->output_left;
    if (want == 0 || !spam_budget_take(archive->budget, want)) {
        archive->is_unread = true;
        return 0;
    }
    archive->output_left -= want;
    return want;
}

void unpack_note_growth(struct spam_archive *archive, uint64_t consumed, uint64_t produced,
                        uint64_t total)
{
    uint64_t ratio = produced / (consumed + 1);

    if (produced >= 1024 * 1024 && ratio >= SPAM_ARCHIVE_BOMB_RATIO &&
        total > SPAM_ARCHIVE_BOMB_BYTES / ratio)
        archive->is_bomb = true;
    /* All of a stream may be read long before all of it is out: bzip2 makes 45 bytes a million. */
    if (produced >= 4 * 1024 * 1024 && ratio >= SPAM_ARCHIVE_BOMB_STREAM)
        archive->is_bomb = true;
}

bool unpack_grows_fast(uint64_t consumed, uint64_t produced)
{
    return produced / (consumed + 1) >= SPAM_ARCHIVE_BOMB_RATIO;
}

void unpack_note_claim(struct spam_archive *archive, uint64_t claimed, uint64_t total)
{
    if (claimed >= SPAM_ARCHIVE_BOMB_BYTES && claimed / (total + 1) >= SPAM_ARCHIVE_BOMB_RATIO)
        archive->is_bomb = true;
}

/* --- Which reader --- */

static const struct {
    enum spam_content kind;
    void (*read)(struct spam_archive *archive, struct str bytes, unsigned depth);
} readers[] = {
    {SPAM_CONTENT_ZIP, unpack_zip},     {SPAM_CONTENT_TAR, unpack_tar},
    {SPAM_CONTENT_GZIP, unpack_gzip},   {SPAM_CONTENT_BZIP2, unpack_bzip2},
    {SPAM_CONTENT_XZ, unpack_xz},       {SPAM_CONTENT_SEVEN_ZIP, unpack_seven_zip},
    {SPAM_CONTENT_RAR, unpack_rar},     {SPAM_CONTENT_CAB, unpack_cab},
    {SPAM_CONTENT_ISO, unpack_iso},
};

static void look(struct spam_archive *archive, enum spam_content kind, struct str bytes,
                 unsigned depth)
{
    if (depth > SPAM_ARCHIVE_DEPTH_MAX) {
        /* Nobody packs so often, except to keep a scanner busy. */
        archive->is_bomb = true;
        return;
    }
    if (archive->is_bomb || archive->budget->is_spent)
        return;
    for (size_t i = 0; i < ARRAY_LEN(readers); i++) {
        if (readers[i].kind == kind) {
            readers[i].read(archive, bytes, depth);
            return;
        }
    }
    archive->is_unread = true;
}

void spam_archive_look(struct spam_archive *archive, enum spam_content kind, struct str bytes)
{
    look(archive, kind, bytes, 1);
}
