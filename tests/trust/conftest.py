"""A copy of the code that a test may break."""

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

TREE = Path(__file__).parents[2]
COPIED = ("src", "tests", "bench", "docs", "tools", "pyproject.toml", "requirements.lock", "README.md", "CHANGELOG.md")


@pytest.fixture(scope="session")
def copy(tmp_path_factory):
    """A copy of the code and its tests, and an environment that has this copy and the same packages."""
    folder = tmp_path_factory.mktemp("copy")
    for name in COPIED:
        source = TREE / name
        if source.is_dir():
            measured = ("data",) if name == "bench" else ()  # elsewhere folders of that name belong to the code
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "seeds", *measured))
        else:
            shutil.copy(source, folder / name)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / ".venv"], check=True)
    packages = next((folder / ".venv").glob("lib/python*/site-packages"))
    # Paths of a .pth file are not searched for further ones, so the tree that is installed here stays out.
    (packages / "copy.pth").write_text(f"{folder / 'src'}\n{sysconfig.get_paths()['purelib']}\n")
    script = folder / ".venv" / "bin" / "osiris"
    script.write_text(f"#!{folder}/.venv/bin/python\nimport sys\nfrom osiris.cli.main import main\nsys.exit(main())\n")
    script.chmod(0o755)
    return folder
