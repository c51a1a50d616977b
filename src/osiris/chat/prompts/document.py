"""What is installed, as one JSON document that tells a model, or anybody, what a pipeline can be made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.canonical import canonical_bytes, sha256_hex
from osiris.chat.context import BYTES_PER_TOKEN
from osiris.secret import find_literal_secrets, sounds_secret

if TYPE_CHECKING:
    from collections.abc import Iterator

    from osiris.model import ComponentSpec, JsonValue
    from osiris.registry import Registry

VERSION = "1.0.0"


def context_document(registry: Registry) -> dict[str, JsonValue]:
    """Return {"document", "fingerprint", "size_bytes", "token_estimate"}.

    The document has each component: modes, whether it needs a connection, fields of its config, an example, and what to
    mind. Fields that are secret are left out, and examples that look as if they held one. The fingerprint is the
    SHA-256 of the document's canonical bytes, and the estimate a quarter of their number.
    """
    document: dict[str, JsonValue] = {"version": VERSION, "components": list(map(component_document, registry.all()))}
    data = canonical_bytes(document)
    return {
        "document": document,
        "fingerprint": sha256_hex(data),
        "size_bytes": len(data),
        "token_estimate": -(-len(data) // BYTES_PER_TOKEN),
    }


def component_document(spec: ComponentSpec) -> dict[str, JsonValue]:
    """Return what is told of a component."""
    examples = [example["config"] for example in spec.examples if not find_literal_secrets(example["config"])]
    told: dict[str, JsonValue] = {
        "name": spec.name,
        "title": spec.title,
        "modes": list(spec.modes),
        "connection": spec.connection,
        "config": list(_fields(spec)),
    }
    if examples:
        told["example"] = examples[0]
    if guidance := spec.hints.get("guidance"):
        told["guidance"] = guidance
    return told


def _fields(spec: ComponentSpec) -> Iterator[dict[str, JsonValue]]:
    """Yield the fields of a config that a person writes, the required ones marked."""
    required = spec.config.get("required", ())
    for name, schema in spec.config["properties"].items():
        if schema.get("x-internal") or schema.get("x-secret") or sounds_secret(name):
            continue
        told = {key: schema[key] for key in ("type", "enum", "default") if key in schema}
        yield {"field": name, "required": name in required, **told}
