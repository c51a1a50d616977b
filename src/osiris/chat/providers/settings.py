"""Settings of the model provider: from the command line, else from the project."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from osiris.config import PROVIDERS, RULES
from osiris.distribution import install_command
from osiris.errors import did_you_mean, fail
from osiris.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from osiris.api import Workspace
    from osiris.config import Config

_ALIASES = {"google": "gemini"}
_RENAMED = {"claude": "anthropic"}
_WITHOUT_A_MODEL = "run 'osiris new': it builds a pipeline from choices or flags, without a model"

_ADDRESSES = {
    "openai": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com",
    "gemini": "https://generativelanguage.googleapis.com",
}

_MODELS = {"openai": "gpt-5.6-terra", "anthropic": "claude-sonnet-5-5", "gemini": "gemini-3.8-flash"}
"""Default model of each service; a compatible server has its own."""

_NEEDED = {"openai": "openai", "compatible": "openai", "anthropic": "anthropic", "gemini": "google.genai"}


@dataclass(frozen=True, slots=True)
class Settings:
    """Provider settings; `timeout` is in seconds, `max_cost` in US dollars, None is no limit."""

    provider: str
    models: tuple[str, ...]
    address: str
    key: Secret | None
    timeout: float
    answers: str
    context_tokens: int
    requests_per_minute: int | None
    tokens_per_minute: int | None
    max_tokens: int
    max_cost: float | None


def provider_name(config: Config, chosen: str | None) -> str | None:
    """Return the chosen or configured provider, None without one; fails with LLM001, PRJ007 or PRJ010."""
    name = chosen or config.get("chat.provider")
    if name is None:
        return None
    if name == RULES:
        fail("PRJ010", what=f"--provider {name}" if chosen else f"chat.provider: {name}", instead=_WITHOUT_A_MODEL)
    if name in _RENAMED:
        fail("PRJ007", old=f"--provider {name}", new=f"--provider {_RENAMED[name]}")
    if name not in PROVIDERS:
        fail("LLM001", name=name, hint=did_you_mean(name, PROVIDERS))
    return _ALIASES.get(name, name)


def read_settings(workspace: Workspace, provider: str | None, model: str | None) -> Settings:
    """Return the settings; fails with CHT065 without a provider, LLM001 to LLM005, and LLM009."""
    config = workspace.config
    name = provider_name(config, provider) or fail("CHT065")
    if not _is_installed("pydantic_ai", _NEEDED[name]):
        fail("LLM002", provider=name, command=install_command("chat"))
    is_configured = name == _ALIASES.get(config.get("chat.provider"), config.get("chat.provider"))
    keys = ("model", "fallback_model", "base_url", "api_key")
    configured = {key: config.get(f"chat.{key}") if is_configured else None for key in keys}
    primary = model or configured["model"] or _MODELS.get(name)
    if not primary:
        fail("LLM004", provider=name)
    address = configured["base_url"] or _ADDRESSES.get(name)
    if address is None:
        fail("LLM005", provider=name)
    return Settings(
        provider=name,
        models=tuple(dict.fromkeys(filter(None, (primary, configured["fallback_model"])))),
        address=address.rstrip("/"),
        key=_key(workspace.environ, name, _variables(name, configured)),
        timeout=config.get("chat.timeout"),
        answers=config.get("chat.answers"),
        context_tokens=config.get("chat.context_tokens"),
        requests_per_minute=config.get("chat.requests_per_minute"),
        tokens_per_minute=config.get("chat.tokens_per_minute"),
        max_tokens=config.get("chat.max_tokens_per_conversation"),
        max_cost=config.get("chat.max_cost"),
    )


def _is_installed(*packages: str) -> bool:
    with suppress(ModuleNotFoundError):
        return all(find_spec(package) is not None for package in packages)
    return False


def _variables(provider: str, configured: Mapping[str, str | None]) -> tuple[str, ...]:
    """Return the variables that may hold the key: the configured one, else the usual ones if the address is too."""
    if configured["api_key"]:
        return (configured["api_key"],)
    return () if configured["base_url"] else PROVIDERS[provider]


def _key(environ: Mapping[str, str], provider: str, variables: tuple[str, ...]) -> Secret | None:
    name = next((variable for variable in variables if environ.get(variable)), None)
    if name is None and (variables or provider != "compatible"):
        fail("LLM003", provider=provider, variable=" or ".join(variables) or "chat.api_key")
    key = environ[name] if name else ""
    if not re.fullmatch(r"[!-~]*", key):
        fail("LLM009", variable=name)
    return Secret(key) if key else None
