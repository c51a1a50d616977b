#!/bin/sh
# Installs Chromium, in which tests check pages, from Debian's package if it is missing.
set -eu

for name in chromium chromium-browser google-chrome; do
    command -v "$name" >/dev/null && exit 0
done
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "Tests check pages in Chromium: as root, install the package chromium" >&2
    exit 1
fi
log=$(mktemp)
if ! { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends chromium fonts-dejavu-core; } >"$log" 2>&1; then
    tail -20 "$log" >&2
    echo "Installing chromium failed; the output of apt-get is in $log" >&2
    exit 1
fi
rm -f "$log"
