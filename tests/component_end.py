"""The daemon's end of ejabberd's mod_service_log, in a test's own process."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from contracts.source import Spooled
from servers.xmpp import HOST, ROOMS, wait

from archiver.events import Captured, Event, Rejected
from archiver.sources.credentials import Secret
from archiver.sources.listening import Address
from archiver.sources.xmpp.component.source import ComponentSource
from archiver.sources.xmpp.remembering import Remembered

SECRET = "what-the-component-says-to-be-let-in"


class ComponentEnd:
    """A source that can go and come back, on what it remembers."""

    def __init__(self, directory: Path, port: int, **settings: Any) -> None:
        (directory / "component.secret").write_text(SECRET)
        self._directory, self._port = directory, port
        self._settings = {"hosts": (HOST,), "rooms": (ROOMS,), **settings}
        self.spooled = Spooled()
        self.source = self.made()

    def made(self) -> ComponentSource:
        return ComponentSource(
            "test",
            Address("127.0.0.1", self._port),
            f"archiver.{HOST}",
            Secret("server", file=str(self._directory / "component.secret")),
            memory=lambda: Remembered(self._directory / "memory.db"),
            kept=self._directory / "memory.db",
            **self._settings,
        )

    def start(self) -> None:
        self.source = self.made()
        self.source.start(self.spooled)

    @property
    def events(self) -> list[Event]:
        assert not [each for each in self.spooled.records if isinstance(each, Rejected)]
        events = [each.event for each in self.spooled.records if isinstance(each, Captured)]
        return sorted(events, key=lambda each: (each.time, each.sequence or ""))

    def until(self, count: int, told: Callable[[], str] = lambda: "") -> list[Event]:
        """Once there are so many, and a while after that."""
        wait(lambda: len(self.events) >= count, lambda: f"{[short(each) for each in self.events]}\n{told()}")
        time.sleep(1.5)
        return self.events


def short(event: Event) -> tuple[str, str | None, str | None]:
    text = event.data.message.text if event.data.message else event.data.reason
    return event.type.partition(".")[2], event.data.actor.address if event.data.actor else None, text
