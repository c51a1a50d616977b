"""An editor over the Language Server Protocol: a real client on the stdio of `osiris lsp`."""

import asyncio
import os

from lsprotocol import types
from pygls.lsp.client import LanguageClient
from tests.conftest import OSIRIS
from tests.patience import SOON


class Editor:
    """One open file of a project; places are lines and columns from 0, in UTF-16 units, or words of the text."""

    def __init__(self, client, path):
        self.client, self.path, self.uri, self.version, self.text = client, path, path.as_uri(), 0, ""
        self.published = asyncio.Queue()
        client.feature(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)(lambda params: self.published.put_nowait(params))

    async def open(self, text=None):
        """Open the file with its text, or another one; returns its diagnostics."""
        self.text = self.path.read_text(encoding="utf-8") if text is None else text
        item = types.TextDocumentItem(self.uri, "yaml", self.version, self.text)
        self.client.text_document_did_open(types.DidOpenTextDocumentParams(item))
        return await self.diagnostics()

    def type(self, text):
        """Replace the whole text."""
        self.version += 1
        self.text = text
        document = types.VersionedTextDocumentIdentifier(self.version, self.uri)
        change = types.TextDocumentContentChangeWholeDocument(text)
        self.client.text_document_did_change(types.DidChangeTextDocumentParams(document, [change]))

    async def change(self, text):
        """Replace the whole text; returns its diagnostics."""
        self.type(text)
        return await self.diagnostics()

    async def diagnostics(self):
        """Return what is published of the current version."""
        while True:
            found = await asyncio.wait_for(self.published.get(), SOON)
            if found.version in (self.version, None):
                return list(found.diagnostics)

    def place(self, words):
        """Return the document and the place of the character marked by `|` in a part of its text."""
        before, _, after = words.partition("|")
        at = self.text.index(before + after) + len(before)
        line = self.text.count("\n", 0, at)
        column = len(self.text[self.text.rfind("\n", 0, at) + 1 : at].encode("utf-16-le")) // 2
        return types.TextDocumentIdentifier(self.uri), types.Position(line, column)

    async def hover(self, words):
        found = await self.client.text_document_hover_async(types.HoverParams(*self.place(words)))
        return found and found.contents.value

    async def definition(self, words):
        """Return the file and the rest of the line that a word leads to."""
        found = await self.client.text_document_definition_async(types.DefinitionParams(*self.place(words)))
        if found is None:
            return None
        name = found.uri.rpartition("/")[2]
        text = self.text if found.uri == self.uri else (self.path.parents[1] / name).read_text(encoding="utf-8")
        start = found.range.start
        return name, text.split("\n")[start.line][start.character :]

    async def completions(self, words):
        found = await self.client.text_document_completion_async(types.CompletionParams(*self.place(words)))
        return {item.label: item.detail for item in found}

    async def complete(self, words, choice):
        """Return the text after a completion was chosen."""
        found = await self.client.text_document_completion_async(types.CompletionParams(*self.place(words)))
        (edit,) = [item.text_edit for item in found if item.label == choice]
        return self.edited(edit)

    async def fixes(self, diagnostics):
        """Return title and resulting text of each fix that is offered for diagnostics."""
        whole = types.Range(types.Position(0, 0), types.Position(10_000, 0))
        context = types.CodeActionContext(diagnostics)
        document = types.TextDocumentIdentifier(self.uri)
        found = await self.client.text_document_code_action_async(types.CodeActionParams(document, whole, context))
        return [(action.title, self.edited(*action.edit.changes[self.uri])) for action in found or ()]

    def edited(self, edit):
        lines = self.text.splitlines(keepends=True)

        def offset(at):
            units = "".join(lines[at.line : at.line + 1]).encode("utf-16-le")[: 2 * at.character]
            return sum(map(len, lines[: at.line])) + len(units.decode("utf-16-le"))

        return self.text[: offset(edit.range.start)] + edit.new_text + self.text[offset(edit.range.end) :]


def edit(path, work, command=(OSIRIS, "lsp"), **environment):
    """Run `work(editor)` with a server for the project of a file; the server must end by itself."""

    async def session():
        client = LanguageClient("tests", "1")
        names = ("PATH", "HOME", "TMPDIR")
        known = {name: os.environ[name] for name in names if name in os.environ}
        await client.start_io(*map(str, command), env=known | environment, cwd=str(path.parent))
        editor = Editor(client, path)
        await client.initialize_async(types.InitializeParams(types.ClientCapabilities()))
        client.initialized(types.InitializedParams())
        try:
            return await work(editor)
        finally:
            await client.shutdown_async(None)
            client.exit(None)
            ended = await asyncio.wait_for(client._server.wait(), SOON)  # the client cannot wait for its server
            assert ended == 0
            await client.stop()

    return asyncio.run(session())
