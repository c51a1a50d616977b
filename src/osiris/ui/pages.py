"""The pages, in the order of the navigation. Another page is a module with a `PAGE`, and a line here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.ui import catalogue, compare, discover, home, runs

if TYPE_CHECKING:
    from osiris.ui.app import Page

PAGES: tuple[Page, ...] = (home.PAGE, runs.PAGE, catalogue.PAGE, compare.PAGE, discover.PAGE)
