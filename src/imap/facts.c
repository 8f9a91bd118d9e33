#include "imap/facts.h"

#include "base/memory.h"

#include <assert.h>
#include <string.h>

enum { WORD_BITS = 64, ROOM_MIN = 64 };

struct imap_facts *imap_facts_new(void)
{
    return NEW(struct imap_facts);
}

static void forget(struct imap_remembered **key)
{
    if (*key == NULL)
        return;
    mem_free(&(*key)->name.ptr);
    mem_free(&(*key)->key.ptr);
    mem_free(&(*key)->known);
    mem_free(&(*key)->truth);
    mem_free(key);
}

static void drop_texts(struct imap_facts *facts)
{
    for (int i = 0; i < IMAP_REMEMBERED_MAX; i++)
        forget(&facts->remembered[i]);
}

static void drop_columns(struct imap_facts *facts)
{
    for (int i = 0; i < IMAP_COLUMN_COUNT; i++) {
        mem_free(&facts->columns[i].values);
        facts->columns[i].count = facts->columns[i].room = 0;
    }
}

void imap_facts_rest(struct imap_facts *facts)
{
    drop_texts(facts);
    if (facts->count > IMAP_FACTS_IDLE_MESSAGES_MAX)
        drop_columns(facts);
}

void imap_facts_free(struct imap_facts **facts)
{
    if (*facts == NULL)
        return;
    mem_free(&(*facts)->planes);
    drop_texts(*facts);
    drop_columns(*facts);
    mem_free(facts);
}

/* ---- Flags ---- */

/* Where a flag's plane is, or would be. */
static size_t plane_of(const struct imap_facts *facts, uint64_t flag)
{
    return (size_t)__builtin_popcountll(facts->flags & (flag - 1));
}

/* Room for so many words in each plane. */
static void widen(struct imap_facts *facts, size_t words)
{
    size_t planes = (size_t)__builtin_popcountll(facts->flags);
    uint64_t *wider = NEW_ARRAY(uint64_t, planes * words);

    for (size_t i = 0; i < planes; i++)
        memcpy(wider + i * words, facts->planes + i * facts->words, facts->words * sizeof(*wider));
    mem_free(&facts->planes);
    facts->planes = wider;
    facts->words = words;
}

static void add_plane(struct imap_facts *facts, uint64_t flag)
{
    size_t planes = (size_t)__builtin_popcountll(facts->flags), at = plane_of(facts, flag);
    size_t words = facts->words;
    uint64_t *more = NEW_ARRAY(uint64_t, (planes + 1) * words);

    if (at > 0)
        memcpy(more, facts->planes, at * words * sizeof(*more));
    if (at < planes)
        memcpy(more + (at + 1) * words, facts->planes + at * words,
               (planes - at) * words * sizeof(*more));
    mem_free(&facts->planes);
    facts->planes = more;
    facts->flags |= flag;
}

static void add_planes(struct imap_facts *facts, uint64_t flags)
{
    for (uint64_t fresh = flags & ~facts->flags; fresh != 0; fresh &= fresh - 1)
        add_plane(facts, fresh & -fresh);
}

static void set_bits(struct imap_facts *facts, size_t index, uint64_t flags)
{
    uint64_t bit = UINT64_C(1) << (index % WORD_BITS);

    add_planes(facts, flags);
    for (; flags != 0; flags &= flags - 1)
        facts->planes[plane_of(facts, flags & -flags) * facts->words + index / WORD_BITS] |= bit;
}

void imap_facts_add(struct imap_facts *facts, uint64_t flags)
{
    facts->count++;
    if (facts->count > facts->words * WORD_BITS) {
        if (facts->flags == 0) /* nothing to move */
            facts->words = facts->count / WORD_BITS + 1;
        else
            widen(facts, facts->words + facts->words / 4 + 1);
    }
    set_bits(facts, facts->count - 1, flags);
}

void imap_facts_set_flags(struct imap_facts *facts, size_t index, uint64_t flags)
{
    size_t planes = (size_t)__builtin_popcountll(facts->flags);

    assert(index < facts->count);
    for (size_t i = 0; i < planes; i++)
        facts->planes[i * facts->words + index / WORD_BITS] &=
            ~(UINT64_C(1) << (index % WORD_BITS));
    set_bits(facts, index, flags);
}

/* One flag's bits of the messages from this index on, a word at a time. */
static void set_plane(uint64_t *plane, unsigned flag_number, size_t index,
                      const struct vault_uid_flags *now, size_t count)
{
    while (count > 0) {
        size_t at = index % WORD_BITS;
        size_t step = count < WORD_BITS - at ? count : WORD_BITS - at;
        uint64_t mask = step == WORD_BITS ? UINT64_MAX : ((UINT64_C(1) << step) - 1) << at,
                 bits = 0;

        for (size_t i = 0; i < step; i++)
            bits |= (now[i].flags >> flag_number & 1) << (at + i);
        plane[index / WORD_BITS] = (plane[index / WORD_BITS] & ~mask) | bits;
        index += step;
        now += step;
        count -= step;
    }
}

void imap_facts_set_run(struct imap_facts *facts, size_t index, const struct vault_uid_flags *now,
                        size_t count)
{
    uint64_t *plane, flags = 0;

    assert(index <= facts->count && count <= facts->count - index);
    for (size_t i = 0; i < count; i++)
        flags |= now[i].flags;
    add_planes(facts, flags);
    plane = facts->planes;
    for (uint64_t left = facts->flags; left != 0; left &= left - 1, plane += facts->words)
        set_plane(plane, (unsigned)__builtin_ctzll(left), index, now, count);
}

uint64_t imap_facts_with_flags(const struct imap_facts *facts, uint64_t flags, size_t word)
{
    uint64_t bits = 0;

    for (uint64_t left = flags & facts->flags; left != 0; left &= left - 1)
        bits |= facts->planes[plane_of(facts, left & -left) * facts->words + word];
    return bits;
}

/* ---- Columns ---- */

bool imap_facts_have(const struct imap_facts *facts, enum imap_column column)
{
    return facts->columns[column].count == facts->count;
}

size_t imap_facts_known(const struct imap_facts *facts, enum imap_column column)
{
    return facts->columns[column].count;
}

void imap_facts_put(struct imap_facts *facts, enum imap_column column, int64_t value)
{
    struct imap_column_values *values = &facts->columns[column];

    assert(values->count < facts->count);
    if (values->count == values->room) {
        values->room =
            values->room == 0 ? facts->count : values->room + values->room / 4 + ROOM_MIN;
        values->values = mem_resize(values->values, values->room, sizeof(*values->values));
    }
    values->values[values->count++] = value < INT32_MIN   ? INT32_MIN
                                      : value > INT32_MAX ? INT32_MAX
                                                          : (int32_t)value;
}

uint64_t imap_facts_from(const struct imap_facts *facts, enum imap_column column, int64_t value,
                         size_t word)
{
    const struct imap_column_values *values = &facts->columns[column];
    const int32_t *first = values->values + word * WORD_BITS;
    size_t count = values->count - word * WORD_BITS;
    uint64_t bits = 0;
    int32_t least = (int32_t)value;

    if (value > INT32_MAX)
        return 0;
    if (value <= INT32_MIN)
        return UINT64_MAX;
    for (size_t i = 0; i < count && i < WORD_BITS; i++)
        bits |= (uint64_t)(first[i] >= least) << i;
    return bits;
}

uint64_t imap_facts_to(const struct imap_facts *facts, enum imap_column column, int64_t value,
                       size_t word)
{
    return ~imap_facts_from(facts, column, value + 1, word);
}

/* ---- Text keys ---- */

static struct str copy(struct str text)
{
    return str_make(mem_copy_text(text.ptr, text.len), text.len);
}

struct imap_remembered *imap_facts_remember(struct imap_facts *facts, enum vault_search_field field,
                                            struct str name, struct str key)
{
    struct imap_remembered **oldest = &facts->remembered[0];

    facts->uses++;
    for (int i = 0; i < IMAP_REMEMBERED_MAX; i++) {
        struct imap_remembered **at = &facts->remembered[i];

        if (*at != NULL && (*at)->field == field && str_equal((*at)->key, key) &&
            str_equal_nocase((*at)->name, name)) {
            (*at)->used = facts->uses;
            return *at;
        }
        if (*oldest != NULL && (*at == NULL || (*at)->used < (*oldest)->used))
            oldest = at;
    }
    forget(oldest);
    *oldest = NEW(struct imap_remembered);
    **oldest = (struct imap_remembered){
        .field = field, .name = copy(name), .key = copy(key), .used = facts->uses};
    return *oldest;
}

/* Room for that word. */
static void deepen(struct imap_remembered *key, size_t word)
{
    size_t words = word + 1 + word / 4;

    if (word < key->words)
        return;
    key->known = mem_resize(key->known, words, sizeof(*key->known));
    key->truth = mem_resize(key->truth, words, sizeof(*key->truth));
    for (; key->words < words; key->words++)
        key->known[key->words] = key->truth[key->words] = 0;
}

void imap_remembered_put(struct imap_remembered *key, size_t word, uint64_t mask, uint64_t matches)
{
    deepen(key, word);
    key->known[word] |= mask;
    key->truth[word] = (key->truth[word] & ~mask) | (matches & mask);
}

uint64_t imap_remembered_known(const struct imap_remembered *key, size_t word)
{
    return word < key->words ? key->known[word] : 0;
}

uint64_t imap_remembered_matches(const struct imap_remembered *key, size_t word)
{
    return word < key->words ? key->truth[word] : 0;
}

bool imap_facts_know_all(const struct imap_facts *facts, const struct imap_remembered *key)
{
    size_t whole = facts->count / WORD_BITS;
    uint64_t rest = (UINT64_C(1) << (facts->count % WORD_BITS)) - 1;

    for (size_t i = 0; i < whole; i++)
        if (imap_remembered_known(key, i) != UINT64_MAX)
            return false;
    return (imap_remembered_known(key, whole) & rest) == rest;
}

/* ---- Messages that go ---- */

/* `len` bits from `from` on, to `to`, which is below it. */
static void move_bits(uint64_t *words, size_t to, size_t from, size_t len)
{
    while (len > 0) {
        size_t from_bit = from % WORD_BITS, to_bit = to % WORD_BITS;
        size_t step = WORD_BITS - (from_bit > to_bit ? from_bit : to_bit);
        uint64_t mask;

        if (step > len)
            step = len;
        mask = step == WORD_BITS ? UINT64_MAX : (UINT64_C(1) << step) - 1;
        words[to / WORD_BITS] = (words[to / WORD_BITS] & ~(mask << to_bit)) |
                                (words[from / WORD_BITS] >> from_bit & mask) << to_bit;
        to += step;
        from += step;
        len -= step;
    }
}

static void clear_bits(uint64_t *words, size_t first, size_t end)
{
    for (; first < end && first % WORD_BITS != 0; first++)
        words[first / WORD_BITS] &= ~(UINT64_C(1) << (first % WORD_BITS));
    for (; first < end; first += WORD_BITS)
        words[first / WORD_BITS] = 0;
}

/* The stretch behind the message that goes as number `i` of them, up to the next one. */
static size_t stretch_len(const size_t *indexes, size_t count, size_t i, size_t end)
{
    size_t next = i + 1 < count && indexes[i + 1] < end ? indexes[i + 1] : end;

    return next - indexes[i] - 1;
}

static void remove_from_column(struct imap_column_values *values, const size_t *indexes,
                               size_t count)
{
    size_t end = values->count, kept = count > 0 && indexes[0] < end ? indexes[0] : end;

    for (size_t i = 0; i < count && indexes[i] < end; i++) {
        size_t len = stretch_len(indexes, count, i, end);

        memmove(values->values + kept, values->values + indexes[i] + 1,
                len * sizeof(*values->values));
        kept += len;
    }
    values->count = kept;
}

/* Of `end` bits, with room for all of them. */
static void remove_bits(uint64_t *words, const size_t *indexes, size_t count, size_t end)
{
    size_t kept = indexes[0];

    for (size_t i = 0; i < count; i++) {
        size_t len = stretch_len(indexes, count, i, end);

        move_bits(words, kept, indexes[i] + 1, len);
        kept += len;
    }
    clear_bits(words, kept, end);
}

void imap_facts_remove(struct imap_facts *facts, const size_t *indexes, size_t count)
{
    size_t planes = (size_t)__builtin_popcountll(facts->flags);

    if (count == 0)
        return;
    for (size_t plane = 0; plane < planes; plane++)
        remove_bits(facts->planes + plane * facts->words, indexes, count, facts->count);
    for (int i = 0; i < IMAP_COLUMN_COUNT; i++)
        if (facts->columns[i].values != NULL)
            remove_from_column(&facts->columns[i], indexes, count);
    for (int i = 0; i < IMAP_REMEMBERED_MAX; i++) {
        struct imap_remembered *key = facts->remembered[i];

        if (key == NULL)
            continue;
        deepen(key, facts->count / WORD_BITS);
        remove_bits(key->known, indexes, count, facts->count);
        remove_bits(key->truth, indexes, count, facts->count);
    }
    facts->count -= count;
}
