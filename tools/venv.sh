#!/bin/sh
# Builds .venv from the lock with hashes. As root, also installs missing Debian packages of Python; else names them.
set -eu
cd "$(dirname "$0")/.."

supported() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
    for name in ${PYTHON:-} python3 python3.13 python3.12 python3.11; do
        if command -v "$name" >/dev/null && supported "$name"; then
            echo "$name"
            return
        fi
    done
}

install_debian_packages() {
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends python3 python3-venv
    else
        echo "Osiris needs Python 3.11 or newer with venv: install the packages python3 and python3-venv" >&2
        exit 1
    fi
}

python=$(find_python)
if [ -z "$python" ] || ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    install_debian_packages
    python=$(find_python)
    if [ -z "$python" ]; then
        echo "Osiris needs Python 3.11 or newer, and this system's packages have none" >&2
        exit 1
    fi
fi

build() { # build FOLDER PYTHON: an environment with everything in the lock
    rm -rf "$1"
    "$2" -m venv "$1"
    "$1/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
        -r requirements.lock
}

build .venv "$python"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
touch .venv/.complete

# Tests also run on the oldest and the newest supported Python, where this machine has them.
for version in 3.11 3.13; do
    if ! .venv/bin/python -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$version')" &&
        "python$version" -c 'import ensurepip, venv' 2>/dev/null; then
        build ".venv-$version" "python$version"
        touch ".venv-$version/.complete"
    fi
done
