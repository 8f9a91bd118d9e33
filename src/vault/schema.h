/* The migrations, made into C by the build from schema/NNNN.sql. */
#ifndef VAULT_SCHEMA_H
#define VAULT_SCHEMA_H

#include <stddef.h>

extern const char *const vault_schema[];
extern const size_t vault_schema_count;

#endif
