"""What a server's module sends: one record a line, as docs/xmpp.md has it. Reads; knows no meaning."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from archiver.exceptions import EventError

Kind = Literal[
    "message",
    "room-message",
    "room-private",
    "room-invite",
    "room-join",
    "room-leave",
    "room-kick",
    "room-rename",
    "room-poll",
    "room-vote",
    "room-created",
    "room-destroyed",
    "archived",
]

_Name = Annotated[str, Meta(min_length=1, max_length=4096)]


class Person(Struct, frozen=True):
    """Somebody in a room: by their nick and real JID there; what they are called, and whose account the server says
    it is, where it says more than that."""

    nick: str | None = None
    jid: str | None = None
    name: str | None = None
    account: str | None = None

    def __bool__(self) -> bool:
        return bool(self.nick or self.jid or self.account)


class Record(Struct, frozen=True):
    """One thing that a server saw. `owner`, `room`, `jid` … are JIDs; a resource in them says nothing.

    `key` is the id under which the server's own archive has it, `id` the module's own, for what isn't in there.
    """

    id: _Name
    kind: Kind
    time: Annotated[datetime, Meta(tz=True)]
    host: _Name
    sequence: str | None = None
    key: _Name | None = None
    stanza: str | None = None
    owner: str | None = None
    room: str | None = None
    session: str | None = None
    nick: str | None = None
    jid: str | None = None
    name: str | None = None
    account: str | None = None
    public: bool = False
    to_nick: str | None = None
    to_jid: str | None = None
    to_name: str | None = None
    to_account: str | None = None
    new_nick: str | None = None
    by_nick: str | None = None
    by_jid: str | None = None
    by_name: str | None = None
    by_account: str | None = None
    reason: str | None = None
    occupants: tuple[Person, ...] | None = None
    poll: _Name | None = None
    question: str | None = None
    options: tuple[str, ...] | None = None
    choice: tuple[str | int, ...] | None = None

    @property
    def who(self) -> Person:
        return Person(self.nick, self.jid, self.name, self.account)

    @property
    def to(self) -> Person:
        return Person(self.to_nick, self.to_jid, self.to_name, self.to_account)

    @property
    def by(self) -> Person:
        return Person(self.by_nick, self.by_jid, self.by_name, self.by_account)


_read = msgspec.json.Decoder(Record).decode


def read(line: bytes) -> Record:
    """Raises `EventError`."""
    try:
        return _read(line)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as fault:
        raise EventError(f"no record of a module: {fault}") from fault
