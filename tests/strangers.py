"""Packages of strangers in an environment of their own, in which nothing of ours is edited for them.

It sees the packages of the environment that runs the tests through a line in a `.pth` file. A path variable would not
do: the worker is started with `python -I`, which does not read it, and `--system-site-packages` leads to the base
interpreter and not to our environment.
"""

import subprocess
import sys
import sysconfig


def install(folder, package):
    """Build a package with pip and install it into a new environment; returns its interpreter."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    site = folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    (site / "ours.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, "--disable-pip-version-check", "--target", site, package], check=True)
    return folder / "bin" / "python"
