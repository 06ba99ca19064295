"""The `[[source]]` tables: what to capture from besides `[smtp]`, one record a type. What they come to is the
daemon's business.

A new type is a record beside this file and a line in `SOURCES`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from archiver.config.sources.connecting import ComponentTable
from archiver.config.sources.mail import MailTable
from archiver.config.sources.posted import HttpTable, WebhookTable, XmppTable
from archiver.config.sources.servers import JanusTable, MatrixTable, SipTable
from archiver.config.values import Endpoint, Fault


class SourceTable(Protocol):
    """What every source's table has; its feed is called `type:name`."""

    @property
    def type(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def blocking(self) -> bool: ...
    @property
    def endpoints(self) -> tuple[tuple[str, Endpoint], ...]:
        """Where it listens, by key."""
        ...

    def faults(self) -> Iterator[Fault]:
        """What is wrong with it as a whole: key, value and why."""
        ...


SOURCES: dict[str, type] = {
    "http": HttpTable,
    "janus": JanusTable,
    "matrix": MatrixTable,
    "sip": SipTable,
    "smtp": MailTable,
    "webhook": WebhookTable,
    "xmpp": XmppTable,
    "xmpp-component": ComponentTable,
}
"""Every type of source there is, and the record of its table."""


def coherent(tables: Sequence[SourceTable]) -> Iterator[Fault]:
    """What is wrong with each source, and with all of them together."""
    names: set[tuple[str, str]] = set()
    for number, table in enumerate(tables, 1):
        if (table.type, table.name) in names:
            yield f"[{number}].name", table.name, f"is another {table.type} source's name already"
        names.add((table.type, table.name))
        yield from ((f"[{number}].{key}", value, why) for key, value, why in table.faults())
