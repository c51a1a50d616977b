"""Libraries of compiled functions for tests: as installed, and with sanitizers."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
KERNELS = REPOSITORY / "kernels"
SANITIZED = ("-std=c11", "-O1", "-g", "-fPIC", "-shared", "-fsanitize=address,undefined", "-fno-sanitize-recover")


def compiler():
    return os.environ.get("CC", "cc")


def compiled(folder, sources, flags):
    """Build a package of compiled functions in a folder, with other sources or flags; return the folder."""
    package = folder / "osiris_kernels"
    shutil.copytree(KERNELS / "osiris_kernels", package, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    subprocess.run([compiler(), *flags, "-o", str(package / "kernels.so"), *map(str, sources)], check=True)
    return folder


def preloaded(name):
    found = subprocess.run([compiler(), f"-print-file-name={name}"], capture_output=True, text=True, check=True)
    return found.stdout.strip()


@pytest.fixture(scope="session")
def sanitized(tmp_path_factory):
    """The folder of a package whose library has sanitizers, and a test function that reads too much."""
    folder = tmp_path_factory.mktemp("sanitized")
    wrong = folder / "wrong.c"
    wrong.write_text(
        "#include <stdint.h>\n"
        '#define EXPORT __attribute__((visibility("default")))\n'
        "EXPORT int64_t wrong_read(const uint8_t *p, int64_t n) { return p[n]; }\n"
        "EXPORT int64_t wrong_sum(int64_t a, int64_t b) { return a + b; }\n"
    )
    return compiled(folder, [*sorted((KERNELS / "src").glob("*.c")), wrong], SANITIZED)


@pytest.fixture(scope="session")
def with_sanitizers(sanitized):
    """A function that runs Python with that package: `with_sanitizers("-m", "tests.kernels.tries", …)`."""

    def run(*args, timeout=600):
        variables = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{sanitized}{os.pathsep}{REPOSITORY}",
            "LD_PRELOAD": f"{preloaded('libasan.so')} {preloaded('libstdc++.so')}",
            "ASAN_OPTIONS": "detect_leaks=0",
            "PYTHONMALLOC": "malloc",
            "ARROW_DEFAULT_MEMORY_POOL": "system",
        }
        line = [sys.executable, *map(str, args)]
        return subprocess.run(line, env=variables, capture_output=True, text=True, timeout=timeout)

    return run
