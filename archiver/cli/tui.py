"""`archiver inspect --tui`: mailboxes, conversations and transcripts to look through by keyboard."""

from __future__ import annotations

import sys
from importlib.util import find_spec

from archiver import inspection
from archiver.assembly import store_of
from archiver.cli.app import App
from archiver.cli.searching import Look
from archiver.exceptions import EnvironmentFault, UsageError

_PATIENCE = 0.5
"""Seconds that a search waits for the index at a time: whoever types looks on."""


def browse(app: App, mailbox: str | None) -> None:
    """Until it is left."""
    _require()
    from archiver.tui.app import Browser
    from archiver.tui.library import Library

    store = store_of(app.config(), app.data)
    start = inspection.mailbox_of(store, mailbox) if mailbox else ""
    if start and not list(store.folders(start)):
        raise UsageError(f"there is no mailbox {start}", hint="`archiver inspect` lists those there are")
    app.log(app.config(), quiet=True)
    Browser(Library(store, Look(app, _PATIENCE)), start=start, nothing=f"Nothing is filed in {app.data} yet.").run()


def _require() -> None:
    if find_spec("textual") is None:
        raise EnvironmentFault(
            "--tui needs textual, which isn't installed", hint="pip install 'conversation-archiver[tui]'"
        )
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        raise UsageError(
            "--tui needs a terminal to show itself on, and this is none",
            hint="without --tui, `archiver inspect` lists and shows the same to a pipe or file",
        )
