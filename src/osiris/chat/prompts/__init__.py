"""What is said to a model: texts with named placeholders, which a person may change, and what is put into them."""

from osiris.chat.prompts.compose import Spoken, component_document, compose, context_document
from osiris.chat.prompts.texts import FOLDER, Prompts, dump_prompts, own_prompts, read_prompts

__all__ = [
    "FOLDER",
    "Prompts",
    "Spoken",
    "component_document",
    "compose",
    "context_document",
    "dump_prompts",
    "own_prompts",
    "read_prompts",
]
