"""`osiris completion`: the completion scripts of shells, and the completion mode of `osiris` that they call.

A script passes the command line up to the cursor, as it was typed (COMP_LINE), and the part of the word that the shell
will replace (COMP_WORD). The answer has one completion per line: for bash and zsh as text that continues what was
typed in the same quoting, for fish as plain text; zsh and fish also get a description after a tab.
"""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from osiris.cli.command import answers
from osiris.cli.render import Answer, safe

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from click.shell_completion import CompletionItem

VARIABLE = "_OSIRIS_COMPLETE"
"""The environment variable of completion mode: the name of the shell."""

_BASH = """\
_osiris() {
    local item
    COMPREPLY=()
    while IFS= read -r item; do COMPREPLY+=("$item"); done < <(
        _OSIRIS_COMPLETE=bash COMP_LINE="${COMP_LINE:0:COMP_POINT}" COMP_WORD="$2" command osiris 2>/dev/null)
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[/=] ]]; then compopt -o nospace 2>/dev/null; fi
}
complete -o nosort -F _osiris osiris 2>/dev/null || complete -F _osiris osiris
"""

_ZSH = """\
#compdef osiris
_osiris() {
    local line tab=$'\\t'
    local -a items shown open openshown
    for line in "${(@f)$(_OSIRIS_COMPLETE=zsh COMP_WORD="$PREFIX" \\
        COMP_LINE="${(j: :)words[1,CURRENT-1]} $QIPREFIX$IPREFIX$PREFIX" command osiris 2>/dev/null)}"; do
        [[ -n $line ]] || continue
        if [[ ${line%%$tab*} == *[/=] ]]; then
            open+=("${line%%$tab*}") openshown+=("${line/$tab/  -- }")
        else
            items+=("${line%%$tab*}") shown+=("${line/$tab/  -- }")
        fi
    done
    (( $#open )) && compadd -U -Q -l -V osiris -S '' -d openshown -a open
    (( $#items )) && compadd -U -Q -l -V osiris -d shown -a items
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _osiris "$@"; else compdef _osiris osiris; fi
"""

_FISH = """\
function _osiris
    _OSIRIS_COMPLETE=fish COMP_LINE=(commandline -cp | string collect) command osiris 2>/dev/null
end
complete --command osiris --no-files --keep-order --arguments "(_osiris)"
"""

SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


@answers("completion", click.argument("shell", type=click.Choice([*SCRIPTS])))
def completion(shell: str) -> Answer:
    """Print a shell completion script.

    Load it in the start-up file of the shell: 'source <(osiris completion bash)', the same with zsh after compinit, or
    'osiris completion fish | source'.
    """
    return Answer({"shell": shell, "script": SCRIPTS[shell]}, SCRIPTS[shell].splitlines())


def complete(root: click.Group, shell: str, environ: Mapping[str, str]) -> int:
    """Print the completions of a command line; returns 0, and prints nothing after any error."""
    sys.dont_write_bytecode = True
    with suppress(Exception, KeyboardInterrupt):
        text = "".join(f"{line}\n" for line in _lines(root, shell, environ))
        os.write(1, text.encode("utf-8", "surrogateescape"))
    return 0


def _lines(root: click.Group, shell: str, environ: Mapping[str, str]) -> Iterator[str]:
    typed, replaced = typed_words(environ["COMP_LINE"], fish=shell == "fish"), environ.get("COMP_WORD", "")
    if typed is None or not typed.raw.endswith(replaced):
        return
    for item, incomplete in _items(root, typed):
        rest = item.value[len(incomplete) :]
        whole = typed.word + rest if shell == "fish" else typed.raw + _quoted(rest, typed.quote)
        text = whole if shell == "fish" else whole[len(typed.raw) - len(replaced) :]
        if _is_typeable(item.value, rest, typed.quote):
            yield f"{text}\t{safe(item.help)}" if item.help and shell != "bash" else text


def _is_typeable(value: str, rest: str, quote: str) -> bool:
    """Return whether a shell and a terminal take a value as text; in double quotes, ! is history for two shells."""
    return safe(value) == value and not (quote == '"' and "!" in rest)


def _items(root: click.Group, typed: Typed) -> Iterator[tuple[CompletionItem, str]]:
    """Yield what may stand for the last word, each with the part of it that was typed."""
    from click.shell_completion import _resolve_context, _resolve_incomplete

    from osiris.cli.suggestions import suggestions

    args = [*typed.before]
    parsed = args[:-1] if args and args[-1].startswith("-") else args  # click parses nothing if a value is missing
    ctx = _resolve_context(root, {}, "osiris", parsed)
    subject, incomplete = _resolve_incomplete(ctx, args, typed.word)
    items = suggestions(ctx, subject, incomplete) if isinstance(subject, click.Parameter) else []
    for item in items or subject.shell_complete(ctx, incomplete):
        if item.type == "plain" and item.value.startswith(incomplete):
            yield item, incomplete


@dataclass(frozen=True, slots=True)
class Typed:
    """The words before the last one, the last one with and without its quoting, and the quote that it is in."""

    before: list[str]
    word: str
    raw: str
    quote: str


_POSIX = r"""(?P<escape>\\.)|'(?P<single>[^']*)(?P<end1>'|$)|"(?P<double>(?:\\.|[^"\\])*)(?P<end2>"|$)"""
_PIECE = re.compile(rf"{_POSIX}|(?P<stop>[;|&(\n])|(?P<blank>[ \t]+)|(?P<text>[^\\'\"\s;|&(]+)", re.DOTALL)
_FISH_PIECE = re.compile(_PIECE.pattern.replace("[^']*", r"(?:\\.|[^'\\])*"), re.DOTALL)


def typed_words(line: str, *, fish: bool = False) -> Typed | None:
    """Return the words of the last command on a line as a shell reads them; None if it is not ours, or unreadable."""
    before: list[str] = []
    word = raw = quote = ""
    pieces = list((_FISH_PIECE if fish else _PIECE).finditer(line))
    if "".join(piece[0] for piece in pieces) != line:
        return None
    for piece in pieces:
        if piece["blank"] or piece["stop"]:
            before = [*before, *filter(None, [word])] if piece["blank"] else []
            word = raw = ""
        else:
            word, raw = word + _meant(piece, fish=fish), raw + piece[0]
            quote = {piece["end1"]: "'", piece["end2"]: '"'}.get("", "")
    names = [Path(each).name for each in before]
    return Typed(before[names.index("osiris") + 1 :], word, raw, quote) if "osiris" in names else None


def _meant(piece: re.Match[str], *, fish: bool) -> str:
    """Return a piece of a word without its quoting."""
    if piece["single"] is not None:
        return re.sub(r"\\(['\\])", r"\1", piece["single"]) if fish else piece["single"]
    if piece["double"] is not None:
        return re.sub(r'\\(["\\$`])', r"\1", piece["double"])
    return piece["escape"][1:] if piece["escape"] else piece["text"]


def _quoted(text: str, quote: str) -> str:
    """Return a text as it continues a word in this quote, for bash and zsh."""
    if quote == "'":
        return text.replace("'", r"'\''")
    if quote == '"':
        return re.sub(r'(["\\$`])', r"\\\1", text)
    return re.sub(r"(^=|[^\w@%+=:,./-])", r"\\\1", text)
