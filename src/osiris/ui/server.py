"""The server: listens on 127.0.0.1 until it is stopped."""

from __future__ import annotations

import errno
import socket
from contextlib import closing, suppress
from datetime import UTC, datetime
from threading import Thread
from typing import TYPE_CHECKING

import uvicorn
from starlette.applications import Starlette

from osiris.errors import OsirisError, fail
from osiris.ui import catalogue, compare, discover, home, runs
from osiris.ui.access import Access, Guard
from osiris.ui.app import App
from osiris.ui.problems import show_failure, show_missing, show_problems

if TYPE_CHECKING:
    from collections.abc import Callable

    from osiris.ui.app import Event
    from osiris.ui.settings import Settings

HOST = "127.0.0.1"
PAGES = (home.PAGE, runs.PAGE, catalogue.PAGE, compare.PAGE, discover.PAGE)
"""The pages, in the order of the navigation."""

_PATIENCE = 2
"""Seconds that answers under way have to end."""


def serve(settings: Settings, port: int, report: Callable[[Event], None]) -> None:
    """Serve a project until SIGINT or SIGTERM, which is then raised again.

    `report` gets what happens: `listening` with the address to open, and `fault` of a page. `port` 0 is any free one;
    fails with WEB002 if it cannot be had.
    """
    with closing(_listen(port)) as listener:
        access = Access(listener.getsockname()[1], settings.allow_run)
        app = App(settings, access, PAGES, report)
        config = uvicorn.Config(
            Guard(application(app), access),
            http="h11",
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=_PATIENCE,
        )
        server = uvicorn.Server(config)
        app.is_stopping = lambda: server.should_exit
        Thread(target=_read_ahead, args=(app,), daemon=True).start()
        report({"event": "listening", "address": access.address})
        server.run([listener])


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen()
    except OSError as error:
        listener.close()
        reason = "in use" if error.errno == errno.EADDRINUSE else (error.strerror or type(error).__name__).lower()
        fail("WEB002", port=port, reason=reason)
    return listener


def application(app: App) -> Starlette:
    """Return the pages of an app as an application. It answers every request: `Guard` is what refuses some."""
    routes = [route for page in app.pages for route in page.routes]
    handlers = {OsirisError: show_problems, 404: show_missing, 500: show_failure}
    application = Starlette(routes=routes, exception_handlers=handlers)
    application.state.app = app
    return application


def _read_ahead(app: App) -> None:
    """Read runs and pipelines before somebody waits for them; a page says what is wrong with them."""
    with suppress(OsirisError, OSError):
        home.rows_of(app, datetime.now(UTC))
