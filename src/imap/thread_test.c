/* THREAD's algorithms, by the steps of RFC 5256 §3, and with as many messages as a mailbox has. */
#include "imap/thread.h"

#include "vault/sort.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static uint32_t name_of(const void *context, uint32_t message)
{
    (void)context;
    return message + 1;
}

static struct str finish(struct arena *arena, struct imap_threads *threads)
{
    struct str answer;
    struct buf out;
    size_t steps;

    while (!imap_threads_step(threads, 1000, &steps))
        continue;
    buf_init(&out, SIZE_MAX);
    while (!imap_threads_write(threads, &out, 1000, name_of, NULL))
        continue;
    answer = arena_copy(arena, buf_str(&out));
    buf_free(&out);
    return answer;
}

/* "date id ref,ref subject; …"; a subject that begins with "+" is a reply's, "-": none of it. */
static struct str thread(struct arena *arena, enum imap_thread_algorithm algorithm,
                         const char *text)
{
    struct imap_threads threads;
    struct str rest = str_from_c(text), line;

    imap_threads_init(&threads, arena, algorithm, 100);
    while (str_split(&rest, ';', &line)) {
        struct imap_thread_message message = {0};
        struct str words = str_trim(line), date, id, references, reference;
        uint32_t sent;

        str_split(&words, ' ', &date);
        str_split(&words, ' ', &id);
        str_split(&words, ' ', &references);
        assert_true(parse_u32(date, &sent));
        message.sent_ms = sent;
        message.message_id = str_equal(id, STR("-")) ? STR("") : id;
        while (!str_equal(references, STR("-")) && str_split(&references, ',', &reference))
            message.ancestors = message.ancestors.len == 0
                                    ? reference
                                    : arena_printf(arena, "%.*s %.*s", STR_ARG(message.ancestors),
                                                   STR_ARG(reference));
        message.is_reply = str_starts_with(words, STR("+"));
        message.base_subject =
            str_equal(words, STR("-")) ? STR("") : str_from(words, message.is_reply);
        imap_threads_add(&threads, &message);
    }
    return finish(arena, &threads);
}

static void test_steps(void **state)
{
    (void)state;
    static const struct {
        const char *rule;
        enum imap_thread_algorithm algorithm;
        const char *messages, *answer;
    } ROWS[] = {
        {"1.A: the first reference is the parent of the second", IMAP_THREAD_REFS,
         "1 a - S; 3 c a,b +S; 2 b a +S", "(1 3 2)"},
        {"1.B: \"or NIL if there are no references\"", IMAP_THREAD_REFS,
         "1 a - S; 3 c a,b +S; 2 b - +S", "(1)(3 2)"},
        {"1.A: an existing link stays", IMAP_THREAD_REFS,
         "1 a - S; 2 b a +S; 3 c b +S; 4 d c,b,a +S", "(1 (2 3)(4))"},
        {"1.A: no loops", IMAP_THREAD_REFS, "1 a b S; 2 b a S", "(2 1)"},
        {"1.A: not its own parent", IMAP_THREAD_REFS, "1 a a S", "(1)"},
        {"1.B: the last reference replaces a parent that a truncated field gave", IMAP_THREAD_REFS,
         "1 a - S; 3 x a,c +S; 2 b a +S; 4 c b +S", "(1 3 4 2)"},
        {"1: the second message of an id gets one of its own", IMAP_THREAD_REFS,
         "1 a - S; 2 a - S; 3 b a S", "(2)(1 3)"},
        {"1: no id", IMAP_THREAD_REFS, "1 - - S; 2 - - S; 3 b - S", "(1)(2)(3)"},
        {"1: quotes around a local part", IMAP_THREAD_REFS, "1 \"a\"@x - S; 2 b a@x S", "(1 2)"},
        {"3.A: a dummy without children", IMAP_THREAD_REFERENCES, "1 a z,y,x S", "(1)"},
        {"3.B: children of a dummy are promoted, to the root only one", IMAP_THREAD_REFERENCES,
         "1 a - -; 2 b a,x -; 3 c a,x -; 4 d y -; 5 e y -; 6 f z -", "(1 (2)(3))((4)(5))(6)"},
        {"3.B: dummies below dummies", IMAP_THREAD_REFERENCES, "1 a p,q,r -; 2 b p,q,s -; 3 c p -",
         "((1)(2)(3))"},
        {"4, 6: by sent date, then by number", IMAP_THREAD_REFERENCES,
         "5 a - -; 9 b a -; 7 c a -; 7 d a -; 1 e - -; 5 f - -", "(5)(1 (3)(4)(2))(6)"},
        {"5: the empty subject is passed over", IMAP_THREAD_REFERENCES, "1 a - -; 2 b - -",
         "(1)(2)"},
        {"5.B.v: a dummy is preferred; 5.C.b: under it", IMAP_THREAD_REFERENCES,
         "1 a - S; 2 b x S; 3 c x S", "((1)(2)(3))"},
        {"5.C.a: two dummies", IMAP_THREAD_REFERENCES, "1 a x S; 2 b x S; 3 c y S; 4 d y S",
         "((1)(2)(3)(4))"},
        {"5.B.v: what is no reply is preferred; 5.C.c", IMAP_THREAD_REFERENCES,
         "1 a - +S; 2 b - S; 3 c - +S", "(2 (1)(3))"},
        {"5.C.d: a new dummy", IMAP_THREAD_REFERENCES, "1 a - S; 2 b - S; 3 c - +S; 4 d - T",
         "((1)(2)(3))(4)"},
        {"5.C.d: two replies", IMAP_THREAD_REFERENCES, "1 a - +S; 2 b - +S", "((1)(2))"},
        {"REFS: no subjects; the newest message last", IMAP_THREAD_REFS,
         "1 a - S; 2 b - S; 9 c a +S; 3 d - S", "(2)(4)(1 3)"},
        {"ORDEREDSUBJECT", IMAP_THREAD_ORDEREDSUBJECT,
         "4 a - S; 1 b a T; 3 c - S; 2 d b T; 9 e - S; 5 f - -; 6 g - -", "(2 4)(3 (1)(5))(6 7)"},
        {"nothing", IMAP_THREAD_REFERENCES, "", ""},
    };

    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
        struct arena arena = {0};
        struct str answer = ROWS[i].messages[0] == '\0'
                                ? STR("")
                                : thread(&arena, ROWS[i].algorithm, ROWS[i].messages);

        if (!str_equal(answer, str_from_c(ROWS[i].answer)))
            fail_msg("%s: %.*s", ROWS[i].rule, STR_ARG(answer));
        arena_free(&arena);
    }
}

enum { MANY = 100000 };

/* Each refers to the one before and to those before that, as far as mail programs do. */
static void test_a_chain_as_long_as_a_mailbox(void **state)
{
    (void)state;
    for (int is_reversed = 0; is_reversed < 2; is_reversed++) {
        struct arena arena = {0};
        struct imap_threads threads;
        struct str answer;

        imap_threads_init(&threads, &arena, IMAP_THREAD_REFERENCES, MANY);
        for (unsigned i = 0; i < MANY; i++) {
            unsigned n = is_reversed ? MANY - 1 - i : i;
            struct imap_thread_message message = {
                .sent_ms = n,
                .is_reply = n > 0,
                .base_subject = STR("S"),
                .message_id = arena_printf(&arena, "%u@x", n),
                .ancestors = n == 0   ? STR("")
                             : n == 1 ? STR("0@x")
                                      : arena_printf(&arena, "%u@x %u@x", n - 2, n - 1),
            };

            imap_threads_add(&threads, &message);
        }
        answer = finish(&arena, &threads);
        assert_int_equal(str_last_index(answer, '('), 0);
        assert_int_equal(str_index(answer, ')'), (ptrdiff_t)answer.len - 1);
        assert_true(
            str_starts_with(answer, is_reversed ? STR("(100000 99999 99998 ") : STR("(1 2 3 4 ")));
        arena_free(&arena);
    }
}

/* A chain of which only the ends are there: its dummies are climbed once. */
static void test_a_chain_of_dummies(void **state)
{
    (void)state;
    struct arena arena = {0};
    struct imap_threads threads;
    struct str answer;

    imap_threads_init(&threads, &arena, IMAP_THREAD_REFERENCES, MANY);
    for (unsigned i = 0; i < MANY; i++) {
        struct imap_thread_message message = {
            .sent_ms = i,
            .message_id = arena_printf(&arena, "m%u", i),
            .ancestors = arena_printf(&arena, "%u %u", i, i + 1),
        };

        imap_threads_add(&threads, &message);
    }
    answer = finish(&arena, &threads);
    assert_true(str_starts_with(answer, STR("((1)(2)(3)")));
    assert_true(str_ends_with(answer, STR("(99999)(100000))")));
    arena_free(&arena);
}

/* Messages that name the ends of a long chain again and again: each costs no more than its climbs.
 */
static void test_ends_that_are_far_apart(void **state)
{
    (void)state;
    struct arena arena = {0};
    struct imap_threads threads;
    struct buf references;
    size_t steps;

    buf_init(&references, SIZE_MAX);
    for (int i = 0; i < VAULT_SORT_ANCESTORS_MAX / 2; i++)
        buf_putf(&references, "%s%d 0", i == 0 ? "" : " ", MANY);
    imap_threads_init(&threads, &arena, IMAP_THREAD_REFERENCES, MANY + 1);
    for (unsigned i = 0; i < MANY; i++) {
        struct imap_thread_message message = {
            .message_id = arena_printf(&arena, "m%u", i),
            .ancestors = arena_printf(&arena, "%u %u", i, i + 1),
        };

        assert_true(imap_threads_add(&threads, &message) < 10);
    }
    steps = imap_threads_add(&threads, &(struct imap_thread_message){
                                           .message_id = STR("last"),
                                           .ancestors = buf_str(&references),
                                       });
    assert_true(steps < VAULT_SORT_ANCESTORS_MAX * (IMAP_THREAD_CLIMB_MAX + 2));
    assert_true(str_find(finish(&arena, &threads), STR("100001")) > 0);
    buf_free(&references);
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_a_chain_as_long_as_a_mailbox),
        cmocka_unit_test(test_a_chain_of_dummies),
        cmocka_unit_test(test_ends_that_are_far_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
