"""Files with chatMessages of Microsoft Teams: an administrator's export, answers of Graph, single messages.

The same chat stands in each member's file: one message read twice is one event. People are known by mail address where
usersList.json is there, else by id.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Struct, structs

from archiver.events import Captured, Participant, Place, Rejected
from archiver.exceptions import EventError
from archiver.importers import jsonfile
from archiver.importers.document import Document
from archiver.importers.protocol import Options, Reading
from archiver.importers.teams.message import ChatMessage, Teller, normal
from archiver.importers.telling import told

_LIST = "usersList.json"
_USERS = tuple(f"{where}{_LIST}" for where in ("", "../", "../users/", "../../users/"))


class User(Struct):
    id: str
    displayName: str | None = None
    mail: str | None = None
    userPrincipalName: str | None = None


class Teams:
    """`--channel` gives the id of the chat for messages that don't say it (answers about one chat)."""

    name = "teams"
    title = "Microsoft Teams messages (administrator's export, Graph)"
    partial_presence = True
    ordered = False
    marks: frozenset[str] = frozenset()

    def sniff(self, document: Document, head: bytes) -> bool:
        head = head.lstrip(b"\xef\xbb\xbf \t\r\n")
        return head[:1] in (b"[", b"{") and b'"createddatetime"' in (lowered := head.lower()) and b'"body"' in lowered

    def read(self, document: Document, options: Options, reading: Reading) -> Iterator[Captured | Rejected]:
        if document.name == _LIST:
            return  # whoever names the format has every file of a folder read: this one tells who people are
        source = options.source or f"teams:{options.network or 'teams'}"
        teller = Teller(source, _people(document), reading.nobody)
        number = 0
        try:
            for element in jsonfile.items(document, ("item", "value.item"), whole_if="id"):
                number += 1
                position = f"{document.place}: message {number}"
                yield from _message(normal(element), teller, options, reading, position, source)
        except jsonfile.Broken as fault:
            yield document.unreadable(fault, source)


def _people(document: Document) -> dict[str, Participant]:
    for name in _USERS:
        listed = document.beside(name)
        if listed is not None:
            return dict(_users(listed))
    return {}


def _users(listed: Document) -> Iterator[tuple[str, Participant]]:
    try:
        for element in jsonfile.items(listed, ("item", "value.item")):
            user = jsonfile.record(normal(element), User)
            address = user.mail or user.userPrincipalName or user.id
            yield user.id, Participant(address=address, name=user.displayName)
    except jsonfile.Broken:
        return  # people are known by their ids then


def _message(
    element: Any, teller: Teller, options: Options, reading: Reading, position: str, source: str
) -> Iterator[Captured | Rejected]:
    original = jsonfile.original(element)
    try:
        message = jsonfile.record(element, ChatMessage)
        place = teller.place(message)
        if place is None and options.channel is None:
            raise EventError("nothing says which chat or channel it stood in: say it with --channel")
    except (jsonfile.Broken, EventError) as fault:
        yield Rejected(original, position, str(fault), source)
        return
    if place is None:
        place = Place(id=options.channel or "", kind="group", history="members")
    events = list(teller.events(message, place))
    if not events:
        kind = message.eventDetail.kind if message.eventDetail is not None else None
        reading.ignored[f"{kind or message.messageType} of Teams"] += 1
    ordered = [structs.replace(each, sequence=f"{number:03d}") for number, each in enumerate(events)]
    yield from told(ordered if len(events) > 1 else events, reading, original, position)
