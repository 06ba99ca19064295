"""Files -> events: one module a format behind one protocol, and the list of them.

A new format is one module and one line here; tests/contracts/importer.py is the suite it joins.
"""

from __future__ import annotations

from pathlib import Path

from archiver.events import open_events
from archiver.exceptions import UsageError
from archiver.importers.bigbluebutton import BigBlueButton
from archiver.importers.irc import Irc
from archiver.importers.items import Items
from archiver.importers.ndjson import Events
from archiver.importers.protocol import Importer, Options

__all__ = ["IMPORTERS", "Importer", "Options", "guess", "importer"]

IMPORTERS: dict[str, Importer] = {each.name: each for each in (Items(), Events(), Irc(), BigBlueButton())}

HEAD = 4096


def importer(name: str) -> Importer:
    try:
        return IMPORTERS[name]
    except KeyError:
        known = ", ".join(sorted(IMPORTERS))
        raise UsageError(f"no such format: {name}", hint=f"known formats: {known}") from None


def guess(path: Path) -> Importer | None:
    """The first importer that takes a file for its own."""
    with open_events(path) as stream:
        head = stream.read(HEAD)
    return next((each for each in IMPORTERS.values() if each.sniff(path, head)), None)
