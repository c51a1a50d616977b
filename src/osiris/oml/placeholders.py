"""`${…}`: parameters become values; values known only in a run stay references, in SQL bound parameters."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from osiris.document import Document, join
from osiris.document.edits import put
from osiris.errors import Diagnostic, diagnostic, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from osiris.errors import Fix
    from osiris.model import JsonValue
    from osiris.oml.params import Params

RUN_VALUES = ("run.id", "run.started_at")
SCOPE = "params."

_HALF = re.compile(r"\$\{params\.(\w+)(?![\w}])|\{\{\s*(?:params\.)?(\w+)\s*\}\}")
_PLACEHOLDER = re.compile(r"\$\{([^{}]*)\}")


@dataclass(slots=True)
class Substitution:
    """Substitutes placeholders once; `problems` has what cannot be substituted."""

    document: Document
    params: Params
    problems: list[Diagnostic] = field(default_factory=list)

    def config(
        self, config: Mapping[str, JsonValue], pointer: str, dialects: Mapping[str, str]
    ) -> dict[str, JsonValue]:
        """Return a step's config with values substituted; `dialects` has the keys that hold SQL."""
        return {
            key: self.sql(value, join(pointer, key), dialects[key])
            if key in dialects and isinstance(value, str)
            else self.value(value, join(pointer, key))
            for key, value in config.items()
        }

    def value(self, value: JsonValue, pointer: str, *, prose: bool = False) -> JsonValue:
        """Return a JSON value with placeholders substituted; a placeholder that is the whole text keeps its type.

        In `prose`, unknown placeholders are left alone.
        """
        if isinstance(value, dict):
            return {key: self.value(item, join(pointer, key), prose=prose) for key, item in value.items()}
        if isinstance(value, list):
            return [self.value(item, join(pointer, index), prose=prose) for index, item in enumerate(value)]
        return self._filled(value, pointer, prose=prose) if isinstance(value, str) and "${" in value else value

    def _filled(self, value: str, pointer: str, *, prose: bool) -> JsonValue:
        if not prose and "${" in _PLACEHOLDER.sub("", value):
            self._add("OML024", pointer, placeholder=value[value.rindex("${") :][:60], hint="close it: ${params.NAME}")
            return value
        full = _PLACEHOLDER.fullmatch(value)
        if full and self._has_value(full[1], pointer, prose=prose):
            return self.params.values[full[1].removeprefix(SCOPE)]
        return value if full else _PLACEHOLDER.sub(lambda match: self._text(match, pointer, prose=prose), value)

    def sql(self, text: str, pointer: str, dialect: str) -> str:
        """Return SQL with parameters as literals, and run values as named parameters.

        SQL that the check will reject anyway, for its dialect or length, is left unchanged.
        """
        is_whole = not self._is_half_written(text, pointer) and "${" in text
        return self._bound_sql(text, pointer, dialect) if is_whole else text

    def _bound_sql(self, text: str, pointer: str, dialect: str) -> str:
        from osiris.sql.safety.dialects import DIALECTS
        from osiris.sql.safety.literals import placeholders, substitute
        from osiris.sql.safety.preflight import MAX_BYTES

        if dialect not in DIALECTS or len(text) > MAX_BYTES:
            return text

        used = [each for each in placeholders(text, dialect) if each.where != "comment"]
        names = {each.name: each.start for each in reversed(used)}
        if not self._check_names(names, pointer):
            return text
        values = {f"{SCOPE}{name}": value for name, value in self.params.literals.items()}
        if str in {type(values.get(name)) for name in names}:
            self._note(
                "a parameter in SQL is a literal of its type; earlier its text became part of the statement", pointer
            )
        try:
            return substitute(text, values, dialect, bound=self._bound())
        except ValueError as error:
            self._add("OML041", pointer, key=pointer.rpartition("/")[2], placeholder=error)
            return text

    def _check_names(self, names: Mapping[str, int], pointer: str) -> bool:
        """Tell whether all names are known, and report unknown ones at their offsets."""
        unknown = [name for name, offset in names.items() if not self._is_known(name, pointer, offset)]
        return not unknown

    def _bound(self) -> dict[str, str]:
        """Return the named SQL parameters of values known only in a run."""
        bound = {f"{SCOPE}{name}": f"param_{name}" for name in self.params.sensitive}
        return bound | {name: name.replace(".", "_") for name in RUN_VALUES}

    def _text(self, match: re.Match[str], pointer: str, *, prose: bool) -> str:
        if not self._has_value(match[1], pointer, prose=prose):
            return match[0]
        value = self.params.values[match[1].removeprefix(SCOPE)]
        if isinstance(value, list):
            self._add("OML042", pointer, key=pointer.rpartition("/")[2], placeholder=match[0])
        if isinstance(value, bool):
            self._note("booleans become true and false in a text; earlier they became True and False", pointer)
        return str(value).lower() if isinstance(value, bool) else str(value)

    def _note(self, note: str, pointer: str) -> None:
        """Note, once a file, what an earlier file means otherwise."""
        if not any(each.code == "OML032" and each.message == note for each in self.problems):
            self._add("OML032", pointer, what=note)

    def _has_value(self, name: str, pointer: str, *, prose: bool) -> bool:
        """Tell whether a placeholder outside SQL has a value now, and report it if it may not be used there."""
        if prose and not name.startswith(SCOPE):
            return False
        if name.removeprefix(SCOPE) in self.params.sensitive:
            problem, instead = "would become part of the plan here", "use it in SQL, where it is bound"
            self._add("OML025", pointer, name=name.removeprefix(SCOPE), problem=problem, instead=instead)
            return False
        return self._is_known(name, pointer) and name.removeprefix(SCOPE) in self.params.values

    def _is_known(self, name: str, pointer: str, offset: int = 0) -> bool:
        """Tell whether a name is known, and report it if not, at an offset of the text."""
        param = name.removeprefix(SCOPE)
        if name in RUN_VALUES or (name.startswith(SCOPE) and param in self.params.declared):
            return True
        if name.startswith(SCOPE):
            hint = did_you_mean(param, self.params.declared) or "declare it under params"
            self._add("OML019", pointer, offset, name=param[:60], hint=hint)
        else:
            hint = "use ${params.NAME}, ${run.id} or ${run.started_at}; environment variables belong into connections"
            last = name.rpartition(".")[2].strip()
            fix: Fix = ()
            text = self.document.value(pointer)
            if last in self.params.declared and isinstance(text, str):
                fix = put(pointer, text.replace(f"${{{name}}}", f"${{{SCOPE}{last}}}"))
            self._add("OML024", pointer, offset, placeholder=f"${{{name[:60]}}}", hint=hint, fix=fix)
        return False

    def _is_half_written(self, text: str, pointer: str) -> bool:
        """Tell whether SQL has a malformed parameter: not closed, or in another tool's syntax."""
        for match in _HALF.finditer(text):
            param = match[1] or match[2]
            if param in self.params.declared and "--" not in text[: match.start()].rpartition("\n")[2]:
                good = f"${{{SCOPE}{param}}}"
                written, value = match[0].rstrip(), self.document.value(pointer)
                fix = put(pointer, value.replace(written, good)) if isinstance(value, str) else ()
                self._add("OML024", pointer, match.start(), placeholder=written, hint=f"write '{good}'", fix=fix)
                return True
        return False

    def _add(
        self,
        code: str,
        pointer: str,
        offset: int = 0,
        *,
        hint: str | None = None,
        fix: Fix = (),
        **params: object,
    ) -> None:
        at = self.document.inside(pointer, offset) if offset else self.document.where(pointer)
        self.problems.append(diagnostic(code, at=at, hint=hint, fix=fix, **params))
