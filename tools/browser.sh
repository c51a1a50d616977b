#!/bin/sh
# Sees to it that a Chromium is there for the tests that look at pages, from Debian's package where it is missing.
set -eu

for name in chromium chromium-browser google-chrome; do
    command -v "$name" >/dev/null && exit 0
done
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "Tests look at pages in Chromium: as root, install the package chromium" >&2
    exit 1
fi
log=$(mktemp)
if ! { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends chromium fonts-dejavu-core; } >"$log" 2>&1; then
    tail -20 "$log" >&2
    echo "Installing chromium failed; what apt-get said is in $log" >&2
    exit 1
fi
rm -f "$log"
