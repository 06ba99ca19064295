"""What logs of one conversation with one peer or room share: whose it is, ids made of what was said, notices of rooms.

Such logs have no ids: an event's is its time and a digest of who said what, and, of several that are equal, which of
them. So a longer version of the same log gives the same events; two people's logs of one chat don't.
"""

from __future__ import annotations

import mimetypes
import re
from datetime import datetime, time
from typing import NamedTuple

from archiver.events import JOINED, LEFT, RENAMED, SENT, Attachment, Event, Message, Participant, Place
from archiver.importers import jsonfile
from archiver.importers.protocol import Options
from archiver.importers.purple.notices import of_a_room
from archiver.importers.telling import Numbering, Room
from archiver.importers.text import Charset

_NOTICES = (
    (JOINED, re.compile(r"(?P<who>.{1,200}) entered the room\.?$")),
    (LEFT, re.compile(r"(?P<who>.{1,200}?) left the room(?: \((?P<reason>.*)\))?\.?$")),
    (RENAMED, re.compile(r"(?P<who>.{1,200}) is now known as (?P<other>.{1,200}?)\.?$")),
)


_CLOCK = re.compile(
    r"(?:(?P<date>.{6,20})[ T])?(?P<h>\d{1,2}):(?P<m>\d\d):(?P<s>\d\d)(?:[ \u00a0\u202f]?(?P<half>[AaPp])\.?[Mm]\.?)?"
)


class Log:
    """One log: `account` is who kept it, `peer` the other side or the room."""

    def __init__(self, program: str, network: str, account: str, peer: str, is_room: bool, options: Options) -> None:
        self.account = _address(account, network)
        self.peer = _address(peer, network)
        self.is_room = is_room
        if is_room:
            place = Place(id=self.peer, kind="group", topic=peer)
        else:
            ends = sorted({self.account, self.peer})
            place = Place(id=" ".join(ends), kind="im", participants=tuple(map(Participant, ends)))
        self._room = Room(options.source or f"{program}:{options.network or network or program}", place)
        self._numbering = Numbering()

    @property
    def source(self) -> str:
        return self._room.source

    def said(
        self,
        at: datetime,
        sequence: str,
        who: Participant,
        text: str,
        guessed: str | None = None,
        files: tuple[Attachment, ...] = (),
        charset: Charset | None = None,
    ) -> Event:
        """`guessed` is the mark of what had to be guessed of it, `charset` what it had to be read in."""
        key = self._key(at, who.address, text, *(each.name or "" for each in files))
        message = Message(id=key, text=text)
        attachments = files or None
        return self._room.event(
            key,
            SENT,
            at,
            who,
            sequence=sequence,
            guessed=guessed,
            charset=charset,
            message=message,
            attachments=attachments,
        )

    def notice(
        self, at: datetime, sequence: str, text: str, guessed: str | None = None, charset: Charset | None = None
    ) -> Event | None:
        """Who came, left or is called otherwise, as logs of rooms tell it; None for any other notice."""
        found = of_a_room(text.strip()) if self.is_room else None
        if found is None:
            return None
        type_, said = found
        name, other = said["who"] or "", said.get("other")
        return self._room.event(
            self._key(at, type_, text),
            type_,
            at,
            Participant(address=name, name=name),
            sequence=sequence,
            guessed=guessed,
            charset=charset,
            subject=Participant(address=other, name=other) if other else None,
            reason=said.get("reason") or None,
        )

    def _key(self, at: datetime, *what: str) -> str:
        return self._numbering.key(f"{at.timestamp():.0f}-{jsonfile.digest(what)}")


class Clock(NamedTuple):
    """`date` as it stands there, None where there is none."""

    date: str | None
    time: time


def clock_of(stamp: str) -> Clock | None:
    """A time of day, in 12 or 24 hours, before which a date may stand; None for anything else."""
    found = _CLOCK.fullmatch(stamp.strip())
    if found is None:
        return None
    hour = int(found["h"])
    if found["half"]:
        hour = hour % 12 + (12 if found["half"] in "pP" else 0)
    try:
        return Clock(found["date"], time(hour, int(found["m"]), int(found["s"])))
    except ValueError:
        return None


def is_picture(name: str) -> bool:
    """Whether a picture in a message may be a file beside the log: whoever wrote it can't name any other file."""
    kind = mimetypes.guess_type(name)[0] or ""
    return kind.startswith("image/") and not set(name) & set("/\\:")


def _address(name: str, network: str) -> str:
    """A JID loses its resource."""
    jid = network.lower() in ("jabber", "xmpp", "gtalk", "facebook") and "@" in name
    return name.partition("/")[0] if jid else name
