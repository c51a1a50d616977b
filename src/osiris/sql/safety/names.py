"""The names under which a SQL step reads its inputs, and those of values bound in a run."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

RUN_PARAMETERS: Mapping[str, str] = {"run_id": "utf8", "run_started_at": "timestamp[us,UTC]"}
"""Parameters of every run, with their types."""

_PARAMETER = re.compile(r"param_[A-Za-z_][A-Za-z0-9_]*")
_UNPLAIN = re.compile(r"\W", re.ASCII)


def relation_names(inputs: Mapping[str, str]) -> dict[str, list[str]]:
    """Return every name under which inputs can be read, each with the inputs that it refers to (one, or they clash).

    `inputs` maps the name of an input to the id of its step. An input is read by both names, and by both prefixed with
    `df_`; a single one also as `df` and `input_df`. Other characters become `_`; case is folded.
    """
    names: dict[str, list[str]] = defaultdict(list)
    for name, source in inputs.items():
        words = dict.fromkeys(_UNPLAIN.sub("_", word).lower() for word in (name, source))
        variants = [each for word in words for each in (word, f"df_{word}")]
        variants += ["df", "input_df"] if len(inputs) == 1 else []
        for each in dict.fromkeys(variants):
            names[each].append(name)
    return dict(names)


def parameter_types(used: Iterable[str]) -> dict[str, str]:
    """Return the types of the known parameters among `used`; sensitive parameters are always text."""
    types = {name: RUN_PARAMETERS.get(name) or ("utf8" if _PARAMETER.fullmatch(name) else None) for name in used}
    return {name: kind for name, kind in types.items() if kind}


def mentioned_parameters(sql: str) -> dict[str, str]:
    """Return the known parameters whose `$name` occurs in a text, with their types."""
    return parameter_types(re.findall(r"\$([A-Za-z_][A-Za-z0-9_]*)", sql))
