"""Mattermost's compliance exports for Global Relay: a mail per channel and batch, its transcript in HTML -> events.

Made from the published templates. Times are in whole seconds. A file is attached under its name, and a line of the
transcript says who uploaded it; lines that name a deleted file are counted. Who didn't leave stands as having left when
the batch ends: that is no leave.
"""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Iterator
from datetime import datetime

from archiver.events import Attachment, Captured, Participant, Place, Rejected
from archiver.exceptions import EventError
from archiver.importers.document import Document
from archiver.importers.mattermost.compliance import Posts, Row
from archiver.importers.mbox import mails
from archiver.importers.media import Media
from archiver.importers.protocol import Options, Reading
from archiver.importers.telling import Room, told
from archiver.sources.decoding import header_text
from archiver.sources.parts import Mail, read_parts

_OURS = re.compile(rb"^X-GlobalRelay-MsgType:[ \t]*Mattermost[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_MESSAGE, _ROW = '<li class="message">', "<tr>"
_FIELD = re.compile(r'<(?P<tag>span|td) class="(?P<name>[a-z_]{1,40})">(?P<text>[^<]*)</(?P=tag)>')
_ENDED = re.compile(r"<span class=\"bold\">Ended:</span>([^<]{1,40})</li>")
_NEWER = "edited_new_msg_id"
_UPLOADED, _DELETED = "Uploaded file ", "Deleted file "
_PARTIES = frozenset(("direct", "group"))
"""Channels whose people are all it ever has."""

Fields = dict[str, str]
"""By the class of its element, what one message or one row of the table says."""


class MattermostGlobalRelay:
    name = "mattermost-globalrelay"
    title = "Mattermost compliance exports for Global Relay (EML)"
    partial_presence = False
    ordered = False
    marks: frozenset[str] = frozenset()

    def sniff(self, document: Document, head: bytes) -> bool:
        return _OURS.search(head.replace(b"\r\n", b"\n").partition(b"\n\n")[0]) is not None

    def read(self, document: Document, options: Options, reading: Reading) -> Iterator[Captured | Rejected]:
        source = options.source or f"mattermost:{options.network or 'mattermost'}"
        with document.open() as stream:
            for piece in mails(stream):
                try:
                    if piece.fault:
                        raise EventError(piece.fault)
                    channel = _Channel(read_parts(piece.content), source, reading)
                except EventError as fault:
                    yield Rejected(piece.content, document.place, str(fault), source)
                    continue
                yield from channel.events(document.place)


class _Channel:
    """One mail: a channel during a batch. Raises `EventError` where it holds no transcript, or doesn't say of what."""

    def __init__(self, mail: Mail, source: str, reading: Reading) -> None:
        pages = [part.text for part in mail.parts if part.inline and part.media_type == "text/html"]
        identity = header_text(mail.first("x-mattermost-channelid"))
        if not pages or not identity:
            raise EventError("no transcript in HTML" if identity else "nothing says which channel it is of")
        self._source = source
        self._reading = reading
        self._files = [part for part in mail.parts if not part.inline]
        table, _, messages = pages[0].partition("</table>")
        self._members = [_fields(piece) for piece in table.split(_ROW)[1:]]
        self._messages = [_fields(piece.partition("</li>")[0]) for piece in messages.split(_MESSAGE)[1:]]
        if not (self._members or self._messages):
            raise EventError("its HTML lists nobody and no message")
        ended = _ENDED.search(table)
        self._ended = ended[1] if ended else ""
        self._room = Room(source, self._place(identity, header_text(mail.first("x-mattermost-channeltype")), mail))

    def _place(self, identity: str, kind: str, mail: Mail) -> Place:
        if kind.strip().lower() in _PARTIES:
            people = {person.address: person for person in map(_person, filter(None, self._members))}
            parties = tuple(people[address] for address in sorted(people) if address)
            return Place(id=identity, kind="im" if len(parties) < 3 else "group", participants=parties)
        return Place(id=identity, kind="group", topic=header_text(mail.first("x-mattermost-channelname")) or None)

    def events(self, place: str) -> Iterator[Captured | Rejected]:
        posts = Posts()
        # An earlier text of an edited post comes before the post, whatever their order in the mail.
        said = sorted(self._messages, key=lambda fields: (fields.get("sent_time", ""), not fields.get(_NEWER)))
        for number, fields in enumerate([*filter(None, self._members), *said], 1):
            position, original = f"{place}: line {number} of its transcript", "\n".join(fields.values()).encode()
            try:
                rows = list(self._said(fields) if "post_id" in fields else self._comings(fields))
                made = [each for row in rows for each in posts.events(row)]
            except EventError as fault:
                yield Rejected(original, position, str(fault), self._source)
                continue
            yield from told(made, self._reading, original, position, [each for row in rows for each in row.files])

    def _comings(self, fields: Fields) -> Iterator[Row]:
        who = self._who(fields)
        yield Row("joined", _milliseconds(fields.get("joined", "")), self._room, who)
        if fields.get("left", "") != self._ended:
            yield Row("left", _milliseconds(fields.get("left", "")), self._room, who)

    def _said(self, fields: Fields) -> Iterator[Row]:
        who, post, text = self._who(fields), fields["post_id"], fields.get("message", "")
        at = _milliseconds(fields.get("sent_time", ""))
        if not post:
            raise EventError("a message without an id")
        if text.startswith(_DELETED):
            self._reading.ignored["deleted files"] += 1
        elif (name := text.removeprefix(_UPLOADED)) != text and (file := self._file(name)) is not None:
            yield Row("file", at, self._room, who, post=post, files=(file,), file=name)
        else:
            updated = _milliseconds(fields["update_time"]) if fields.get("update_time") else 0
            newer, update = fields.get(_NEWER, ""), fields.get("update_type", "")
            yield Row("post", at, self._room, who, post, newer, text=text, updated=updated, update=update)

    def _file(self, name: str) -> Media | None:
        """The next one attached under this name: of several of one name, in their order."""
        found = next((part for part in self._files if part.name == name), None)
        if found is None:
            return None
        self._files.remove(found)
        digest = hashlib.sha256(found.content).hexdigest()
        shown = Attachment(name=name, media_type=found.media_type, size=len(found.content), sha256=digest)
        return Media(shown, (digest, found.content))

    def _who(self, fields: Fields) -> Participant:
        """Raises `EventError`."""
        person = _person(fields)
        if not person.address:
            raise EventError("nothing says who")
        if fields.get("usertype") == "bot":
            self._reading.nobody.add(person.address)
        return person


def _fields(piece: str) -> Fields:
    return {found["name"]: html.unescape(found["text"]).strip("\r\n") for found in _FIELD.finditer(piece)}


def _person(fields: Fields) -> Participant:
    name = fields.get("username", "").removeprefix("@")
    return Participant(fields.get("email", "").strip("()") or name, name or None)


def _milliseconds(text: str) -> int:
    """Of RFC 3339, as Go writes it. Raises `EventError`."""
    try:
        stated = datetime.fromisoformat(text)
        return int(stated.timestamp() * 1000) if stated.tzinfo is not None else _refuse(text)
    except (ValueError, OverflowError) as fault:
        raise EventError(f"no time: {text[:50]!r}") from fault


def _refuse(text: str) -> int:
    raise EventError(f"a time without a zone: {text[:50]!r}")
