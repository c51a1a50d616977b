"""The server on stdio: the requests of an editor, and the answers in the terms of the protocol."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lsprotocol import types
from pygls.lsp.server import LanguageServer
from pygls.uris import from_fs_path, to_fs_path

from osiris.api import open_project, validate_file
from osiris.api.editing import columns_by_step, lock_problems
from osiris.api.workspace import shown
from osiris.distribution import own_version
from osiris.errors import Diagnostic, OsirisError
from osiris.lsp.answers import Place, complete, describe, find_definition
from osiris.oml.fix import apply_fix, fix_words
from osiris.project import PIPELINE_ENDINGS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pygls.workspace import TextDocument

    from osiris.api import Workspace

    _Question = types.HoverParams | types.DefinitionParams | types.CompletionParams

PAUSE = 0.15
"""Seconds without a change after which a text is validated."""
_SEVERITIES = {
    "error": types.DiagnosticSeverity.Error,
    "warning": types.DiagnosticSeverity.Warning,
    "note": types.DiagnosticSeverity.Information,
}
_VALUE = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'[^']*'|[^\s,\]}]+")
"""What is underlined at the place of a problem."""


def serve() -> None:
    """Serve an editor on standard input and output until it disconnects."""
    # The library closes the output that it gets; the command still needs its own.
    server().start_io(sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb"))


def server() -> LanguageServer:
    """Return the server, with a handler for each kind of request that it answers."""
    editor = LanguageServer("osiris", own_version(), text_document_sync_kind=types.TextDocumentSyncKind.Full)
    open_texts: dict[str, asyncio.Task[None]] = {}
    valid: dict[str, str] = {}

    def validate(uri: str) -> None:
        forget(uri)
        open_texts[uri] = asyncio.ensure_future(_publish(editor, uri, valid))

    def forget(uri: str) -> None:
        if task := open_texts.pop(uri, None):
            task.cancel()

    async def changed(params: types.DidOpenTextDocumentParams | types.DidChangeTextDocumentParams) -> None:
        validate(params.text_document.uri)

    async def saved(_params: types.DidSaveTextDocumentParams) -> None:
        for uri in [*open_texts]:  # a pipeline depends on other files of the project
            validate(uri)

    async def closed(params: types.DidCloseTextDocumentParams) -> None:
        forget(params.text_document.uri)
        valid.pop(params.text_document.uri, None)
        editor.text_document_publish_diagnostics(types.PublishDiagnosticsParams(params.text_document.uri, []))

    editor.feature(types.TEXT_DOCUMENT_DID_OPEN)(changed)
    editor.feature(types.TEXT_DOCUMENT_DID_CHANGE)(changed)
    editor.feature(types.TEXT_DOCUMENT_DID_SAVE)(saved)
    editor.feature(types.TEXT_DOCUMENT_DID_CLOSE)(closed)
    _answer_questions(editor, valid)
    return editor


def _answer_questions(editor: LanguageServer, valid: Mapping[str, str]) -> None:
    """Register the handlers of what an editor asks about a place; `valid` has the last valid text of each file."""

    def hover(params: types.HoverParams) -> types.Hover | None:
        place = _place(editor, valid, params)
        text = describe(place) if place else None
        return types.Hover(types.MarkupContent(types.MarkupKind.PlainText, text)) if text else None

    def definition(params: types.DefinitionParams) -> types.Location | None:
        place = _place(editor, valid, params)
        target = find_definition(place) if place else None
        if place is None or target is None:
            return None
        uri = params.text_document.uri
        if target.file == "connections":
            uri = from_fs_path(str(place.workspace.project.connections_file)) or uri
        at = types.Position(target.line, target.column)
        return types.Location(uri, types.Range(at, at))

    def completion(params: types.CompletionParams) -> list[types.CompletionItem]:
        place = _place(editor, valid, params)
        text, cursor = editor.workspace.get_text_document(params.text_document.uri), params.position
        units = text.position_codec.client_num_units
        items = []
        for each in complete(place) if place else ():
            begin = types.Position(cursor.line, cursor.character - units(each.typed))
            end = types.Position(cursor.line, cursor.character + units(each.rest))
            edit = types.TextEdit(types.Range(begin, end), each.text)
            items.append(types.CompletionItem(each.name, detail=each.detail, filter_text=each.name, text_edit=edit))
        return items

    def actions(params: types.CodeActionParams) -> list[types.CodeAction]:
        text = editor.workspace.get_text_document(params.text_document.uri)
        return list(_actions(text, params.context.diagnostics))

    editor.feature(types.TEXT_DOCUMENT_HOVER)(hover)
    editor.feature(types.TEXT_DOCUMENT_DEFINITION)(definition)
    completing = types.CompletionOptions(trigger_characters=["@", " ", "["])
    editor.feature(types.TEXT_DOCUMENT_COMPLETION, completing)(completion)
    fixing = types.CodeActionOptions(code_action_kinds=[types.CodeActionKind.QuickFix])
    editor.feature(types.TEXT_DOCUMENT_CODE_ACTION, fixing)(actions)


async def _publish(editor: LanguageServer, uri: str, valid: dict[str, str]) -> None:
    """Validate a text that has not changed for a moment, and publish what is wrong with it; keep it if it is valid."""
    await asyncio.sleep(PAUSE)
    text = editor.workspace.get_text_document(uri)
    problems = list(_diagnostics(text))
    if all(each.severity != types.DiagnosticSeverity.Error for each in problems):
        valid[uri] = text.source
    editor.text_document_publish_diagnostics(types.PublishDiagnosticsParams(uri, problems, version=text.version))


def _pipeline_path(text: TextDocument) -> Path | None:
    """Return the real path of a text if it is named like a pipeline; projects are found by real paths."""
    path = to_fs_path(text.uri)
    return Path(path).resolve() if path and path.endswith(PIPELINE_ENDINGS) else None


def _is_pipeline(workspace: Workspace, path: Path) -> bool:
    return path.suffix == ".oml" or path.is_relative_to(workspace.project.pipelines)


def _diagnostics(text: TextDocument) -> Iterator[types.Diagnostic]:
    """Yield what `osiris validate` reports of a text, and what is wrong with osiris.lock.

    There is nothing to say outside of a project, and of other files in it.
    """
    path = _pipeline_path(text)
    if path is None:
        return
    try:
        workspace = open_project(path.parent, os.environ)
    except OsirisError as error:
        yield from (_shown(text, each) for each in error.diagnostics if each.code != "PRJ001")
        return
    if _is_pipeline(workspace, path):
        checked = validate_file(workspace, path, params={}, text=text.source)
        problems = (*checked.diagnostics, *lock_problems(workspace))
        yield from (_shown(text, each, checked.file) for each in problems)


def _shown(text: TextDocument, problem: Diagnostic, file: str | None = None) -> types.Diagnostic:
    """Return a problem in the terms of the protocol; one of another file is shown at the first line, with its place."""
    at = problem.location
    is_here = file is not None and at.file == file
    line, column = ((at.line or 1) - 1, (at.column or 1) - 1) if is_here else (0, 0)
    lines = text.lines
    match = _VALUE.match(lines[line], column) if line < len(lines) else None
    begin = types.Position(line, column)
    end = types.Position(line, match.end() if match else column)
    message = problem.message if is_here or not at.file else f"{at}: {problem.message}"
    return types.Diagnostic(
        range=text.position_codec.range_to_client_units(lines, types.Range(begin, end)),
        message=f"{message}\nhint: {problem.hint}" if problem.hint else message,
        severity=_SEVERITIES[problem.severity],
        code=problem.code,
        source="osiris",
        data={"version": text.version, "problem": problem.to_json()} if is_here else None,
    )


def _actions(text: TextDocument, shown: Iterable[types.Diagnostic]) -> Iterator[types.CodeAction]:
    """Yield the fix of each diagnostic of this version of the text that has one, as an edit."""
    for each in shown:
        data = each.data if isinstance(each.data, dict) else {}
        if each.source != "osiris" or data.get("version") != text.version:
            continue
        problem = Diagnostic.from_json(data["problem"])
        fixed = apply_fix(text.source, problem) if problem.fix else text.source
        if fixed != text.source:
            edit = types.WorkspaceEdit({text.uri: [_edit(text, fixed)]})
            title = f"{problem.code}: {fix_words(problem.fix)}"
            yield types.CodeAction(title, types.CodeActionKind.QuickFix, [each], is_preferred=True, edit=edit)


def _edit(text: TextDocument, fixed: str) -> types.TextEdit:
    """Return the edit of the lines in which a text and its fixed form differ."""
    before, after = text.lines, fixed.splitlines(keepends=True)
    shared = min(len(before), len(after))
    first = next((number for number in range(shared) if before[number] != after[number]), shared)
    last = next((n for n in range(shared - first) if before[-1 - n] != after[-1 - n]), shared - first)
    begin, end = types.Position(first, 0), types.Position(len(before) - last, 0)
    return types.TextEdit(types.Range(begin, end), "".join(after[first : len(after) - last]))


def _place(editor: LanguageServer, valid: Mapping[str, str], params: _Question) -> Place | None:
    """Return the place of a cursor; None if it is not in a pipeline of a project that can be opened."""
    text = editor.workspace.get_text_document(params.text_document.uri)
    path = _pipeline_path(text)
    try:
        workspace = open_project(path.parent, os.environ) if path else None
        if path is None or workspace is None or not _is_pipeline(workspace, path):
            return None
    except OsirisError:
        return None
    at = text.position_codec.position_from_client_units(text.lines, params.position)
    columns = partial(columns_by_step, workspace, path, text.source, valid.get(text.uri))
    return Place(workspace, shown(workspace, path), text.source, at.line, at.character, columns)
