"""A Slack export: its lists of channels and people, then each channel's days in order.

Public channels stand in channels.json, private ones in groups.json, direct ones in dms.json and mpims.json; a folder is
named for the channel, a direct one's for its id. Who is a member now and isn't seen joining was there from the start.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TypeVar

import msgspec
from msgspec import Raw, Struct, structs

from archiver.events import Attachment, Captured, Participant, Place, Rejected
from archiver.exceptions import EventError
from archiver.importers import jsonfile
from archiver.importers.document import Document
from archiver.importers.media import Media, media
from archiver.importers.protocol import Options, Reading
from archiver.importers.slack import message as lines
from archiver.importers.slack.message import File, Line, Room
from archiver.importers.telling import told

_LISTS = ("channels.json", "groups.json", "mpims.json", "dms.json")
_DAY = re.compile(r"\d{4}-\d\d-\d\d\.json")
_JOINING = re.compile(rb'"subtype"\s*:\s*"(?:channel|group)_(?:join|leave)"')
_GONE = frozenset(("tombstone", "hidden_by_limit"))
_read_line = msgspec.json.Decoder(Line).decode
T = TypeVar("T")


class Profile(Struct):
    display_name: str | None = None
    real_name: str | None = None
    email: str | None = None


class User(Struct):
    id: str
    name: str | None = None
    real_name: str | None = None
    team_id: str | None = None
    is_bot: bool = False
    profile: Profile | None = None

    @property
    def called(self) -> str | None:
        profile = self.profile or Profile()
        return profile.display_name or profile.real_name or self.real_name or self.name


class Channel(Struct):
    id: str
    name: str | None = None
    members: list[str] = []


KEPT = re.compile(r"__uploads/.+")


class Slack:
    name = "slack"
    title = "Slack exports (zip or folder)"
    partial_presence = False
    ordered = False
    marks = frozenset(("users.json",))

    def kept(self, document: Document) -> re.Pattern[str]:
        return KEPT

    def sniff(self, document: Document, head: bytes) -> bool:
        if document.name not in self.marks or not head.lstrip().startswith(b"["):
            return False
        return any(document.beside(name) is not None for name in _LISTS)

    def read(self, document: Document, options: Options, reading: Reading) -> Iterator[Captured | Rejected]:
        faults: list[Rejected] = []
        users = _list(document, User, faults)
        workspace = _Workspace(document, users, options, reading)
        for name in _LISTS:
            listed = document.beside(name)
            for channel in _list(listed, Channel, faults) if listed is not None else ():
                yield from workspace.channel(channel, name)
        yield from workspace.strays()
        yield from faults


def _list(document: Document, type_: type[T], faults: list[Rejected]) -> list[T]:
    """The entries of a list that can be read; the others are rejected one by one."""
    found: list[T] = []
    try:
        entries = jsonfile.whole(document, list[Raw])
    except jsonfile.Broken as fault:
        faults.append(document.unreadable(fault))
        return found
    for number, entry in enumerate(entries, 1):
        try:
            found.append(jsonfile.decoded(bytes(entry), type_))
        except jsonfile.Broken as fault:
            faults.append(Rejected(bytes(entry), f"{document.place}: entry {number}", str(fault)))
    return found


def _unspoilt(name: str) -> str:
    """A folder's name as it was: some programs unpack UTF-8 in zips as if it were DOS' (code page 437)."""
    try:
        return name.encode("cp437").decode()
    except UnicodeError:
        return name


class _Workspace:
    """One export while it is read."""

    def __init__(self, document: Document, users: list[User], options: Options, reading: Reading) -> None:
        self._document = document
        self._users = {user.id: user for user in users}
        self._reading = reading
        team = next((user.team_id for user in users if user.team_id), "workspace")
        self._source = options.source or f"slack:{options.network or team}"
        self._names: dict[str, str] = {}
        self._by_folder: dict[str, list[Document]] = {}
        for each in document.below():
            if _DAY.fullmatch(each.name):
                self._by_folder.setdefault(_unspoilt(each.folder), []).append(each)
        self._people: dict[str, Participant] = {}
        reading.nobody.update(self._person(user.id, None).address for user in users if user.is_bot)

    def channel(self, channel: Channel, listed_in: str) -> Iterator[Captured | Rejected]:
        direct = listed_in == "dms.json"
        self._names[channel.id] = channel.name or channel.id
        days = self._days(channel.id if direct or not channel.name else channel.name)
        if not days:
            return
        place = Place(id=channel.id, kind="im" if direct else "group", history="members")
        if listed_in in ("channels.json", "groups.json"):
            place = structs.replace(place, topic=f"#{channel.name}")
        room = Room(self._source, channel.id, place, self._person, self._name_of)
        present = self._present_at_start(channel, days)
        for day in days:
            for number, raw in self._lines(day):
                if isinstance(raw, Rejected):
                    yield raw
                    continue
                yield from self._line(bytes(raw), room, f"{day.place}: message {number}", present)
                present = present if direct else ()

    def strays(self) -> Iterator[Rejected]:
        """What stands in folders of no channel in any list."""
        for days in self._by_folder.values():
            for day in days:
                why = "no list of the export has a channel for this folder"
                yield Rejected(day.head(jsonfile.ELEMENT_LIMIT), day.place, why, self._source)

    def _days(self, folder: str) -> list[Document]:
        """Its day files, in order. Nobody else gets them."""
        return sorted(self._by_folder.pop(folder, ()), key=lambda each: each.name)

    def _present_at_start(self, channel: Channel, days: list[Document]) -> tuple[Participant, ...]:
        later = {line.user for line in self._comings(days) if line.subtype in lines.COMING}
        return tuple(self._person(member, None) for member in channel.members if member not in later)

    def _comings(self, days: list[Document]) -> Iterator[Line]:
        for day in days:
            try:
                data = jsonfile.content(day)
                if _JOINING.search(data):
                    yield from jsonfile.decoded(data, list[Line])
            except jsonfile.Broken:
                continue  # told where its messages are read

    def _lines(self, day: Document) -> Iterator[tuple[int, Raw | Rejected]]:
        try:
            yield from enumerate(jsonfile.whole(day, list[Raw]), 1)
        except jsonfile.Broken as fault:
            yield 0, Rejected(day.head(jsonfile.ELEMENT_LIMIT), day.place, str(fault), self._source)

    def _line(
        self, raw: bytes, room: Room, position: str, present: tuple[Participant, ...]
    ) -> Iterator[Captured | Rejected]:
        try:
            line = _read_line(raw)
            files = [self._file(each) for each in line.shared]
            if present:
                room = structs.replace(room, place=structs.replace(room.place, participants=present))
            made = lines.events(line, room, tuple(each.attachment for each in files))
            if made is None:
                self._reading.ignored[f"{line.subtype} of Slack"] += 1
                return
            yield from told(list(made), self._reading, raw, position, files)
        except (EventError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
            yield Rejected(raw, position, str(fault), self._source)

    def _file(self, file: File) -> Media:
        """Exports hold links only; tools that fetch the files put them into __uploads/ID/NAME or attachments."""
        name = file.name or file.title
        if file.mode in _GONE:
            return Media(Attachment(name=f"{name or 'a file'} (deleted)"))
        path = f"{file.id}/{name}" if file.id and name else None
        found = media(self._document, path, folder="__uploads", only_files=True, name=name)
        if found.held is not None:
            return found
        return Media(Attachment(name=name, media_type=file.mimetype, size=file.size, url=file.url_private))

    def _person(self, identifier: str, line: Line | None) -> Participant:
        """By mail address where the export tells it, else by Slack's id."""
        known = self._people.get(identifier)
        if known is not None:
            return known
        user = self._users.get(identifier)
        if user is not None:
            email = user.profile.email if user.profile is not None else None
            person = Participant(address=email or identifier, name=user.called)
        else:
            person = Participant(address=identifier, name=(line.called if line is not None else None) or identifier)
            if line is not None and not line.user:
                self._reading.nobody.add(identifier)
        self._people[identifier] = person
        return person

    def _name_of(self, identifier: str) -> str:
        user = self._users.get(identifier)
        return (user.called if user is not None else self._names.get(identifier)) or identifier
