"""A run's package: put together from its session, fitted into its limit, and written beside it."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from osiris.aiop import delta, evidence, narrative, semantic
from osiris.aiop.answer import answer_of
from osiris.aiop.card import card_of
from osiris.aiop.index import (
    CATALOGUE,
    FOLDER,
    LATEST,
    NEWEST,
    RECORD,
    add_record,
    card_name,
    compared_records,
    lead_to_newest,
    package_name,
    record_of,
)
from osiris.aiop.metadata import metadata_of, sizes, tables_of
from osiris.aiop.size_budget import Filler, Section, compact, place, size_of
from osiris.durable import lead, make_folder, write_file
from osiris.errors import Diagnostic, diagnostic
from osiris.history.intent import intent_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from osiris.aiop.options import Options
    from osiris.aiop.semantic import FindSpec
    from osiris.history.reading import Reading
    from osiris.model import JsonValue
    from osiris.project import Project

    Document = dict[str, JsonValue]

CONTEXT = "urn:osiris:aiop:context:1"
FORMAT = "1.0"

_NUMBERS = 12
"""Bytes kept for the digits of each number that is not known before the document is filled."""


@dataclass(frozen=True, slots=True)
class Package:
    """One package: the document and its bytes, the run card, the record for the index, and the files of the annex.

    `diagnostics` say what was left out (AIO002), and that a limit is too small for what is never cut (AIO004).
    """

    session: str
    document: Mapping[str, JsonValue]
    content: bytes
    card: str
    record: Mapping[str, JsonValue]
    annex: Mapping[str, bytes]
    diagnostics: tuple[Diagnostic, ...]


def build_package(reading: Reading, options: Options, find_spec: FindSpec) -> Package:
    """Return the package of a run; the same session and options give the same bytes."""
    annex = _annex(reading, options) if options.annex else {}
    document = _frame(reading, annex)
    sections = _sections(reading, options, find_spec, document["answer"])
    cuts = _fit(document, sections, options.max_bytes)
    content = _sized(document, options.max_bytes, cuts)
    return Package(
        session=reading.run.id,
        document=document,
        content=content,
        card=card_of(reading, document["answer"], document["narrative"]["intent"]),
        record=record_of(reading, document["answer"], len(content)),
        annex=annex,
        diagnostics=tuple(_diagnostics(reading, options, cuts, len(content))),
    )


def write_package(project: Project, package: Package, *, card: bool = True, catalogue: bool = True) -> None:
    """Write a package beside its session, each file as a whole; fails with PRJ006 if that cannot be done."""
    folder = project.logs / package.session / FOLDER
    files = {f"annex/{name}": content for name, content in package.annex.items()}
    if card:
        files[card_name(package.session)] = package.card.encode()
    files[RECORD] = _pretty(package.record)
    files[CATALOGUE] = compared_records(project, dict(package.record))
    files[package_name(package.session)] = package.content
    for name, content in files.items():
        path = folder / name
        make_folder(path.parent, private=True)
        write_file(path, content, private=True)
    lead(folder / LATEST, project.state / NEWEST)
    lead_to_newest(project)
    if catalogue:
        add_record(project, dict(package.record))


def write_annex(folder: Path, package: Package) -> None:
    """Write the files of the annex alone; fails with PRJ006 if that cannot be done."""
    for name, content in package.annex.items():
        path = folder / FOLDER / "annex" / name
        make_folder(path.parent, private=True)
        write_file(path, content, private=True)


def _frame(reading: Reading, annex: Mapping[str, bytes]) -> Document:
    """Return the document with every list empty that may be cut."""
    told = [
        {"path": f"{reading.path}/{FOLDER}/annex/{name}", "count": _lines_in(name, content), "bytes": len(content)}
        for name, content in annex.items()
    ]
    return {
        "@context": CONTEXT,
        "@id": f"osiris://run/{reading.run.id}",
        "@type": "AIOperationPackage",
        "format": FORMAT,
        "answer": answer_of(reading),
        "narrative": {"intent": intent_of(reading).to_json(), "sentences": []},
        "delta": delta.delta_of(reading),
        "evidence": {"files": evidence.files_of(reading), **{name: [] for name in _EVIDENCE}},
        "semantic": {"pipeline": semantic.pipeline_of(reading), "metadata": {}, **{name: [] for name in _SEMANTIC}},
        "metadata": metadata_of(reading, told),
    }


_EVIDENCE = ("errors", "row_errors", "outputs", "steps", "artifacts", "timeline", "metrics")
_SEMANTIC = ("nodes", "edges", "components", "lineage")


def _sections(reading: Reading, options: Options, find_spec: FindSpec, answer: Document) -> list[Section]:
    changes = [change.to_json(number) for number, change in enumerate(reading.changes, 1)]
    return [
        Section("narrative.sentences", list(narrative.sentences_of(reading, answer))),
        Section("delta.changes", changes),
        Section("delta.outputs", delta.outputs_of(reading)),
        Section("delta.steps.rows", delta.step_rows(reading)),
        Section("evidence.errors", evidence.errors_of(reading)),
        Section("evidence.steps", evidence.steps_of(reading), _by_end),
        Section("evidence.row_errors", [group.to_json() for group in reading.groups]),
        Section("evidence.outputs", evidence.outputs_of(reading)),
        Section("evidence.artifacts", evidence.artifacts_of(reading)),
        Section(
            "evidence.timeline",
            list(evidence.timeline_of(reading, options.density)),
            evidence.event_weight,
            beyond=evidence.left_of_timeline(reading, options.density),
        ),
        Section("evidence.metrics", evidence.metrics_of(reading, options.metrics)),
        Section("semantic.nodes", semantic.nodes_of(reading, detailed=options.detailed)),
        Section("semantic.edges", semantic.edges_of(reading)),
        Section("semantic.components", semantic.components_of(reading, find_spec)),
        Section("semantic.lineage", semantic.lineage_of(reading)),
        *(
            Section(name, [list(pair) for pair in table.items()], pairs=True)
            for name, table in {
                **tables_of(reading, options),
                "semantic.metadata": semantic.metadata_of(reading),
            }.items()
        ),
    ]


def _by_end(step: JsonValue) -> int:
    return 1 if step["status"] == "complete" else 0


def _fit(document: Document, sections: list[Section], limit: int) -> list[JsonValue]:
    """Fill the document, and return what was left out of it."""
    whole = Filler(sections, limit - len(_render(document)) - size_of(_worst(document, limit, [])))
    whole.pin(document["answer"])
    whole.fill()
    if cuts := _cuts(sections):
        for section in sections:
            section.taken.clear()
        worst = [{"section": section.name, "kept": _NUMBERS, "left_out": section.total} for section in sections]
        filler = Filler(sections, limit - len(_render(document)) - size_of(_worst(document, limit, worst)))
        filler.pin(document["answer"])
        filler.fill()
        cuts = _cuts(sections)
    for section in sections:
        place(document, section)
    return cuts


def _cuts(sections: list[Section]) -> list[JsonValue]:
    return [cut for section in sections if (cut := section.cut())]


def _worst(document: Document, limit: int, cuts: list[JsonValue]) -> Document:
    """Return the largest `metadata.size` that there may be."""
    return sizes(document["answer"], limit, cuts, 10**_NUMBERS)


def _sized(document: Document, limit: int, cuts: list[JsonValue]) -> bytes:
    """Fill in the sizes, of which that of the document counts its own digits; return the document's bytes."""
    total, content = 0, b""
    while len(content) != total or not content:
        total = len(content)
        document["metadata"]["size"] = sizes(document["answer"], limit, cuts, total)
        content = _render(document)
    return content


def _render(document: Document) -> bytes:
    """Return the document's bytes: a member a line, in the order of reading."""
    members = (f"{json.dumps(key)}:{compact(value)}" for key, value in document.items())
    return ("{\n" + ",\n".join(members) + "\n}\n").encode("utf-8", "backslashreplace")


def _pretty(data: Mapping[str, JsonValue]) -> bytes:
    return (json.dumps(data, ensure_ascii=False, indent=2) + "\n").encode("utf-8", "backslashreplace")


def _annex(reading: Reading, options: Options) -> dict[str, bytes]:
    """Return every event, metric and diagnostic, one a line, as the session has them."""
    lists: dict[str, list[Mapping[str, JsonValue]]] = {
        "timeline.ndjson": list(reading.run.events),
        "metrics.ndjson": list(reading.run.metrics),
        "errors.ndjson": [item.to_json() for item in reading.run.diagnostics],
    }
    plain = {
        name: "".join(f"{compact(line)}\n" for line in lines).encode("utf-8", "backslashreplace")
        for name, lines in lists.items()
    }
    return {f"{name}.gz": gzip.compress(each, mtime=0) for name, each in plain.items()} if options.compress else plain


def _lines_in(name: str, content: bytes) -> int:
    return (gzip.decompress(content) if name.endswith(".gz") else content).count(b"\n")


def _diagnostics(reading: Reading, options: Options, cuts: list[JsonValue], size: int) -> list[Diagnostic]:
    found = []
    if cuts:
        count = sum(cut["left_out"] for cut in cuts)
        names = ", ".join(cut["section"] for cut in cuts)
        found.append(diagnostic("AIO002", session=reading.run.id, count=count, limit=options.max_bytes, names=names))
    if size > options.max_bytes:
        found.append(diagnostic("AIO004", session=reading.run.id, size=size, limit=options.max_bytes))
    return found
