"""The conferences that go on, in a file: a restart in the midst of one knows it again, and who is in."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import msgspec

from archiver.exceptions import EnvironmentFault
from archiver.sources.sip.conference import Conference

_SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS conference (place TEXT PRIMARY KEY, state BLOB NOT NULL) STRICT;
"""


class Remembered:
    """In `path`, or without one for as long as it lives. Raises `EnvironmentFault` where the file can't be used."""

    def __init__(self, path: Path | None = None) -> None:
        try:
            if path is not None:
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path or ":memory:", check_same_thread=False, timeout=1)
            self._connection.executescript(_SCHEMA)
            self.kept = tuple(self._read())
        except (OSError, sqlite3.Error, msgspec.MsgspecError) as fault:
            hint = "free or permit it; if it is damaged, move it away: only who is in conferences just now is lost"
            raise EnvironmentFault(f"{path} can't be used: {fault}", hint=hint) from fault

    def keep(self, changes: Mapping[str, Conference | None]) -> None:
        """None for what is over. Raises `sqlite3.Error` where it can't now."""
        with self._connection as connection:
            for place, each in changes.items():
                if each is None:
                    connection.execute("DELETE FROM conference WHERE place = ?", (place,))
                else:
                    state = msgspec.json.encode(each)
                    connection.execute("REPLACE INTO conference (place, state) VALUES (?, ?)", (place, state))

    def close(self) -> None:
        self._connection.close()

    def _read(self) -> Iterator[Conference]:
        with closing(self._connection.execute("SELECT state FROM conference ORDER BY rowid")) as rows:
            for (state,) in rows:
                yield msgspec.json.decode(state, type=Conference)
