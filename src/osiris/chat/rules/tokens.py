"""From text to tokens: words, numbers, dates, quoted text, paths and references, each with its place."""

from __future__ import annotations

import re
from dataclasses import dataclass

_PATTERN = re.compile(
    r"""
    (?P<string> "[^"]*" | \u201c[^\u201d]*\u201d | `[^`]*` | (?<!\w)'[^']+'(?!\w)
              | (?<!\w)\u2018[^\u2019]+\u2019(?!\w) )
  | (?P<ref> @[A-Za-z_][\w-]*(?:\.[\w-]+)?(?:/[\w.]+)? )
  | (?P<path> (?:[\w.~-]*/)*[\w-]+(?:\.[\w-]+)*
              \.(?:csv|tsv|parquet|jsonl|ndjson|json|xlsx|xls|txt|xml|db|sqlite|duckdb)(?:\.gz|\.zst)?\b
            | (?:\.{1,2})?/[\w./-]*\w | output/[\w./-]*\w )
  | (?P<date> \d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2})?)? | \d{4}-(?:0[1-9]|1[0-2])(?!\d|-) )
  | (?P<odd> \d{1,2}[/.]\d{1,2}[/.]\d{2,4} | \d+(?:\.\d+)?% )
  | (?P<number> [$€£]?-?\d[\d_]*(?:,\d{3})*(?:\.\d+)?[kK]?(?![\w]) )
  | (?P<dotted> [^\W\d]\w*\.[^\W\d]\w*(?:\.[^\W\d]\w*)? )
  | (?P<word> \w+ )
  | (?P<op> -> | => | \u2192 | >= | <= | != | <> | == | [=<>≥≤*\u00d7+/%-] )
  | (?P<punct> [,;:().?!&] )
    """,
    re.VERBOSE,
)
_POSSESSIVE = re.compile(r"(?<=\w)(?:['\u2019]s\b|(?<=s)['\u2019](?!\w))")
_NEGATED = re.compile(r"n['\u2019]t\b", re.IGNORECASE)
_SHORT = re.compile(r"(?<=\w)['\u2019](?=(?:d|ll|ve|m|re)\b)", re.IGNORECASE)
_SIGNS = {"&": "and", "->": "to", "=>": "to", "\u2192": "to"}
OWNED = "\u2019s"


@dataclass(frozen=True, slots=True)
class Token:
    """A token: its kind, its text as written, its text to compare, whether it owns the next, and where it ends."""

    kind: str
    raw: str
    text: str
    start: int
    end: int


def tokens(text: str) -> list[Token]:
    """Return the tokens of a text; a possessive is a token of its own."""
    parts = _QUOTED.split(text)
    plain = "".join(part if at % 2 else _spelled_out(part) for at, part in enumerate(parts))
    found = []
    at = 0
    while at < len(plain):
        if plain.startswith(OWNED, at):
            found.append(Token("owned", OWNED, OWNED, at, at + 2))
            at += 2
        elif match := _PATTERN.match(plain, at):
            found.append(_token(match))
            at = match.end()
        elif plain[at].isspace():
            at += 1
        else:
            found.append(Token("odd", plain[at], plain[at], at, at + 1))
            at += 1
    return found


_QUOTED = re.compile(r"""("[^"]*"|(?<!\w)'[^']+'(?!\w))""")


def _spelled_out(text: str) -> str:
    """Return a text with its short forms spelled out: `don't` has a `not` in it."""
    plain = _NEGATED.sub(" not", _POSSESSIVE.sub(f" {OWNED} ", text))
    return re.sub(r"\bcannot\b", "can not", _SHORT.sub(" ", plain)).replace("ca not", "can not")


def _token(match: re.Match[str]) -> Token:
    kind, raw = str(match.lastgroup), match.group()
    text = raw[1:-1] if kind == "string" else raw.rstrip(".") if kind == "path" else raw.lower()
    if raw in _SIGNS:
        return Token("word", raw, _SIGNS[raw], match.start(), match.end())
    if kind == "number":
        text = _number(raw)
    return Token(kind, raw, text, match.start(), match.end())


def _number(raw: str) -> str:
    plain = raw.lower().strip("$€£").replace(",", "").replace("_", "")
    if not plain.endswith("k"):
        return plain
    return f"{float(plain[:-1]) * 1000:g}" if "." in plain else f"{plain[:-1]}000"


def stem(word: str) -> str:
    """Return a word without its plural: `countries` → `country`, `boxes` → `box`, `status` as it is."""
    if word == "ids":
        return "id"
    if len(word) <= 3 or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("tuses", "nuses", "puses", "ruses")):
        return word[:-2]
    if word.endswith(("sses", "xes", "ches", "shes", "zes")):
        return word[:-2]
    return _IRREGULAR.get(word) or (word[:-1] if word.endswith("s") else word)


_IRREGULAR = {"people": "person", "persons": "person", "children": "child", "indices": "index", "addresses": "address"}


def verb_stems(word: str) -> set[str]:
    """Return what a participle may come from: `hired` → hire; `shipped` → ship."""
    for ending in ("ing", "ed"):
        if word.endswith(ending) and len(word) > len(ending) + 2:
            bare = word[: -len(ending)]
            short = {bare[:-1]} if bare[-1] == bare[-2] else set()
            return {bare, bare + "e", word} | short
    return {word}


def split_name(name: str) -> list[str]:
    """Return the words of an identifier: `firstName`, `first_name` and `FIRST-NAME` have the same ones."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    return [part.lower() for part in re.split(r"[^0-9A-Za-z\u00c0-\uffff]+", spaced) if part]
