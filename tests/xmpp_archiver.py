"""The daemon's end of a server's module, in a test's own process."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from contracts.source import Spooled
from servers.xmpp import XmppServer, wait

from archiver.events import Captured, Event, Rejected
from archiver.sources.credentials import digest_of
from archiver.sources.http.source import Token
from archiver.sources.listening import Address
from archiver.sources.xmpp.remembering import Remembered
from archiver.sources.xmpp.source import XmppSource

TOKEN = "a-secret-that-nobody-guesses"


class Archiver:
    """The daemon's end: a source on one port that can go and come back."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        self._settings = settings
        self.spooled = Spooled()
        self._memory = directory / "memory.db"
        self._source: XmppSource | None = None
        self.port = 0

    def start(self) -> None:
        token = Token("server", sources=("xmpp:localhost", "xmpp:*.localhost"), sha256=digest_of(TOKEN).hex())
        memory = lambda: Remembered(self._memory)  # noqa: E731
        address = Address(port=self.port)
        self._source = XmppSource(
            "test", address, (token,), memory=memory, conferences=("conference.*",), **self._settings
        )
        self._source.start(self.spooled)
        self.port = self._source.address.port

    def stop(self) -> None:
        assert self._source is not None
        self._source.stop()

    @property
    def events(self) -> list[Event]:
        assert not [each for each in self.spooled.records if isinstance(each, Rejected)]
        return [each.event for each in self.spooled.records if isinstance(each, Captured)]

    @property
    def once(self) -> dict[tuple[str, str], Event]:
        """What the spool would hold: what comes again is what was there."""
        found: dict[tuple[str, str], Event] = {}
        for each in self.events:
            known = found.setdefault((each.source, each.id), each)
            assert (known.time, known.type, known.data.message) == (each.time, each.type, each.data.message)
        return found

    def until(self, count: int, server: XmppServer) -> list[Event]:
        wait(lambda: len(self.once) >= count, lambda: f"{self.told()}\n{server.logged()}")
        return sorted(self.once.values(), key=lambda each: (each.time, each.sequence or ""))

    def texts_after(self, count: int, server: XmppServer) -> list[str]:
        """Of what was captured once there is so much of it, and a while after that."""
        self.until(count, server)
        time.sleep(0.5)
        return self.texts()

    def told(self) -> list[tuple[str, str | None]]:
        return [(each.type, each.data.message.text if each.data.message else None) for each in self.events]

    def texts(self) -> list[str]:
        return sorted(each.data.message.text or "" for each in self.once.values() if each.data.message)
