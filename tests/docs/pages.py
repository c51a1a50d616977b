"""README and the pages of docs as tests use them: blocks, files, and a script that follows a page."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "guide"
AUTHORS = ROOT / "docs" / "authors"
TESTED_ELSEWHERE = {
    "performance.md": "its commands take hours",
    "from-osiris-pipeline.md": "tests/docs/test_moving.py tries each of its lines",
    "ui.md": "its server runs until it is stopped; tests/e2e/test_ui.py and tests/browser/test_ui.py use it",
}
"""Pages of the guide that are not followed here, and why."""

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (\S+\.(?:py|toml|yaml))\n")
FAILS = re.compile(r"^(osiris .*?) +#.*exit code (\d+)$", re.MULTILINE)
MARK = re.compile(r"^@block (\d+)\n", re.MULTILINE)
SESSION = re.compile(r"\d{8}-\d{6}-\d{3}(?=-)")
TOOK = re.compile(r"(?<= complete )(\d+ \d+ )[\d,]+$")


@dataclass(frozen=True)
class Page:
    """A page of Markdown and its code blocks."""

    path: Path

    @cached_property
    def blocks(self):
        return BLOCK.findall(self.path.read_text(encoding="utf-8"))

    @cached_property
    def files(self):
        """Return the content of each file that the page shows, by path: of each block whose first line is a path."""
        shown = filter(None, (FILE.match(text) for _, text in self.blocks))
        return {match[1]: match.string[match.end() :] for match in shown}

    @property
    def script(self):
        """Return what a reader types: each file, and the commands of each sh block after a mark.

        A command whose comment ends with `exit code N` must exit with N, every other one with 0. All python blocks that
        are not files are one program, which runs at the end.
        """
        parts = []
        program = "".join(
            f"print('\\n@block {n}')\n{text}"
            for n, (kind, text) in enumerate(self.blocks)
            if kind == "python" and not FILE.match(text)
        )
        for number, (language, text) in enumerate(self.blocks):
            if file := FILE.match(text):
                parts.append(f"cat > {file[1]} <<'END_OF_BLOCK'\n{text[file.end() :]}END_OF_BLOCK\n")
            if language == "sh":
                parts.append(f"echo; echo @block {number}\n")
                parts.append(FAILS.sub(r'code=0; \1 || code=$?; test "$code" = \2', text))
        parts += [f"python - <<'END_OF_BLOCK'\n{program}END_OF_BLOCK\n"] if program else []
        return "".join(parts)

    def not_printed(self, output):
        """Return the lines of `text` blocks that the commands before them did not print in this order."""
        _, *pieces = MARK.split(output)
        printed = dict(zip(map(int, pieces[::2]), pieces[1::2], strict=True))
        missing, lines = [], iter(())
        for number, (language, text) in enumerate(self.blocks):
            if language in ("sh", "python"):
                lines = map(_comparable, printed.get(number, "").splitlines())
            if language == "text":
                lines = list(lines)
                rest = iter(lines)
                missing += [line for line in text.splitlines() if _comparable(line) not in rest]
        return missing


def _comparable(line):
    """Return a line without what differs between runs: the time in a session's id, and the duration of a step."""
    return TOOK.sub(r"\1", SESSION.sub("TIME", " ".join(line.split())))


README = Page(ROOT / "README.md")
START = Page(ROOT / "docs" / "start.md")
PAGES = [README, START, *(Page(path) for path in sorted(GUIDE.glob("*.md")) if path.name not in TESTED_ELSEWHERE)]
TUTORIALS = [Page(path) for path in sorted(AUTHORS.glob("*.md"))]
"""Pages for authors of packages, which install them."""
