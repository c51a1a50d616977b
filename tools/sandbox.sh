#!/bin/sh
# Installs, if missing: bubblewrap, in which the tests' local E2B runs its sandboxes and the steps of the Dockerfile are
# executed, and mmdebstrap, which creates the bare Debian for these.
set -eu

command -v bwrap >/dev/null && command -v mmdebstrap >/dev/null && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "Tests run sandboxes in bubblewrap and bare Debians: as root, install the packages bubblewrap and mmdebstrap" >&2
    exit 1
fi
log=$(mktemp)
if ! { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends bubblewrap mmdebstrap; } >"$log" 2>&1; then
    tail -20 "$log" >&2
    echo "Installing bubblewrap and mmdebstrap failed; the output of apt-get is in $log" >&2
    exit 1
fi
rm -f "$log"
