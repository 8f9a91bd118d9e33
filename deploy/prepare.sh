# Shared by ./run, ./check and bench/compare: what has to be there before Sealpost can be built.
# Sourced by bash, from the project's folder. Everything here does nothing when there is nothing to
# do, so that a second start takes no time.

say()  { printf '%s\n' "$*"; }
warn() { printf '%s\n' "$*" >&2; }
die()  { printf 'FAILED: %s\n' "$*" >&2; exit 1; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "this needs root: $* (run it as root, or install sudo)"
    fi
}

# packages_of SECTION...: the names listed there.
packages_of() {
    local section
    for section in "$@"; do
        sed -e 's/#.*//' -e 's/[[:space:]]*$//' deploy/packages.txt |
            awk -v want="[$section]" '/^\[/ { on = ($0 == want); next } on && NF { print $1 }'
    done
}

# Those of the packages named that are not installed.
packages_missing() {
    local name installed
    installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' 2>/dev/null |
        sed -n 's/^installed //p')
    for name in "$@"; do
        # pkgconf stands in for pkg-config on newer systems.
        [ "$name" = pkg-config ] && command -v pkg-config >/dev/null && continue
        grep -qxF -e "$name" <<<"$installed" || printf '%s\n' "$name"
    done
}

# install_packages LOG SECTION...
install_packages() {
    local log=$1 missing
    shift
    command -v dpkg-query >/dev/null || die "this is not a Debian system: dpkg-query is missing"
    mapfile -t missing < <(packages_missing $(packages_of "$@"))
    command -v node >/dev/null || missing+=(nodejs)
    command -v npm >/dev/null || missing+=(npm)
    [ ${#missing[@]} -eq 0 ] && return 0
    say "Installing ${#missing[@]} Debian packages: ${missing[*]}"
    mkdir -p "$(dirname "$log")"
    # Postfix would otherwise ask how it is to be set up; it is started by nobody but the benchmark.
    if ! {
        as_root env DEBIAN_FRONTEND=noninteractive apt-get -q update &&
            as_root env DEBIAN_FRONTEND=noninteractive apt-get -q install -y \
                --no-install-recommends "${missing[@]}"
    } >"$log" 2>&1 </dev/null; then
        tail -n 15 "$log" >&2
        die "apt-get could not install the packages; all of its output is in $log"
    fi
}

# SQLite3 Multiple Ciphers comes in the npm package that package-lock.json pins. npm writes
# node_modules/.package-lock.json when it is done, so equal checksums there mean: in step.
install_node_modules() {
    local log=$1
    if [ -f node_modules/.package-lock.json ] &&
        [ "$(lock_checksums package-lock.json)" = "$(lock_checksums node_modules/.package-lock.json)" ]
    then
        return 0
    fi
    say "Fetching what package-lock.json pins (SQLite3 Multiple Ciphers)"
    mkdir -p "$(dirname "$log")"
    if ! npm ci --ignore-scripts --no-audit --no-fund >"$log" 2>&1 </dev/null; then
        tail -n 15 "$log" >&2
        die "npm ci could not fetch the pinned packages; all of its output is in $log"
    fi
}

lock_checksums() { grep -o '"integrity": "[^"]*"' "$1" | sort; }

# build FOLDER LOG [meson options...]: sets up the folder if need be, then compiles.
build() {
    local folder=$1 log=$2
    shift 2
    mkdir -p "$(dirname "$log")"
    if [ ! -f "$folder/build.ninja" ]; then
        if ! meson setup "$folder" "$@" >"$log" 2>&1; then
            tail -n 20 "$log" >&2
            die "meson could not set up $folder; all of its output is in $log"
        fi
    fi
    if ! ninja -C "$folder" >>"$log" 2>&1; then
        grep -E -A 5 'error:|FAILED:' "$log" | tail -n 40 >&2
        die "the build in $folder failed; all of its output is in $log"
    fi
}

# Where meson put the program.
program_of() {
    local folder=$1 candidate
    for candidate in "$folder/sealpost" "$folder/src/sealpost" "$folder/src/role/sealpost" \
        "$folder/src/cli/sealpost"; do
        if [ -x "$candidate" ]; then
            printf '%s\n' "$candidate"
            return 0
        fi
    done
    die "the build made no program $folder/sealpost"
}
