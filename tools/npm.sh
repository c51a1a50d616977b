#!/bin/sh
# npm.sh FOLDER: installs the packages of npm in a folder's lock file, if they are missing.
set -eu
cd "$(dirname "$0")/../$1"

[ ! node_modules/.complete -nt package-lock.json ] || exit 0

if ! { command -v node && command -v npm; } >/dev/null; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "'$1' has packages of npm: as root, install the Debian packages nodejs npm" >&2
        exit 1
    fi
    apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends nodejs npm
fi
npm ci --silent --ignore-scripts
touch node_modules/.complete
