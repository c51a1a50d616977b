"""YAML that all parsers read alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from osiris.model import JsonValue


class Text(str):
    """A text that is never written plain, as YAML 1.1 and 1.2 read many plain ones differently.

    It is written as a block if it ends with a line break and is of printable ASCII, else in double quotes.
    """

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    """Writes no aliases."""

    def ignore_aliases(self, _data: Any) -> bool:  # noqa: ANN401 - the form of the library
        """Return that nothing is written as an alias."""
        return True


def _quoted(dumper: yaml.SafeDumper, text: Text) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style="|" if text.endswith("\n") else '"')


_Dumper.add_representer(Text, _quoted)


def yaml_text(data: JsonValue) -> str:
    """Return data as a YAML document in ASCII, its keys in the given order."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, width=float("inf"))
