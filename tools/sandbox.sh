#!/bin/sh
# Sees to it that bubblewrap is there, in whose namespaces the tests' local E2B runs its sandboxes and the Dockerfile's
# steps are executed, and mmdebstrap, which makes the bare Debian for these.
set -eu

command -v bwrap >/dev/null && command -v mmdebstrap >/dev/null && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "Tests run sandboxes in bubblewrap and bare Debians: as root, install the packages bubblewrap and mmdebstrap" >&2
    exit 1
fi
log=$(mktemp)
if ! { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends bubblewrap mmdebstrap; } >"$log" 2>&1; then
    tail -20 "$log" >&2
    echo "Installing bubblewrap and mmdebstrap failed; what apt-get said is in $log" >&2
    exit 1
fi
rm -f "$log"
