#!/bin/bash
# No file in src/ calls a function that src/base/banned.h names. One argument: the source folder.
set -euo pipefail
cd "$1/src"
words=$(sed -n 's/^ \* \(strcpy .*\)$/\1/p' base/banned.h)
[ -n "$words" ] || { echo "base/banned.h names no function"; exit 1; }
if grep -rnwE "(${words// /|})" --include='*.[ch]' --exclude=banned.h .; then
    echo "these calls are banned; base/banned.h says why"
    exit 1
fi
