"""Measure the page of a large run: the time to generate it, and to render it in Chromium."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
_SEEN = "new Promise((seen) => requestAnimationFrame(() => requestAnimationFrame(seen)))"


def large_session(root: Path) -> Path:
    """Write the session of a run of an hour, of 300 steps and 100,000 events; return its folder."""
    from tests.browser.sessions import long_run

    root.mkdir(parents=True, exist_ok=True)
    (root / "osiris.yaml").touch()
    return long_run(root)


def seconds_until_seen(page: Path, times: int) -> list[float]:
    """Return the seconds from requesting a page until it is drawn, each time in a new window."""
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, PROGRAMS)))
    seconds = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for _ in range(times):
            window = browser.new_page(viewport={"width": 1600, "height": 900})
            start = time.perf_counter()
            window.goto(page.absolute().as_uri())
            window.evaluate(_SEEN)
            seconds.append(time.perf_counter() - start)
            window.close()
        browser.close()
    return seconds
