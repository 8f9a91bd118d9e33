#include "net/census.h"

#include "base/file.h"
#include "base/ip.h"
#include "base/memory.h"
#include "base/random.h"
#include "secret/crypt.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    HASHES = 2,
    PLACES = 16384, /* of 4 bytes: 128 KiB for a process */
};

struct row {
    _Atomic uint32_t counters[HASHES][PLACES];
};

struct shared {
    unsigned char key[CRYPT_KEY_BYTES]; /* so that nobody can aim at another's counters */
    struct row rows[NET_CENSUS_PROCESSES_MAX];
};

struct net_census {
    struct shared *shared; /* own: mapped */
    struct row *own;       /* in it */
};

enum err net_census_make(struct task *task, int *out_fd)
{
    unsigned char key[CRYPT_KEY_BYTES];
    CLEANUP(fd_close) int fd = -1;

    random_bytes(key, sizeof(key));
    TRY(memfd_new(task, &fd));
    /* Of this size for good, so that no process can take the others' memory away. */
    if (ftruncate(fd, (off_t)sizeof(struct shared)) != 0 ||
        pwrite(fd, key, sizeof(key), offsetof(struct shared, key)) != (ssize_t)sizeof(key) ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
        return fail(task, ERR_IO, "memory for counting connections: %s", strerror(errno));
    *out_fd = fd;
    fd = -1;
    return ERR_OK;
}

enum err net_census_forget(struct task *task, int fd, unsigned index)
{
    static const unsigned char nothing[4096];
    off_t at = (off_t)(offsetof(struct shared, rows) + index * sizeof(struct row));

    static_assert(sizeof(struct row) % sizeof(nothing) == 0, "a row is whole blocks");
    assert(index < NET_CENSUS_PROCESSES_MAX);
    for (size_t done = 0; done < sizeof(struct row); done += sizeof(nothing)) {
        if (pwrite(fd, nothing, sizeof(nothing), at + (off_t)done) != (ssize_t)sizeof(nothing))
            return fail(task, ERR_IO, "memory for counting connections: %s", strerror(errno));
    }
    return ERR_OK;
}

enum err net_census_open(struct task *task, int fd, unsigned index, struct net_census **out)
{
    CLEANUP(fd_close) int made = -1;
    struct shared *shared;

    if (index >= NET_CENSUS_PROCESSES_MAX)
        return fail(task, ERR_LIMIT, "more than %d processes", NET_CENSUS_PROCESSES_MAX);
    if (fd < 0) {
        TRY(net_census_make(task, &made));
        fd = made;
    }
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (shared == MAP_FAILED)
        return fail(task, ERR_IO, "memory for counting connections: %s", strerror(errno));
    *out = NEW(struct net_census);
    (*out)->shared = shared;
    (*out)->own = &shared->rows[index];
    return ERR_OK;
}

void net_census_close(struct net_census **census)
{
    if (*census == NULL)
        return;
    munmap((*census)->shared, sizeof(struct shared));
    mem_free(census);
}

/* Where the client's counters are, in each row. */
static void find(const struct net_census *census, struct str address, size_t out_places[HASHES])
{
    unsigned char client[IP_CLIENT_KEY_MAX], hash[CRYPT_HASH_BYTES];
    const struct shared *shared = census->shared;
    uint32_t words[HASHES];

    crypt_hash(str_make(shared->key, sizeof(shared->key)), STR("census"),
               str_make(client, ip_client_key(address, client)), hash);
    memcpy(words, hash, sizeof(words));
    for (size_t i = 0; i < HASHES; i++)
        out_places[i] = words[i] % PLACES;
}

static size_t count(const struct net_census *census, const size_t places[HASHES])
{
    size_t least = SIZE_MAX;

    for (size_t i = 0; i < HASHES; i++) {
        size_t sum = 0;

        for (size_t row = 0; row < NET_CENSUS_PROCESSES_MAX; row++)
            sum += atomic_load(&census->shared->rows[row].counters[i][places[i]]);
        least = sum < least ? sum : least;
    }
    return least;
}

size_t net_census_add(struct net_census *census, struct str address)
{
    size_t places[HASHES];

    find(census, address, places);
    for (size_t i = 0; i < HASHES; i++)
        atomic_fetch_add(&census->own->counters[i][places[i]], 1);
    return count(census, places);
}

void net_census_remove(struct net_census *census, struct str address)
{
    size_t places[HASHES];

    find(census, address, places);
    for (size_t i = 0; i < HASHES; i++) {
        /* A process that was taken over can write here what it likes: no assertion. */
        if (atomic_load(&census->own->counters[i][places[i]]) > 0)
            atomic_fetch_sub(&census->own->counters[i][places[i]], 1);
    }
}

size_t net_census_count(const struct net_census *census, struct str address)
{
    size_t places[HASHES];

    find(census, address, places);
    return count(census, places);
}
