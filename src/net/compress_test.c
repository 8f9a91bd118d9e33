/* What goes through comes out as it was, whatever the pieces; and nothing costs more than a piece.
 */
#include "net/compress.h"

#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
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

/* Goes on from its bytes. */
static void move(struct net_compress **compress)
{
    struct net_compress *moved;
    struct buf saved;

    buf_init(&saved, NET_COMPRESS_SAVED_MAX);
    assert_true(net_compress_can_save(*compress));
    net_compress_save(*compress, &saved);
    net_compress_free(compress);
    assert_int_equal(net_compress_restore(buf_str(&saved), &moved), ERR_OK);
    *compress = moved;
    buf_free(&saved);
}

/* Both sides are moved all the time; what each says refers to what it said long before. */
static void test_it_goes_on_elsewhere(void **state)
{
    (void)state;
    static const size_t PIECES[] = {1, 30, 1000, 40000, 7, 100000, 2};
    struct net_compress *server = net_compress_new();
    z_stream deflating = {0}, inflating = {0};
    struct buf text, out;
    struct str rest;
    unsigned char *packet = NEW_ARRAY(unsigned char, 400000);
    char *plain = NEW_ARRAY(char, 400000);

    assert_int_equal(deflateInit2(&deflating, 9, Z_DEFLATED, -15, 9, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(inflateInit2(&inflating, -15), Z_OK);
    make_text(&text, 400000);
    buf_init(&out, SIZE_MAX);
    rest = buf_str(&text);
    move(&server); /* before anything was said */
    for (size_t i = 0; rest.len > 0; i++) {
        struct str part = str_upto(rest, PIECES[i % ARRAY_LEN(PIECES)]);

        rest = str_from(rest, part.len);
        /* The client, which is not moved. */
        deflating.next_in = (unsigned char *)(uintptr_t)part.ptr;
        deflating.avail_in = (unsigned)part.len;
        deflating.next_out = packet;
        deflating.avail_out = 400000;
        assert_int_equal(deflate(&deflating, i % 3 == 0 ? Z_FULL_FLUSH : Z_SYNC_FLUSH), Z_OK);
        net_compress_feed(server, str_make(packet, 400000 - deflating.avail_out));
        take_all(server, &out);
        assert_true(str_equal(buf_str(&out), part));
        buf_reset(&out);
        move(&server);
        net_compress_deflate(server, part, &out);
        inflating.next_in = (unsigned char *)out.ptr;
        inflating.avail_in = (unsigned)out.len;
        inflating.next_out = (unsigned char *)plain;
        inflating.avail_out = 400000;
        assert_int_equal(inflate(&inflating, Z_SYNC_FLUSH), Z_OK);
        assert_true(str_equal(str_make(plain, 400000 - inflating.avail_out), part));
        buf_reset(&out);
    }
    deflateEnd(&deflating);
    inflateEnd(&inflating);
    net_compress_free(&server);
    buf_free(&text);
    buf_free(&out);
    mem_free(&packet);
    mem_free(&plain);
}

/* Flushes that seldom end at a byte. Where all was said, as behind Z_PARTIAL_FLUSH (RFC 4978 §4),
 * it goes on with the bits that are left; where some is not yet, it stays. */
static void test_flushes_within_a_byte(void **state)
{
    (void)state;
    struct net_compress *server = net_compress_new();
    z_stream deflating = {0};
    size_t moved = 0, stayed = 0;
    struct buf out;

    buf_init(&out, SIZE_MAX);
    assert_int_equal(deflateInit2(&deflating, 6, Z_DEFLATED, -15, 8, Z_FIXED), Z_OK);
    for (unsigned i = 0; i < 2000; i++) {
        unsigned char packet[400];
        char line[40];
        int len = snprintf(line, sizeof(line), "a%u UID FETCH %u:* FLAGS\r\n", i, i * 7919 % 1000);

        deflating.next_in = (unsigned char *)line;
        deflating.avail_in = (unsigned)len;
        deflating.next_out = packet;
        deflating.avail_out = sizeof(packet);
        assert_int_equal(deflate(&deflating, i % 2 == 0 ? Z_BLOCK : Z_PARTIAL_FLUSH), Z_OK);
        net_compress_feed(server, str_make(packet, sizeof(packet) - deflating.avail_out));
        take_all(server, &out);
        if (net_compress_can_save(server)) {
            moved++;
            move(&server);
        } else {
            assert_int_equal(i % 2, 0);
            stayed++;
        }
        if (i % 2 == 1) { /* all of it is there, at the latest */
            assert_true(str_ends_with(buf_str(&out), str_make(line, (size_t)len)));
            buf_reset(&out);
        }
    }
    assert_true(moved >= 1000 && stayed > 100);
    deflateEnd(&deflating);
    net_compress_free(&server);
    buf_free(&out);
}

/* A byte at a time: while a part of it was said it stays, and elsewhere the rest says the rest. */
static void test_what_is_under_way_stays(void **state)
{
    (void)state;
    const struct str line = STR("a NOOP\r\n");
    struct net_compress *compress = net_compress_new(), *peer = net_compress_new();
    struct buf packet, out;
    size_t stayed = 0;

    buf_init(&packet, SIZE_MAX);
    buf_init(&out, SIZE_MAX);
    net_compress_deflate(peer, line, &packet);
    for (size_t i = 0; i < packet.len; i++) {
        net_compress_feed(compress, str_upto(str_from(buf_str(&packet), i), 1));
        assert_false(net_compress_can_save(compress));
        take_all(compress, &out);
        stayed += out.len > 0 && out.len < line.len;
        if (out.len > 0 && out.len < line.len)
            assert_false(net_compress_can_save(compress));
        else if (net_compress_can_save(compress))
            move(&compress);
    }
    assert_true(stayed > 3 && net_compress_can_save(compress));
    assert_true(str_equal(buf_str(&out), line));
    net_compress_free(&compress);
    net_compress_free(&peer);
    buf_free(&packet);
    buf_free(&out);
}

static void test_no_bytes_of_ours(void **state)
{
    (void)state;
    static const struct str BAD[] = {STR_INIT(""), STR_INIT("x"), STR_INIT("\x78\x9c")};
    struct net_compress *compress = net_compress_new(), *made = NULL;
    struct buf saved;

    for (size_t i = 0; i < ARRAY_LEN(BAD); i++) {
        assert_int_equal(net_compress_restore(BAD[i], &made), ERR_INVALID);
        assert_null(made);
    }
    buf_init(&saved, NET_COMPRESS_SAVED_MAX);
    net_compress_save(compress, &saved);
    for (size_t len = 0; len < saved.len; len++)
        assert_int_equal(net_compress_restore(str_upto(buf_str(&saved), len), &made), ERR_INVALID);
    net_compress_free(&compress);
    buf_free(&saved);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_a_bomb_comes_in_pieces),
        cmocka_unit_test(test_what_is_not_deflate_is_refused),
        cmocka_unit_test(test_it_goes_on_elsewhere),
        cmocka_unit_test(test_flushes_within_a_byte),
        cmocka_unit_test(test_what_is_under_way_stays),
        cmocka_unit_test(test_no_bytes_of_ours),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
