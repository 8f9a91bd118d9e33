#include "backup/shipping.h"

#include "base/clock.h"
#include "base/file.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Written by this very program and covered by a MAC, so it is kept as it is in memory. */
struct record {
    char version[8];
    struct shipping shipping;
    unsigned char mac[CRYPT_HASH_BYTES];
};

static const char version[8] = "SPSHIP1";

static void make_mac(const struct record *record, const struct id *mailbox,
                     const struct secret *key, unsigned char out[CRYPT_HASH_BYTES])
{
    unsigned char bytes[sizeof(record->shipping) + ID_TEXT_LEN];

    memcpy(bytes, &record->shipping, sizeof(record->shipping));
    memcpy(bytes + sizeof(record->shipping), mailbox->text, ID_TEXT_LEN);
    crypt_hash(secret_str(key), STR("sealpost shipping"), str_make(bytes, sizeof(bytes)), out);
}

static void write_record(struct task *task, const char *path, const struct record *record)
{
    const char *aside = arena_printf(&task->arena, "%s.new", path).ptr;
    CLEANUP(fd_close) int fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0 || fd_write_all(task, fd, str_make(record, sizeof(*record))) != ERR_OK ||
        rename(aside, path) != 0)
        (void)unlink(aside);
}

void shipping_save(const char *path, const struct id *mailbox, const struct secret *key,
                   const struct shipping *shipping)
{
    struct record record;
    struct task task;

    memset(&record, 0, sizeof(record)); /* what lies between the fields is in the MAC, too */
    memcpy(record.version, version, sizeof(version));
    memcpy(&record.shipping, shipping, sizeof(*shipping));
    make_mac(&record, mailbox, key, record.mac);
    task_init(&task, clock_now_ms());
    write_record(&task, path, &record);
    task_done(&task);
}

bool shipping_load(const char *path, const struct id *mailbox, const struct secret *key,
                   struct shipping *out)
{
    CLEANUP(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    unsigned char mac[CRYPT_HASH_BYTES];
    struct record record;

    if (fd < 0 || read(fd, &record, sizeof(record)) != (ssize_t)sizeof(record) ||
        memcmp(record.version, version, sizeof(version)) != 0)
        return false;
    make_mac(&record, mailbox, key, mac);
    if (!secret_equal(str_make(mac, sizeof(mac)), str_make(record.mac, sizeof(record.mac))))
        return false;
    *out = record.shipping;
    return id_is_set(&out->generation);
}

static bool look(const char *path, uint64_t *inode, uint64_t *size, int64_t *changed_ns)
{
    struct stat status;

    if (stat(path, &status) != 0)
        return false;
    *inode = (uint64_t)status.st_ino;
    *size = (uint64_t)status.st_size;
    *changed_ns = (int64_t)status.st_mtim.tv_sec * 1000000000 + status.st_mtim.tv_nsec;
    return true;
}

bool shipping_note_file(struct shipping *shipping, const char *mailbox_path)
{
    return look(mailbox_path, &shipping->file_inode, &shipping->file_size,
                &shipping->file_changed_ns);
}

bool shipping_is_same_file(const struct shipping *shipping, const char *mailbox_path)
{
    uint64_t inode, size;
    int64_t changed_ns;

    return look(mailbox_path, &inode, &size, &changed_ns) && inode == shipping->file_inode &&
           size == shipping->file_size && changed_ns == shipping->file_changed_ns;
}
