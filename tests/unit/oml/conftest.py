"""Another author's components: real packages on the path, with the metadata that an installer leaves behind."""

import importlib
import json

import pytest

from osiris.registry import load_registry


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """`installed(spec, …)` returns a registry that also has components with these (partial) specs."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(**components):
        lines = []
        for short, parts in components.items():
            name = short.replace("__", ".")
            folder = tmp_path / "ham_package" / short
            folder.mkdir(parents=True)
            write = "write" in parts.get("modes", ["read"])
            spec = {
                "name": name,
                "version": "1.0.0",
                "title": name,
                "description": name,
                "family": "ham",
                "modes": ["read"],
                "inputs": {"min": int(write), "max": int(write)},
                "output": not write,
                "connection": "optional",
                **({"delivery": "atomic_replace"} if write else {}),
                **parts,
            }
            properties = {key: {"description": key, **schema} for key, schema in spec.pop("properties", {}).items()}
            spec["config"] = {
                "type": "object",
                "additionalProperties": False,
                "properties": properties,
                **spec.get("config", {}),
            }
            (folder / "spec.yaml").write_text(json.dumps(spec))
            lines.append(f"{name} = ham_package.{short}")
        info = tmp_path / "ham_package-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ham-package\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[osiris.components]\n" + "\n".join(lines) + "\n")
        importlib.invalidate_caches()
        registry = load_registry()
        assert registry.problems() == []
        return registry

    return install
