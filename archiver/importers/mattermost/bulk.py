"""Mattermost's bulk export (JSON lines, with the files under `data/`) -> events.

Posts have no ids there: an event's is its channel, its time in milliseconds and who posted, for an answer behind that
of what it answers; of several in one millisecond, which of them. Members stand with each user, and were there from the
first post on.
Source: Mattermost, "Bulk export data" and "Bulk loading data".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Struct, structs

from archiver.events import EDITED, REACTED, SENT, Captured, Event, Message, Participant, Place, Rejected, lines
from archiver.exceptions import EventError
from archiver.importers import jsonfile
from archiver.importers.cards import listed, text_in, words_of
from archiver.importers.document import Document
from archiver.importers.media import Media, media
from archiver.importers.protocol import Options, Reading
from archiver.importers.telling import Numbering, Room, from_milliseconds, told

LINE_LIMIT = 16 * 1024 * 1024
KEPT = re.compile(r"data/.+")


class ChannelMember(Struct):
    name: str


class TeamMember(Struct):
    name: str
    channels: list[ChannelMember] | None = None


class User(Struct):
    username: str
    email: str = ""
    nickname: str = ""
    first_name: str = ""
    last_name: str = ""
    teams: list[TeamMember] | None = None

    @property
    def called(self) -> str:
        return self.nickname or f"{self.first_name} {self.last_name}".strip() or self.username


class Channel(Struct):
    team: str
    name: str
    display_name: str = ""


class Reaction(Struct):
    user: str
    emoji_name: str
    create_at: int


class File(Struct):
    path: str = ""


class Post(Struct):
    """A post, a direct post (with `channel_members`), or an answer to one."""

    user: str
    create_at: int
    message: str = ""
    team: str = ""
    channel: str = ""
    channel_members: list[str] | None = None
    edit_at: int | None = None
    reactions: list[Reaction] | None = None
    attachments: list[File] | None = None
    props: Any = None
    replies: list[Post] | None = None

    @property
    def words(self) -> str:
        """Apps say in `props` what stands in their cards."""
        cards = listed(self.props.get("attachments")) if isinstance(self.props, dict) else ()
        told = (words_of(each) or text_in(each, "fallback") for each in cards if isinstance(each, dict))
        return "\n".join(filter(None, (self.message, *told)))


class Line(Struct):
    type: str
    user: User | None = None
    channel: Channel | None = None
    post: Post | None = None
    direct_post: Post | None = None


class Mattermost:
    name = "mattermost"
    title = "Mattermost bulk exports (JSON lines)"
    partial_presence = True
    ordered = False
    marks: frozenset[str] = frozenset()

    def kept(self, document: Document) -> re.Pattern[str]:
        return KEPT

    def sniff(self, document: Document, head: bytes) -> bool:
        first = b"".join(head.partition(b"\n")[0].split())
        return first.startswith(b'{"type":"version","version":')

    def read(self, document: Document, options: Options, reading: Reading) -> Iterator[Captured | Rejected]:
        export = _Export(document, options, reading)
        with document.open() as stream:
            for number, raw, fault in lines(stream, LINE_LIMIT):
                if fault:
                    yield Rejected(raw, f"{document.place}:{number}", fault, export.source)
                elif raw.strip():
                    yield from export.line(raw, f"{document.place}:{number}")


class _Export:
    """One export while it is read: users and channels come before the posts."""

    def __init__(self, document: Document, options: Options, reading: Reading) -> None:
        self.source = options.source or f"mattermost:{options.network or 'mattermost'}"
        self._document = document
        self._reading = reading
        self._users: dict[str, Participant] = {}
        self._titles: dict[tuple[str, str], str] = {}
        self._members: dict[tuple[str, str], list[str]] = {}
        self._begun: set[str] = set()
        self._numbering = Numbering()

    def line(self, raw: bytes, position: str) -> Iterator[Captured | Rejected]:
        try:
            line = jsonfile.decoded(raw, Line)
            if line.user is not None:
                self._know(line.user)
            elif line.channel is not None:
                self._titles[line.channel.team, line.channel.name] = line.channel.display_name or line.channel.name
            elif (post := line.post or line.direct_post) is not None:
                yield from self._thread(post, raw, position)
            elif line.type not in ("version", "team", "direct_channel"):
                self._reading.ignored[f"{line.type} of Mattermost"] += 1
        except (jsonfile.Broken, EventError) as fault:
            yield Rejected(raw, position, str(fault), self.source)

    def _know(self, user: User) -> None:
        self._users[user.username] = Participant(address=user.email or user.username, name=user.called)
        for team in user.teams or ():
            for channel in team.channels or ():
                self._members.setdefault((team.name, channel.name), []).append(user.username)

    def _thread(self, post: Post, raw: bytes, position: str) -> Iterator[Captured | Rejected]:
        room = Room(self.source, self._place(post))
        root = self._numbering.key(_base(post), room.place.id)
        made = [*self._post(post, root, None, room)]
        answered = Numbering()
        for answer in sorted(post.replies or (), key=lambda each: each.create_at):
            made += self._post(answer, f"{root}/{answered.key(_base(answer))}", root, room)
        for events, files in made:
            yield from told(events, self._reading, raw, position, files)

    def _place(self, post: Post) -> Place:
        """With everybody who is a member in the first event of a channel, and with both in each of a direct one."""
        if post.channel_members is not None:
            people = tuple(map(self._person, sorted(post.channel_members)))
            identity = " ".join(sorted(post.channel_members))
            kind = "im" if len(people) <= 2 else "group"
            return Place(id=identity, kind=kind, participants=people)  # type: ignore[arg-type]
        which = post.team, post.channel
        place = Place(id="/".join(which), kind="group", topic=self._titles.get(which, post.channel), history="members")
        if place.id in self._begun:
            return place
        self._begun.add(place.id)
        return structs.replace(place, participants=tuple(map(self._person, self._members.get(which, ()))) or None)

    def _post(
        self, post: Post, key: str, root: str | None, room: Room
    ) -> Iterator[tuple[Sequence[Event], Sequence[Media]]]:
        at, actor = from_milliseconds(post.create_at), self._person(post.user)
        paths = [each.path for each in post.attachments or () if each.path]
        files = [media(self._document, path, folder="data", only_files=True) for path in paths]
        message = Message(id=key, text=post.words, in_reply_to=root, thread=root)
        shared = tuple(each.attachment for each in files) or None
        events = [room.event(key, SENT, at, actor, message=message, attachments=shared)]
        if post.edit_at:
            changed = Message(id=key, text=post.words)
            events.append(room.event(f"{key}/edited", EDITED, from_milliseconds(post.edit_at), actor, message=changed))
        for each in post.reactions or ():
            name = f"{key}/reaction/{each.emoji_name}/{each.user}"
            given, who = from_milliseconds(each.create_at), self._person(each.user)
            reaction = f":{each.emoji_name}:"
            events.append(room.event(name, REACTED, given, who, message=Message(id=key), reaction=reaction))
        yield events, files

    def _person(self, username: str) -> Participant:
        return self._users.get(username) or Participant(address=username, name=username)


def _base(post: Post) -> str:
    """When and by whom: which of them, where somebody posted twice in one millisecond, is for numbering to say."""
    return f"{post.create_at}-{post.user}"
