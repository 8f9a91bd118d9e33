#include "secret/courier.h"

struct secret *courier_key(const struct secret *host_key)
{
    return crypt_derive(host_key, STR("courier"), STR(""));
}

struct secret *courier_srs_key(const struct secret *key_of_courier)
{
    return crypt_derive(key_of_courier, STR("courier-srs"), STR(""));
}
