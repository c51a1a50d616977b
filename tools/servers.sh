#!/bin/sh
# Installs what tests need, if missing: the servers of PostgreSQL and MariaDB (tests start them), faketime (sets a
# process's clock), strace (shows its system calls), the library that Firebird's engine needs, the shells zsh and fish,
# in which completion is tested, and systemd, whose own program checks exported units.
set -eu

has() { # has PROGRAM FOLDER…: whether it is on the PATH or in a folder of Debian's package
    command -v "$1" >/dev/null && return
    program=$1
    shift
    for folder in "$@"; do
        [ -x "$folder/$program" ] && return
    done
    return 1
}

missing=
has initdb /usr/lib/postgresql/*/bin || missing="$missing postgresql"
has mariadbd /usr/sbin || missing="$missing mariadb-server"
has faketime /usr/bin || missing="$missing faketime"
has strace /usr/bin || missing="$missing strace"
has zsh /usr/bin || missing="$missing zsh"
has fish /usr/bin || missing="$missing fish"
has systemd-analyze /usr/bin || missing="$missing systemd"
"$(dirname "$0")/../.venv/bin/python" -c 'import ctypes; ctypes.CDLL("libtommath.so.1")' 2>/dev/null ||
    missing="$missing libtommath1"
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "The tests use real servers and tools: as root, install the packages$missing" >&2
    exit 1
fi

# Installing the packages must not start their servers or create a database cluster.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    trap 'rm -f "$policy"' EXIT
fi
log=$(mktemp)
# shellcheck disable=SC2086
if ! { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $missing; } >"$log" 2>&1; then
    tail -20 "$log" >&2
    echo "Installing the packages$missing failed; the output of apt-get is in $log" >&2
    exit 1
fi
rm -f "$log"
