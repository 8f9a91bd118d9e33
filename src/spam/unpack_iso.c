/*
 * CD images (ECMA-119), in place: people open them like folders, and scanners forget them. With Joliet
 * there are two trees of folders, of which the one with the long names (in UTF-16) is what Windows
 * shows.
 */
#include "spam/unpack.h"

enum {
    SECTOR = 2048,
    DESCRIPTOR = 16,  /* the first one's sector */
    DESCRIPTORS_MAX = 16,
    ESCAPES = 88,     /* how names are written, in a descriptor; "%/" begins those of UTF-16 */
    ROOT = 156,       /* the root folder's record in it */
    RECORD_HEAD = 33, /* of a record, before its name */
    FOLDERS_MAX = 256,
    FLAG_FOLDER = 2,
};

struct extent {
    uint64_t start, size; /* bytes */
};

struct iso {
    struct spam_archive *archive;
    struct str bytes;
    unsigned depth;
    bool is_wide;
    char name[128]; /* the one that is looked at */
    struct extent folders[FOLDERS_MAX]; /* to be read, and that were */
    size_t folder_count;
};

static uint32_t get32(struct str bytes, size_t at)
{
    uint32_t value = 0;

    for (size_t i = 0; i < 4; i++)
        value |= (uint32_t)(unsigned char)bytes.ptr[at + i] << (8 * i);
    return value;
}

static struct extent extent_of(struct str record)
{
    return (struct extent){(uint64_t)get32(record, 2) * SECTOR, get32(record, 10)};
}

static struct str bytes_of(const struct iso *iso, struct extent extent)
{
    if (extent.start > iso->bytes.len)
        return STR("");
    return str_upto(str_from(iso->bytes, (size_t)extent.start),
                    extent.size > iso->bytes.len ? iso->bytes.len : (size_t)extent.size);
}

/* One that was met before is not read again: a folder may well name itself. */
static void add_folder(struct iso *iso, struct extent extent)
{
    for (size_t i = 0; i < iso->folder_count; i++) {
        if (iso->folders[i].start == extent.start)
            return;
    }
    if (iso->folder_count < FOLDERS_MAX)
        iso->folders[iso->folder_count++] = extent;
    else
        iso->archive->is_unread = true;
}

/* "INVOICE.EXE;1" */
static struct str name_of(struct iso *iso, struct str record)
{
    size_t len = (unsigned char)record.ptr[32];
    struct str name = str_upto(str_from(record, RECORD_HEAD), len);
    ptrdiff_t version;

    if (iso->is_wide) {
        size_t kept = 0;

        for (size_t i = 0; i + 1 < name.len && kept < sizeof(iso->name); i += 2)
            iso->name[kept++] = name.ptr[i] == '\0' ? name.ptr[i + 1] : '_';
        name = str_make(iso->name, kept);
    }
    version = str_index(name, ';');

    return version < 0 ? name : str_upto(name, (size_t)version);
}

/* False: enough. */
static bool look_at_record(struct iso *iso, struct str record)
{
    struct str name = name_of(iso, record), content;

    if (((unsigned char)record.ptr[25] & FLAG_FOLDER) != 0) {
        add_folder(iso, extent_of(record));
        return spam_budget_take(iso->archive->budget, record.len);
    }
    if (!unpack_name(iso->archive, name))
        return false;
    content = bytes_of(iso, extent_of(record));
    if (content.len > 0)
        unpack_content(iso->archive, name, str_upto(content, SPAM_ARCHIVE_NESTED_MAX),
                       content.len <= SPAM_ARCHIVE_NESTED_MAX, iso->depth);
    return !iso->archive->is_bomb && !iso->archive->budget->is_spent;
}

static bool look_at_folder(struct iso *iso, struct str folder)
{
    size_t at = 0;

    while (at < folder.len) {
        size_t len = (unsigned char)folder.ptr[at];

        if (len == 0) { /* no record crosses a sector's end */
            at = at / SECTOR * SECTOR + SECTOR;
            if (!spam_budget_take(iso->archive->budget, 64))
                return false;
            continue;
        }
        if (len <= RECORD_HEAD || len > folder.len - at)
            return true;
        if (!look_at_record(iso, str_upto(str_from(folder, at), len)))
            return false;
        at += len;
    }
    return true;
}

/* The root folder's record: of a descriptor with long names, else of the first. */
static struct str find_root(struct iso *iso)
{
    for (size_t i = 1; i < DESCRIPTORS_MAX; i++) {
        struct str descriptor = str_from(iso->bytes, (DESCRIPTOR + i) * SECTOR);

        if (descriptor.len < SECTOR || descriptor.ptr[0] == '\xff')
            break;
        if (descriptor.ptr[0] == 2 && str_starts_with(str_from(descriptor, ESCAPES), STR("%/"))) {
            iso->is_wide = true;
            return str_from(descriptor, ROOT);
        }
    }
    return str_from(iso->bytes, DESCRIPTOR * SECTOR + ROOT);
}

void unpack_iso(struct spam_archive *archive, struct str bytes, unsigned depth)
{
    struct iso iso = {.archive = archive, .bytes = bytes, .depth = depth};
    struct str root = find_root(&iso);

    if (root.len <= RECORD_HEAD) {
        archive->is_unread = true;
        return;
    }
    add_folder(&iso, extent_of(root));
    for (size_t i = 0; i < iso.folder_count; i++) {
        if (!look_at_folder(&iso, bytes_of(&iso, iso.folders[i])))
            return;
    }
}
