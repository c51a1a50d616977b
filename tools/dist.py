"""Builds what is released into `dist/`: wheel, source distribution, locked requirements, and an SBOM in CycloneDX.

The bytes depend on the content of the checkout alone: not on its folder, the clock, the umask or an index. The times in
the archives are `SOURCE_DATE_EPOCH` if that is set, else a fixed date; the SBOM has none.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from typing import Any

from lock import ROOT, name_of, needed, project, requirements

PROJECT = project()["project"]
NAME = f"{PROJECT['name'].replace('-', '_')}-{PROJECT['version']}"
EXTRAS = [line for extra, lines in PROJECT["optional-dependencies"].items() if extra != "dev" for line in lines]
DATE = "1580601600"
"""The time of all files in the archives, in seconds: 2020-02-02, as hatchling has it."""


def call(*words: str, text: str | None = None, **environ: str) -> str:
    """Return what a module of this environment prints; `environ` is added to the environment."""
    environment = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"} | environ
    command = [sys.executable, "-W", "ignore", "-m", *words]
    return subprocess.run(command, cwd=ROOT, env=environment, input=text, stdout=-1, text=True, check=True).stdout


def sbom(*roots: str) -> dict[str, Any]:
    """Return the SBOM of these requirements and all that they need, with the hashes of the lock and no address."""
    options = ("--output-reproducible", "--no-validate", "--mc-type", "library", "--pyproject", "pyproject.toml")
    bom: dict[str, Any] = json.loads(call("cyclonedx_py", "requirements", *options, "-", text=requirements(*roots)))
    needs, refs = needed(*roots), defaultdict(list)
    for part in bom["components"]:
        (download,) = part.pop("externalReferences")
        marker = re.search(r" ; (.*?) +--hash", part.pop("description"))
        part |= {"hashes": download["hashes"], "bom-ref": part["purl"]}
        part |= {"description": f"if {marker[1]}"} if marker else {}
        refs[part["name"]].append(part["bom-ref"])
    for tool in bom["metadata"]["tools"]["components"]:
        del tool["externalReferences"]
    root = f"{PROJECT['name']}@{PROJECT['version']}"
    bom["metadata"]["component"] |= {"version": PROJECT["version"], "bom-ref": root}
    edges = {ref: needs[name] for name, each in refs.items() for ref in each} | {root: {*map(name_of, roots)}}
    bom["dependencies"] = [
        {"ref": ref, "dependsOn": sorted(each for name in edges[ref] for each in refs[name])} for ref in sorted(edges)
    ]
    return bom


def main() -> None:
    """Build all into `dist/`, or into the folder that is named."""
    folder = (ROOT / (sys.argv[1] if sys.argv[1:] else "dist")).resolve()
    for earlier in folder.glob("osiris_data-*"):
        earlier.unlink()
    call("hatchling", "build", "-d", str(folder), SOURCE_DATE_EPOCH=os.environ.get("SOURCE_DATE_EPOCH", DATE))
    (folder / "requirements.txt").write_text(requirements(*PROJECT["dependencies"]), encoding="utf-8")
    listed = json.dumps(sbom(*PROJECT["dependencies"], *EXTRAS), indent=2, sort_keys=True, ensure_ascii=False)
    (folder / f"{NAME}.cdx.json").write_text(f"{listed}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
