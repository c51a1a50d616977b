#!/bin/sh
# Compiles the kernels into a wheel in dist/ and installs it in the environments. As root, also installs the C compiler.
set -eu
cd "$(dirname "$0")/.."

if ! command -v "${CC:-cc}" >/dev/null; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "The kernels are compiled from C: as root, install the packages gcc and libc6-dev" >&2
        exit 1
    fi
    apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends gcc libc6-dev
fi
rm -f dist/osiris_kernels-*.whl
.venv/bin/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist ./kernels
for environment in .venv .venv-3.*; do
    [ ! -x "$environment/bin/python" ] || "$environment/bin/python" -m pip install --quiet --disable-pip-version-check \
        --no-deps --no-index --force-reinstall dist/osiris_kernels-*.whl
done
