"""Hosted models. Only this folder uses the libraries of providers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.chat.prompts.compose import FOLDER, own_prompts, read_prompts
from osiris.chat.provider_api import Usage
from osiris.chat.providers.settings import read_settings

if TYPE_CHECKING:
    from osiris.api import Workspace
    from osiris.chat.provider_api import Model, Options

_NOTHING = Usage()


def open_model(workspace: Workspace, options: Options, spent: Usage = _NOTHING) -> Model:
    """Return the model; nothing is sent yet.

    `spent` is what the conversation has used so far, deducted from its budget. Fails with CHT065, LLM001 to LLM009,
    PRJ007 and PRJ010 if the model cannot be used, and with LLM030 to LLM032 if the project's prompts are invalid.
    """
    settings = read_settings(workspace, options.provider, options.model)
    from osiris.chat.providers.hosted import Hosted  # the settings are refused if its libraries are not installed

    prompts = read_prompts(workspace.root / FOLDER, FOLDER) if options.pro_mode else own_prompts()
    return Hosted(settings, prompts, spent)
