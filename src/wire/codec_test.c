#include "wire/channel.h"
#include "wire/table.h"

#include "base/macros.h"

#include <msgpack/pack.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Fills every field with a value that depends on `seed`; the text is as long as `text_len`. */
static void fill(enum wire_type type, union wire_body *body, uint64_t seed, size_t text_len)
{
    static char text[300];
    static const int64_t signed_values[] = {0,    127,    128,    -1,     -32,       -33,      -128,
                                            -129, -32768, -32769, 1 << 20, INT64_MIN, INT64_MAX};
    static const uint64_t values[] = {0,      1,           127,           128,       255,
                                      256,    65535,       65536,         UINT32_MAX, 1ull << 32,
                                      UINT64_MAX};
    size_t count;
    const struct wire_field *fields = wire_entry(type)->fields(&count);

    memset(text, 0xf0, sizeof(text));
    memset(body, 0, sizeof(*body));
    for (size_t i = 0; i < count; i++, seed++) {
        char *at = (char *)body + fields[i].offset;

        switch (fields[i].kind) {
        case WIRE_KIND_u64:
            memcpy(at, &values[seed % ARRAY_LEN(values)], sizeof(uint64_t));
            break;
        case WIRE_KIND_i64:
            memcpy(at, &signed_values[seed % ARRAY_LEN(signed_values)], sizeof(int64_t));
            break;
        case WIRE_KIND_flag:
            *(bool *)at = seed % 2 == 1;
            break;
        case WIRE_KIND_id:
            if (seed % 3 != 0)
                *(struct id *)(void *)at = id_random();
            break;
        case WIRE_KIND_str:
        case WIRE_KIND_secret:
            *(struct str *)(void *)at = str_make(text, text_len);
            break;
        }
    }
}

static void every_message_survives(void **state)
{
    static const size_t lens[] = {0, 1, 31, 32, 255, 256, 300};

    (void)state;
    for (int type = 0; type < WIRE_TYPE_COUNT; type++) {
        for (uint64_t seed = 0; seed < 40; seed++) {
            struct wire_message message;
            union wire_body body;
            struct buf first, second;

            fill((enum wire_type)type, &body, seed, lens[seed % ARRAY_LEN(lens)]);
            buf_init(&first, WIRE_FRAME_MAX);
            buf_init(&second, WIRE_FRAME_MAX);
            assert_int_equal(wire_encode((enum wire_type)type, seed << 30, &body, &first), ERR_OK);
            assert_int_equal(wire_decode(buf_str(&first), &message), ERR_OK);
            assert_int_equal(message.type, type);
            assert_true(message.tag == seed << 30);
            assert_int_equal(wire_encode(message.type, message.tag, &message.body, &second),
                             ERR_OK);
            assert_true(str_equal(buf_str(&first), buf_str(&second)));
            /* Cut anywhere it is malformed, and so it is with a byte more. */
            for (size_t len = 0; len < first.len; len++)
                assert_int_equal(wire_decode(str_upto(buf_str(&first), len), &message),
                                 ERR_INVALID);
            buf_put(&first, STR("\0"));
            assert_int_equal(wire_decode(buf_str(&first), &message), ERR_INVALID);
            buf_free(&first);
            buf_free(&second);
        }
    }
}

static void fields_keep_their_values(void **state)
{
    struct wire_login login = {.session = id_random(),
                               .service = WIRE_SERVICE_SUBMISSION,
                               .username = STR("alice@demo.test"),
                               .password = STR("\0\xff secret"),
                               .address = STR("::1"),
                               .is_local = true};
    struct wire_message message;
    struct buf frame;

    (void)state;
    buf_init(&frame, WIRE_FRAME_MAX);
    assert_int_equal(wire_encode(WIRE_LOGIN, 7, &login, &frame), ERR_OK);
    assert_int_equal(wire_decode(buf_str(&frame), &message), ERR_OK);
    assert_true(id_equal(&message.body.login.session, &login.session));
    assert_int_equal(message.body.login.service, WIRE_SERVICE_SUBMISSION);
    assert_true(str_equal(message.body.login.username, login.username));
    assert_true(str_equal(message.body.login.password, login.password));
    assert_true(str_equal(message.body.login.address, login.address));
    assert_true(message.body.login.is_local);
    buf_free(&frame);
}

static void malformed_frames_are_refused(void **state)
{
    /* WIRE_STOP is type 4 and has one number: {array 3} {type} {tag} {grace_ms} */
    static const struct {
        const char *rule;
        struct str frame;
        enum err err;
    } rows[] = {
        {"well-formed", STR_INIT("\x93\x04\x01\x05"), ERR_OK},
        {"empty", STR_INIT(""), ERR_INVALID},
        {"not an array", STR_INIT("\x04"), ERR_INVALID},
        {"a map", STR_INIT("\x83\x04\x01\x05"), ERR_INVALID},
        {"a long array", STR_INIT("\xdc\x00\x03\x04\x01\x05"), ERR_INVALID},
        {"an array of four thousand million", STR_INIT("\xdd\xff\xff\xff\xff\x04"), ERR_INVALID},
        {"unknown type", STR_INIT("\x93\x7f\x01\x05"), ERR_INVALID},
        {"negative type", STR_INIT("\x93\xff\x01\x05"), ERR_INVALID},
        {"a field missing", STR_INIT("\x92\x04\x01"), ERR_INVALID},
        {"a field too many", STR_INIT("\x94\x04\x01\x05\x05"), ERR_INVALID},
        {"a flag for a number", STR_INIT("\x93\x04\x01\xc3"), ERR_INVALID},
        {"nil for a number", STR_INIT("\x93\x04\x01\xc0"), ERR_INVALID},
        {"text for a number", STR_INIT("\x93\x04\x01\xa1x"), ERR_INVALID},
        {"nested array for a number", STR_INIT("\x93\x04\x01\x91\x05"), ERR_INVALID},
        {"longer form than needed", STR_INIT("\x93\x04\x01\xcc\x05"), ERR_INVALID},
        {"bytes after the end", STR_INIT("\x93\x04\x01\x05\x05"), ERR_INVALID},
        /* WIRE_LISTENER is type 1: name, is_tls */
        {"bytes", STR_INIT("\x94\x01\x01\xc4\x02xy\xc3"), ERR_OK},
        {"bytes that claim more than there is", STR_INIT("\x94\x01\x01\xc4\x09xy\xc3"),
         ERR_INVALID},
        {"bytes that claim 4 GB", STR_INIT("\x94\x01\x01\xc6\xff\xff\xff\xff\xc3"), ERR_INVALID},
        {"a string where bytes belong", STR_INIT("\x94\x01\x01\xa2xy\xc3"), ERR_INVALID},
    };

    (void)state;
    assert_int_equal(WIRE_STOP, 4);
    assert_int_equal(WIRE_LISTENER, 1);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct wire_message message;
        enum err err = wire_decode(rows[i].frame, &message);

        if (err != rows[i].err)
            fail_msg("%s: %s", rows[i].rule, err_name(err));
    }
}

static void ids_become_paths_so_they_are_checked(void **state)
{
    static const struct {
        const char *rule;
        struct str id;
        enum err err;
    } rows[] = {
        {"well-formed", STR_INIT("0123456789abcdef01234567"), ERR_OK},
        {"not set", STR_INIT(""), ERR_OK},
        {"upper case", STR_INIT("0123456789ABCDEF01234567"), ERR_INVALID},
        {"a path", STR_INIT("../../../../../../../etc"), ERR_INVALID},
        {"short", STR_INIT("0123456789abcdef0123456"), ERR_INVALID},
        {"long", STR_INIT("0123456789abcdef012345678"), ERR_INVALID},
        {"NUL", STR_INIT("0123456789abcdef0123456\0"), ERR_INVALID},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct wire_message message;
        struct buf frame;
        enum err err;

        buf_init(&frame, WIRE_FRAME_MAX);
        buf_putf(&frame, "\x93%c%c\xc4%c", WIRE_MAILBOX_IDLE, 1, (int)rows[i].id.len);
        if (rows[i].id.len == 0) /* %c wrote a NUL */
            assert_int_equal(frame.ptr[frame.len - 1], 0);
        buf_put(&frame, rows[i].id);
        err = wire_decode(buf_str(&frame), &message);
        if (err != rows[i].err)
            fail_msg("%s: %s", rows[i].rule, err_name(err));
        buf_free(&frame);
    }
}

static void a_frame_has_a_limit(void **state)
{
    static char large[WIRE_FRAME_MAX + 1];
    struct wire_admin admin = {.json = {large, WIRE_FRAME_MAX - 16}};
    struct wire_message message;
    struct buf frame;

    (void)state;
    buf_init(&frame, SIZE_MAX);
    assert_int_equal(wire_encode(WIRE_ADMIN, 1, &admin, &frame), ERR_OK);
    assert_int_equal(wire_decode(buf_str(&frame), &message), ERR_OK);
    buf_reset(&frame);
    admin.json.len = WIRE_FRAME_MAX;
    assert_int_equal(wire_encode(WIRE_ADMIN, 1, &admin, &frame), ERR_LIMIT);
    assert_int_equal(frame.len, 0);
    assert_int_equal(wire_decode(str_make(large, sizeof(large)), &message), ERR_INVALID);
    buf_free(&frame);
}

static void the_table_says_who_may_send(void **state)
{
    static const struct {
        enum wire_type type;
        enum wire_role sender, receiver;
        bool is_allowed;
    } rows[] = {
        {WIRE_LOGIN, WIRE_ROLE_GATE, WIRE_ROLE_KEEPER, true},
        {WIRE_LOGIN, WIRE_ROLE_GATE, WIRE_ROLE_STORE, false},
        {WIRE_LOGIN, WIRE_ROLE_KEEPER, WIRE_ROLE_GATE, false},
        {WIRE_MAILBOX_KEY, WIRE_ROLE_KEEPER, WIRE_ROLE_MAILBOX, true},
        {WIRE_MAILBOX_KEY, WIRE_ROLE_KEEPER, WIRE_ROLE_STORE, false},
        {WIRE_MAILBOX_KEY, WIRE_ROLE_STORE, WIRE_ROLE_MAILBOX, false},
        {WIRE_CONFIGURE, WIRE_ROLE_STORE, WIRE_ROLE_GATE, false},
        {WIRE_HOST_KEY, WIRE_ROLE_KEEPER, WIRE_ROLE_SMTP, false},
        {WIRE_ADMIN, WIRE_ROLE_GATE, WIRE_ROLE_KEEPER, false},
        {WIRE_DELIVER, WIRE_ROLE_STORE, WIRE_ROLE_STORE, false},
        {WIRE_BACKUP_PUT, WIRE_ROLE_MAILBOX, WIRE_ROLE_STORE, true},
        {WIRE_BACKUP_DELETE, WIRE_ROLE_MAILBOX, WIRE_ROLE_STORE, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(wire_is_allowed(rows[i].type, rows[i].sender, rows[i].receiver),
                         rows[i].is_allowed);
    assert_false(wire_is_allowed(WIRE_TYPE_COUNT, WIRE_ROLE_GATE, WIRE_ROLE_KEEPER));
    assert_string_equal(wire_role_name(WIRE_ROLE_NURSERY), "nursery");
    assert_string_equal(wire_type_name(WIRE_SESSION_OPEN), "session_open");
}

/* SEALPOST_WRITE_SEEDS=<folder>: writes one frame of each type, the fuzzer's seeds. */
static void write_seeds(const char *folder)
{
    for (int type = 0; type < WIRE_TYPE_COUNT; type++) {
        char path[512];
        union wire_body body;
        struct buf frame;
        FILE *file;

        fill((enum wire_type)type, &body, (uint64_t)type, 5);
        buf_init(&frame, WIRE_FRAME_MAX);
        if (wire_encode((enum wire_type)type, 1, &body, &frame) != ERR_OK)
            abort();
        snprintf(path, sizeof(path), "%s/%s", folder, wire_type_name((enum wire_type)type));
        file = fopen(path, "wb");
        if (file != NULL) {
            fwrite(frame.ptr, 1, frame.len, file);
            fclose(file);
        }
        buf_free(&frame);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_survives),
        cmocka_unit_test(fields_keep_their_values),
        cmocka_unit_test(malformed_frames_are_refused),
        cmocka_unit_test(ids_become_paths_so_they_are_checked),
        cmocka_unit_test(a_frame_has_a_limit),
        cmocka_unit_test(the_table_says_who_may_send),
    };
    const char *seeds = getenv("SEALPOST_WRITE_SEEDS");

    if (seeds != NULL)
        write_seeds(seeds);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
