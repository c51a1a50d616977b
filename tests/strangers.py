"""Other authors' packages in a separate environment, in which our code is unchanged.

It sees the packages of the environment that runs the tests through a line in a `.pth` file. A path variable would not
work: the worker is started with `python -I`, which ignores it, and `--system-site-packages` leads to the base
interpreter and not to our environment.
"""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path


def make_environment(folder):
    """Create an environment without packages of its own; returns its interpreter and the folder of its packages."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    site = folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    (site / "ours.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    return folder / "bin" / "python", site


def install(folder, package):
    """Build a package with pip and install it into a new environment; returns its interpreter."""
    python, site = make_environment(folder)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, "--disable-pip-version-check", "--target", site, package], check=True)
    return python


def shell_of_author(folder):
    """Return the variables of a shell in a new environment that has our commands; pip needs no network there."""
    python, _ = make_environment(folder)
    for name, module in {"osiris": "osiris.cli.main", "pip": "pip", "pytest": "pytest"}.items():
        command = folder / "bin" / name
        command.write_text(f'#!/bin/sh\nexec "{python}" -P -m {module} "$@"\n')
        command.chmod(0o755)
    path = f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {"PATH": path, "PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
