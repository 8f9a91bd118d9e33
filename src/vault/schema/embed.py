#!/usr/bin/env python3
"""Prints a C file with the schema files named as string constants, in their order."""
import sys

print('/* Made from the schema files by schema/embed.py. */')
print('#include "vault/schema.h"')
for number, path in enumerate(sys.argv[1:], 1):
    print(f'\nstatic const char schema_{number:04}[] =')
    with open(path, encoding='utf-8') as file:
        for line in file:
            text = line.rstrip('\n').replace('\\', '\\\\').replace('"', '\\"')
            print(f'    "{text}\\n"')
    print('    ;')
print('\nconst char *const vault_schema[] = {')
for number in range(1, len(sys.argv)):
    print(f'    schema_{number:04},')
print('};')
print('const size_t vault_schema_count = sizeof(vault_schema) / sizeof(vault_schema[0]);')
