"""Secrets: a type that hides its value, a scrubber for all output, and detection of literal secrets in texts."""

from __future__ import annotations

from typing import NoReturn

from osiris.secret.literals import find_literal_secrets, is_secret_name, literal_secret_kind, redact, sounds_secret
from osiris.secret.redact_diagnostic import mask_values, masked_problems, redacted
from osiris.secret.scrubber import Scrubber

__all__ = [
    "Scrubber",
    "Secret",
    "find_literal_secrets",
    "is_secret_name",
    "literal_secret_kind",
    "mask_values",
    "masked_problems",
    "redact",
    "redacted",
    "sounds_secret",
]


_SHOWN = "Secret(***)"


class Secret:
    """A value that must not be shown: it cannot be converted to text, compared, hashed, pickled or written as JSON.

    Its repr is `Secret(***)`, so objects that hold one can be shown; all other uses of the value raise TypeError. Only
    drivers, and the pipe to their process, call `reveal()`.
    """

    __slots__ = ("__value",)

    def __init__(self, value: str) -> None:
        self.__value = value

    def reveal(self) -> str:
        """Return the value; pass it on as a keyword argument, never put it into a text."""
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
