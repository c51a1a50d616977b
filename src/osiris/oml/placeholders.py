"""`${…}` in a step's config: parameters become values, what is known only at run time stays a reference."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from osiris.document import Document, join
from osiris.errors import Diagnostic, diagnostic, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from osiris.model import JsonValue
    from osiris.oml.params import Params

PLACEHOLDER = re.compile(r"\$\{([^{}]*)\}")
RUN_VALUES = ("run.id", "run.started_at")


@dataclass(slots=True)
class Substitution:
    """Puts values in the place of placeholders, and notes what cannot be put."""

    document: Document
    params: Params
    problems: list[Diagnostic] = field(default_factory=list)

    def config(
        self, config: Mapping[str, JsonValue], pointer: str, dialects: Mapping[str, str]
    ) -> dict[str, JsonValue]:
        """Return a step's config with its placeholders resolved; `dialects` names the keys that hold SQL."""
        return {
            key: self.sql(value, join(pointer, key), dialects[key])
            if key in dialects and isinstance(value, str)
            else self.value(value, join(pointer, key))
            for key, value in config.items()
        }

    def value(self, value: JsonValue, pointer: str) -> JsonValue:
        """Return a value with its placeholders resolved; a whole-string placeholder keeps its type."""
        if isinstance(value, dict):
            return {key: self.value(item, join(pointer, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self.value(item, join(pointer, index)) for index, item in enumerate(value)]
        if not isinstance(value, str) or "${" not in value:
            return value
        whole = PLACEHOLDER.fullmatch(value)
        if whole and self._known(whole[1], pointer, bindable=False) and whole[1] not in RUN_VALUES:
            return self.params.values[whole[1].removeprefix("params.")]
        return value if whole else PLACEHOLDER.sub(lambda match: self._text(match, pointer), value)

    def sql(self, text: str, pointer: str, dialect: str) -> str:
        """Return SQL in which parameters are literals, and what is bound at run time a named parameter."""
        if "${" not in text:
            return text
        from osiris.sql.literals import substitute

        names = [match[1] for match in PLACEHOLDER.finditer(text)]
        if not all([self._known(name, pointer, bindable=True) for name in names]):
            return text
        values = {f"params.{name}": value for name, value in self.params.values.items()}
        bound = {f"params.{name}": f"param_{name}" for name in self.params.sensitive}
        bound |= {name: name.replace(".", "_") for name in RUN_VALUES}
        try:
            return substitute(text, values, dialect, bound=bound)
        except ValueError as error:
            self._say("OML024", pointer, placeholder=str(error), hint="write it outside the quotes")
            return text

    def _text(self, match: re.Match[str], pointer: str) -> str:
        name = match[1]
        if not self._known(name, pointer, bindable=False) or name in RUN_VALUES:
            return match[0]
        value = self.params.values[name.removeprefix("params.")]
        if isinstance(value, list):
            self._say("OML024", pointer, placeholder=match[0], hint="a list can only stand alone")
        return str(value).lower() if isinstance(value, bool) else str(value)

    def _known(self, name: str, pointer: str, *, bindable: bool) -> bool:
        """Tell whether a placeholder may stand here, and note why not."""
        if name in RUN_VALUES:
            return True
        if not name.startswith("params."):
            hint = "use ${params.NAME}, ${run.id} or ${run.started_at}; environment variables belong into connections"
            self._say("OML024", pointer, placeholder=f"${{{name[:60]}}}", hint=hint)
            return False
        param = name.removeprefix("params.")
        if param in self.params.sensitive and not bindable:
            problem = "stands where its value would become part of the plan"
            instead = "use it in a connection field, or in SQL outside quotes"
            self._say("OML025", pointer, name=param, problem=problem, instead=instead)
            return False
        if param not in self.params.declared:
            self._say("OML019", pointer, name=param, hint=did_you_mean(param, self.params.declared))
            return False
        return param in self.params.sensitive or self.params.values.get(param) is not None

    def _say(self, code: str, pointer: str, *, hint: str | None = None, **params: object) -> None:
        self.problems.append(diagnostic(code, at=self.document.where(pointer), hint=hint, **params))
