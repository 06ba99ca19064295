"""What Mattermost's compliance exports have in common: rows about posts and members -> events.

A post that was edited keeps its id. What it said before is a row of its own, which names the post it was the text of;
such a row comes first and is what was sent, the post's own row then what it was changed to.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

from archiver.events import EDITED, JOINED, LEFT, RETRACTED, SENT, Event, Message, Participant
from archiver.importers.media import Media
from archiver.importers.telling import Room, from_milliseconds

SHARED = "file.shared"
REMEMBERED = 100_000
"""Edited posts whose own row is still to come: one in a hundred of a batch."""

Kind = Literal["post", "file", "joined", "left"]


class Row(Struct, frozen=True):
    """One row. Times in milliseconds since 1970, 0 where there is none.

    `post` is the post's id, `current` that of the post which this was an earlier text of ("" for the last text),
    `update` what happened at `updated` as the export names it. `file` is where a shared file lies, unique in its post.
    """

    kind: Kind
    at: int
    room: Room
    who: Participant
    post: str = ""
    current: str = ""
    root: str = ""
    text: str = ""
    updated: int = 0
    update: str = ""
    files: tuple[Media, ...] = ()
    file: str = ""


class Posts:
    """The posts of one export while it is read: which of them were edited, and when."""

    def __init__(self) -> None:
        self._since: dict[str, int] = {}

    def events(self, row: Row) -> Iterator[Event]:
        """Raises `EventError` for what is no time."""
        at = from_milliseconds(row.at)
        if row.kind == "post":
            yield from self._post(row)
        elif row.kind == "file":
            shared = tuple(each.attachment for each in row.files) or None
            yield row.room.event(f"{row.post}/file/{row.file}", SHARED, at, row.who, attachments=shared)
        else:
            type_ = JOINED if row.kind == "joined" else LEFT
            yield row.room.event(f"{row.kind}/{row.at}/{row.who.address}", type_, at, row.who)

    def _post(self, row: Row) -> Iterator[Event]:
        identity = row.current or row.post
        since = self._since.get(identity)
        text = Message(id=identity, text=row.text, in_reply_to=row.root or None, thread=row.root or None)
        if since is None:
            yield row.room.event(identity, SENT, from_milliseconds(row.at), row.who, message=text)
        else:
            changed = since or row.updated or row.at
            key, said = f"{identity}/edited/{changed}", Message(id=identity, text=row.text)
            yield row.room.event(key, EDITED, from_milliseconds(changed), row.who, message=said)
        if row.current:
            self._remember(identity, row.updated)
        else:
            self._since.pop(identity, None)
        if row.update == "Deleted":
            gone = from_milliseconds(row.updated or row.at)
            yield row.room.event(f"{identity}/deleted", RETRACTED, gone, row.who, message=Message(id=identity))

    def _remember(self, identity: str, updated: int) -> None:
        self._since[identity] = updated
        if len(self._since) > REMEMBERED:
            del self._since[next(iter(self._since))]
