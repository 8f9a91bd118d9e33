/* What goes through comes out as it was, whatever the pieces; and nothing costs more than a piece.
 */
#include "net/compress.h"

#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

/* Some text, some noise. */
static void make_text(struct buf *text, size_t size)
{
    uint32_t state = 1;

    buf_init(text, SIZE_MAX);
    while (text->len < size) {
        char noise[4];

        state = state * 1664525u + 1013904223u;
        memcpy(noise, &state, sizeof(noise));
        buf_putf(text, "* %u FETCH (UID %u FLAGS (\\Seen))\r\n", state % 1000, state % 77777);
        buf_put(text, str_make(noise, sizeof(noise)));
    }
}

static void take_all(struct net_compress *compress, struct buf *out)
{
    struct str plain;

    do {
        assert_int_equal(net_compress_inflate(compress, &plain), ERR_OK);
        assert_true(plain.len <= NET_COMPRESS_PIECE);
        buf_put(out, plain);
    } while (plain.len > 0);
}

static void test_round_trip(void **state)
{
    (void)state;
    static const size_t PIECES[] = {1, 7, 1000, 16384, 16385, 300000};
    struct net_compress *one = net_compress_new(), *two = net_compress_new();
    struct buf text, packet, out;

    make_text(&text, 1000000);
    buf_init(&packet, SIZE_MAX);
    buf_init(&out, SIZE_MAX);
    for (size_t i = 0; i < ARRAY_LEN(PIECES); i++) {
        struct str rest = str_upto(buf_str(&text), i == 0 ? 3000 : text.len);

        while (rest.len > 0) {
            struct str part = str_upto(rest, PIECES[i]);

            rest = str_from(rest, part.len);
            net_compress_deflate(one, part, &packet);
            /* Flushed: all of it can be read now. */
            net_compress_feed(two, buf_str(&packet));
            take_all(two, &out);
            assert_true(str_equal(buf_str(&out), part));
            assert_false(net_compress_has_more(two));
            buf_reset(&packet);
            buf_reset(&out);
        }
    }
    net_compress_free(&one);
    net_compress_free(&two);
    buf_free(&text);
    buf_free(&packet);
    buf_free(&out);
}

/* 100 MB of zeros are 100 kB on the wire: they come out a piece at a time. */
static void test_a_bomb_comes_in_pieces(void **state)
{
    (void)state;
    struct net_compress *one = net_compress_new(), *two = net_compress_new();
    char *zeros = NEW_ARRAY(char, 100000);
    size_t total = 0, pieces = 0;
    struct buf packet;
    struct str plain;

    buf_init(&packet, SIZE_MAX);
    for (int i = 0; i < 1000; i++)
        net_compress_deflate(one, str_make(zeros, 100000), &packet);
    assert_true(packet.len < 200000);
    net_compress_feed(two, buf_str(&packet));
    do {
        assert_int_equal(net_compress_inflate(two, &plain), ERR_OK);
        assert_true(plain.len <= NET_COMPRESS_PIECE);
        total += plain.len;
        pieces++;
    } while (plain.len > 0);
    assert_int_equal(total, 100000000);
    assert_true(pieces >= total / NET_COMPRESS_PIECE);
    net_compress_free(&one);
    net_compress_free(&two);
    buf_free(&packet);
    mem_free(&zeros);
}

static void test_what_is_not_deflate_is_refused(void **state)
{
    (void)state;
    struct net_compress *compress = net_compress_new();
    struct str plain;

    net_compress_feed(compress, STR("a NOOP\r\n"));
    assert_int_equal(net_compress_inflate(compress, &plain), ERR_INVALID);
    net_compress_free(&compress);
    /* The end of a stream: nothing can follow, so the conversation is over. */
    compress = net_compress_new();
    net_compress_feed(compress, STR("\x03\x00"));
    assert_int_equal(net_compress_inflate(compress, &plain), ERR_INVALID);
    net_compress_free(&compress);
    /* An unfinished packet is not an error. */
    compress = net_compress_new();
    net_compress_feed(compress, STR("\x72"));
    assert_int_equal(net_compress_inflate(compress, &plain), ERR_OK);
    assert_int_equal(plain.len, 0);
    assert_false(net_compress_has_more(compress));
    net_compress_free(&compress);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_a_bomb_comes_in_pieces),
        cmocka_unit_test(test_what_is_not_deflate_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
