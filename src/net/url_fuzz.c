/* A URL and a reference to it, one line each: what is taken reads again as itself, and its host is
 * a name or an address in the one spelling that we write. */
#include "net/url.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(struct arena *arena, const struct net_url *url)
{
    struct str text = net_url_text(arena, url);
    struct net_url again;
    struct ip_address address;

    /* What was written with %XX may be longer than what is read. */
    if (text.len <= NET_URL_MAX) {
        assert(net_url_parse(arena, text, &again) == NULL);
        assert(again.is_https == url->is_https && again.port == url->port);
        assert(again.is_address == url->is_address && str_equal(again.host, url->host));
        assert(str_equal(again.target, url->target));
    }
    assert(url->port > 0 && url->host.len > 0 && url->host.len <= 253);
    assert(ip_address_parse(url->host, &address) == url->is_address);
    if (url->is_address)
        assert(ip_address_equal(&address, &url->address));
    for (size_t i = 0; i < text.len; i++)
        assert(text.ptr[i] > ' ' && text.ptr[i] < 0x7f && text.ptr[i] != '\\');
    assert(str_index(net_url_authority(arena, url), '@') < 0);
    assert(url->target.len > 0 && url->target.ptr[0] == '/');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena = {NULL};
    struct str rest = str_make(data, size), first = STR("");
    struct net_url base, url;

    (void)str_split(&rest, '\n', &first);
    if (net_url_parse(&arena, first, &base) == NULL) {
        check(&arena, &base);
        if (rest.ptr != NULL && net_url_resolve(&arena, &base, rest, &url) == NULL)
            check(&arena, &url);
    }
    arena_free(&arena);
    return 0;
}
