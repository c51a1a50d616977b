"""Other authors' packages in a separate environment, in which our code is unchanged.

It sees the packages of the environment that runs the tests through a line in a `.pth` file. A path variable would not
work: the worker is started with `python -I`, which ignores it, and `--system-site-packages` leads to the base
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
