"""The steps of the GitHub Action (`action.yml`): check pipelines, comment their plans, run them on a protected branch.

It needs nothing but the standard library. All inputs are environment variables. Names and texts of a pull request are
data: they are arguments of a process, values of JSON, and lines of a code block that they cannot end.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

Document = dict[str, Any]

MARK = "<!-- osiris:{} -->"
LONGEST = 60_000
"""Characters of a comment; GitHub accepts 65,536."""
STARTED_BY = ("push", "schedule", "workflow_dispatch")
"""The events that run pipelines: what runs is on the branch already."""


def env(name: str, default: str = "") -> str:
    """Return an environment variable, or the default if it is not set or empty."""
    return os.environ.get(name) or default


def saved() -> Path:
    """Return the file in which a step leaves the comment for the next one."""
    return Path(env("RUNNER_TEMP")) / "osiris-comment.json"


def osiris(*words: str) -> tuple[int, Document]:
    """Run a command, and return its exit code and JSON; no token of the job is in its environment."""
    command = env("COMMAND", str(Path(env("RUNNER_TEMP")) / "osiris/bin/osiris"))
    kept = {
        name: value for name, value in os.environ.items() if not re.match("ACTIONS_|INPUT_|GITHUB_TOKEN|TOKEN", name)
    }
    full = [command, *words, "--json", "--project", env("PROJECT", ".")]
    done = subprocess.run(full, env=kept, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False)
    return done.returncode, json.loads(done.stdout or "{}")


def pipelines() -> list[str]:
    """Return the files that match, as paths in the project; exits with 1 if nothing does."""
    project = Path(env("PROJECT", "."))
    patterns = [line.strip() for line in env("FILES").splitlines() if line.strip()]
    paths = {path.relative_to(project).as_posix() for each in patterns for path in project.glob(each) if path.is_file()}
    if not paths:
        sys.exit("no pipeline matches the input 'files'")
    return [f"./{path}" if path.startswith("-") else path for path in sorted(paths)]


def visible(text: object) -> str:
    """Return a text as one line without invisible characters."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in str(text))


def say(lines: list[str]) -> None:
    """Print lines to the job's log, where none of them is a command to the runner."""
    end = secrets.token_hex(16)
    print(f"::stop-commands::{end}", *lines, f"::{end}::", sep="\n", flush=True)


def problems(document: Document) -> list[str]:
    """Return the lines of errors and warnings."""
    lines = []
    for each in document.get("diagnostics", ()):
        if each["severity"] != "note":
            place = ":".join(str(each[key]) for key in ("file", "line", "column") if each[key] is not None)
            lines.append(visible(" ".join(filter(None, (place, each["code"], each["message"])))))
            lines += [visible(f"  hint: {each['hint']}")] if each["hint"] else []
    return lines


def row_of(step: Document) -> list[str]:
    """Return the cells of a step: its id, its component, what it reads, and what it gives."""
    columns = ", ".join(f"{column['name']} {column['type']}" for column in step["columns"])
    writes, label = step["mode"] == "write", step["label"] or ""
    reads = ", ".join(step["inputs"]) or ("" if writes else label)
    return [visible(cell) for cell in (step["id"], step["component"], reads, f"-> {label}" if writes else columns)]


def plan_of(document: Document) -> list[str]:
    """Return the lines of a plan: its steps as a table, then what happens to each target."""
    plan = (document.get("data") or {}).get("plan") or {}
    rows = [row_of(step) for step in plan.get("steps", ())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return lines + [visible(f"{each['step']} {each['action']} {each['target']}") for each in plan.get("targets", ())]


def checked(file: str) -> tuple[int, list[str]]:
    """Validate and compile a pipeline, and return the exit code and what to show."""
    code, document = osiris("validate", file)
    if code == 0:
        code, document = osiris("compile", "--check", file)
    data = document.get("data") or {}
    change = "would change" if data.get("changed") else "is up to date"
    head = f"plan {data.get('short')} {change}" if code == 0 else "rejected"
    return code, [visible(f"{file}: {head}"), *problems(document), *plan_of(document)]


def block(lines: list[str]) -> str:
    """Return lines as a Markdown code block, cut to the size of a comment."""
    text = "\n".join(lines)
    cut = "\n… cut: the job's log has all of it" if len(text) > LONGEST else ""
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall("`+", text))])
    return f"{fence}text\n{text[:LONGEST]}{cut}\n{fence}\n"


def check() -> int:
    """Check all pipelines; leaves the comment for the next step and the job's summary."""
    codes, lines = [], []
    for file in pipelines():
        code, shown = checked(file)
        codes.append(code)
        lines += [*shown, ""]
    say(lines)
    mark = MARK.format(hashlib.sha256(f"{env('PROJECT')}\0{env('FILES')}".encode()).hexdigest()[:12])
    body = f"{mark}\n### Osiris\n\n{block(lines[:-1])}"
    saved().write_text(json.dumps({"body": body}), encoding="utf-8")
    if summary := env("GITHUB_STEP_SUMMARY"):
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(body)
    return max(codes)


def ask(method: str, path: str, body: Document | None = None) -> Any:  # noqa: ANN401  as GitHub answers
    """Return GitHub's answer; raises HTTPError and URLError."""
    headers = {"Authorization": f"Bearer {env('TOKEN')}", "Accept": "application/vnd.github+json"}
    data = None if body is None else json.dumps(body).encode()
    url = f"{env('GITHUB_API_URL', 'https://api.github.com')}/repos/{env('GITHUB_REPOSITORY')}/{path}"
    with urlopen(Request(url, data, headers, method=method), timeout=30) as answer:
        return json.load(answer)


def earlier(number: int, mark: str) -> int | None:
    """Return the id of the comment that an earlier run of this action made; nobody else's has its beginning."""
    for page in range(1, 31):
        comments = ask("GET", f"issues/{number}/comments?per_page=100&page={page}")
        for each in comments:
            if each["user"]["type"] == "Bot" and each["body"].startswith(mark):
                return int(each["id"])
        if len(comments) < 100:
            break
    return None


def comment() -> int:
    """Comment the plans on the pull request, or change the comment of before; a read-only token is only told."""
    if not saved().exists():
        return 0
    body = json.loads(saved().read_text(encoding="utf-8"))
    number = int(json.loads(Path(env("GITHUB_EVENT_PATH")).read_text(encoding="utf-8"))["pull_request"]["number"])
    try:
        known = earlier(number, body["body"].partition("\n")[0])
        ask(*(("PATCH", f"issues/comments/{known}") if known else ("POST", f"issues/{number}/comments")), body)
    except HTTPError as error:
        hint = " (the token of a fork is read-only)" if error.code in (401, 403, 404) else ""
        print(f"::notice::The plans are in the job's summary: commenting failed with status {error.code}{hint}")
    except (URLError, TimeoutError):
        print("::notice::The plans are in the job's summary: GitHub's API was not reached")
    return 0


def run() -> int:
    """Run all pipelines; exits with 1 where anybody's change could be what runs."""
    if env("GITHUB_REF_PROTECTED") != "true" or env("GITHUB_EVENT_NAME") not in STARTED_BY:
        sys.exit(f"pipelines run only on a protected branch, started by {', '.join(STARTED_BY)}")
    for file in pipelines():
        code, document = osiris("run", file, "--run-id", f"github-{env('GITHUB_RUN_ID')}")
        status = (document.get("data") or {}).get("status", "rejected")
        say([visible(f"{file}: {status}"), *problems(document)])
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit({"check": check, "comment": comment, "run": run}[sys.argv[1]]())
