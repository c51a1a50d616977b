"""Everything that a conversation does outside of itself: the verbs of a world, and the shapes of what they return.

The agent is a function of what its world returns, so a world that returns what was recorded leads to the same
conversation. All results but those of `ask` are JSON values; nothing here knows a clock.

`names`  {"connections": ["@sqlite.shop"…], "writers": [{"component", "ending", "modes": […], "connections": […]}…],
          "sources": [{"target": "@sqlite.shop" | "data/*", "connection": reference | null, "recalled": bool,
                       "tables": [TABLE…]}…],
          "silent": {target: DIAGNOSTIC}, "today": ISO 8601, "conventions": text | null,
          "components": [of these sources and writers, as `osiris prompts context` has them…],
          "earlier": [{"name", "reads": [label…], "writes": [label…]}…]}
`look`   {"tables": {relation id: TABLE}, "recalled": number of profiles that were known, "silent": {…}}
`check`  {"ok": bool, "oml": text, "diagnostics": [DIAGNOSTIC…]}, and if it is good also "name", "fingerprint", "short",
         "steps", "plan", "sources", as `osiris compile --json` has them, and "deciding": {id of a step that reads:
         [its columns that decide which rows are written…]}, "multiplies": [what joins by which several rows match one
         would do, or may…]}
`save`   {"file": "output/x.yaml", "digest": SHA-256, "state": "saved" | "unchanged" | "replaced", "fingerprint",
          "manifest": path, "diagnostics": […]}
`run`    {"session", "status", "run_key", "steps", "outputs", "ok": bool, "diagnostics": […], "answer": the package's}

TABLE is a table as `osiris discover --json` has it (name, rows, comment, columns, primary_key, foreign_keys, step,
profile, …), DIAGNOSTIC a `Diagnostic.to_json`. A verb that fails raises `OsirisError`, which is not recorded, so that
it is tried again when the conversation is taken up: but `check` and `run` return what is wrong with a text or a run.

Kinds of `tell`, each with its fields:

    state_transition        from_state, to_state
    user_message            text, about (key of the question that was answered, or None)
    assistant_response      text; about, choices where it is a question
    discovery_start         tables (ids whose columns and profiles are wanted; none while names are asked for)
    discovery_done          tables (number), recalled (number), silent ({target: DIAGNOSTIC})
    llm_request_start       purpose
    llm_response_complete   purpose, model, input_tokens, output_tokens, requests, cost
    oml_synthesis_complete  number (of the draft, from 1), oml
    validation              number, ok, diagnostics
    plan                    number, check (as above), tables (ids), assumptions (texts), changes (lines of the read-back
                            that differ from those of the plan before): shown before it is accepted
    saved                   as `save` returns it
    run_result              as `run` returns it
"""

from __future__ import annotations

ACCEPT = "accept"
"""Key of the question that accepts a plan: the only one that `--yes` answers."""


class Waiting(Exception):
    """There is nobody to answer: the command ends, and the conversation waits with its question."""
