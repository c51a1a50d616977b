#!/bin/sh
# Sees to it that bubblewrap is there, in whose namespaces the tests' local E2B runs its sandboxes.
set -eu

command -v bwrap >/dev/null && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "Tests run sandboxes in bubblewrap: as root, install the package bubblewrap" >&2
    exit 1
fi
log=$(mktemp)
if ! { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends bubblewrap; } >"$log" 2>&1; then
    tail -20 "$log" >&2
    echo "Installing bubblewrap failed; what apt-get said is in $log" >&2
    exit 1
fi
rm -f "$log"
