"""Models behind services. Only this folder knows the libraries of services."""

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

    `spent` is what the conversation has used before, of which its budget is short. Fails with CHT065, LLM001 to
    LLM009, PRJ007 and PRJ010 if it cannot be asked, and with LLM030 to LLM032 if the prompts of the project are wrong.
    """
    from osiris.chat.providers.hosted import Hosted

    settings = read_settings(workspace, options.provider, options.model)
    prompts = read_prompts(workspace.root / FOLDER, FOLDER) if options.pro_mode else own_prompts()
    return Hosted(settings, prompts, spent)
