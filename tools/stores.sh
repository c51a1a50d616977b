#!/bin/sh
# Installs the server of Azure Blob Storage that tests start, from its lock file, if it is missing.
set -eu
cd "$(dirname "$0")/../tests/servers/azurite"

[ ! node_modules/.complete -nt package-lock.json ] || exit 0

if ! { command -v node && command -v npm; } >/dev/null; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "The tests start a real server of Azure Blob Storage: as root, install the packages nodejs npm" >&2
        exit 1
    fi
    apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends nodejs npm
fi
npm ci --silent --ignore-scripts
touch node_modules/.complete
