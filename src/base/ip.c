#include "base/ip.h"

#include <arpa/inet.h>
#include <string.h>

size_t ip_client_key(struct str address, unsigned char out[IP_CLIENT_KEY_MAX])
{
    char text[IP_CLIENT_KEY_MAX] = {0};
    unsigned char v6[16];
    struct in_addr v4;

    if (address.len >= sizeof(text))
        address.len = sizeof(text) - 1;
    if (address.len > 0)
        memcpy(text, address.ptr, address.len);
    if (inet_pton(AF_INET, text, &v4) == 1) {
        memcpy(out, &v4, 4);
        return 4;
    }
    if (inet_pton(AF_INET6, text, v6) == 1) {
        static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};

        if (memcmp(v6, mapped, sizeof(mapped)) == 0) {
            memcpy(out, v6 + 12, 4);
            return 4;
        }
        memcpy(out, v6, 8);
        return 8;
    }
    memcpy(out, text, address.len);
    return address.len;
}
