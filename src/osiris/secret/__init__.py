"""Secrets: a type that does not show its value, a scrubber for every way out, and a sense for literals in a text."""

from __future__ import annotations

from osiris.secret.literals import conceal, find_literal_secrets, is_secret_name, literal_secret_kind, sounds_secret
from osiris.secret.redact_diagnostic import concealed
from osiris.secret.scrubber import Scrubber
from osiris.secret.value import Secret
from osiris.secret.values import masked_problems, unvalued

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
