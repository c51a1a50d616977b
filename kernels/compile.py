"""Compile the C files into the wheel; the library does not use Python's API, so one wheel fits all Python versions."""

from __future__ import annotations

import os
import subprocess
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Compile(BuildHookInterface):
    """The build hook."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002  as hatchling calls it
        """Compile the library, and set the wheel's platform tag."""
        sources = sorted(map(str, (Path(self.root) / "src").glob("*.c")))
        self._folder = tempfile.TemporaryDirectory()
        library = Path(self._folder.name) / "kernels.so"
        flags = ["-std=c11", "-O3", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-fvisibility=hidden"]
        subprocess.run([os.environ.get("CC", "cc"), *flags, "-o", str(library), *sources], check=True)
        build_data["force_include"][str(library)] = "osiris_kernels/kernels.so"
        build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"
        build_data["pure_python"] = False

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        """Delete the compiled library, which the wheel contains now."""
        self._folder.cleanup()
