"""Secrets: a type that does not show its value, a scrubber for every way out, and a sense for literals in a text."""

from __future__ import annotations

from typing import NoReturn

from osiris.secret.literals import conceal, find_literal_secrets, is_secret_name, literal_secret_kind, sounds_secret
from osiris.secret.redact_diagnostic import concealed, masked_problems, unvalued
from osiris.secret.scrubber import Scrubber

__all__ = [
    "Scrubber",
    "Secret",
    "conceal",
    "concealed",
    "find_literal_secrets",
    "is_secret_name",
    "literal_secret_kind",
    "masked_problems",
    "sounds_secret",
    "unvalued",
]


_SHOWN = "Secret(***)"


class Secret:
    """A value that must not be shown: it has no text, cannot be compared, hashed, pickled or written as JSON.

    `repr` gives `Secret(***)`, so that what holds one can be shown. Everything else that would need the value raises
    TypeError; `reveal()` gives it to the driver that uses it, and to the pipe that leads there.
    """

    __slots__ = ("__value",)

    def __init__(self, value: str) -> None:
        self.__value = value

    def reveal(self) -> str:
        """Return the value; to be passed on as a keyword, never put into a text."""
        return self.__value

    def __repr__(self) -> str:
        return _SHOWN

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, _memo: object) -> Secret:
        return self

    def _refuse(self, *_: object) -> NoReturn:
        raise TypeError("a secret has no text, no order and no identity; reveal() it where it is used")

    __str__ = __format__ = __bytes__ = __reduce_ex__ = __reduce__ = __getstate__ = _refuse
    __eq__ = __ne__ = __hash__ = __lt__ = __le__ = __gt__ = __ge__ = __add__ = __radd__ = _refuse
    __iter__ = __len__ = __getitem__ = __contains__ = __mod__ = __rmod__ = __fspath__ = _refuse
