"""A chat that WhatsApp (or Signal) exported as text -> events.

There are no ids: an event's is its time, a digest of who said what, and which of several equal ones it is, so that a
longer export of the same chat gives the same. People are known by the names in the phone's own address book.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, time, tzinfo
from hashlib import blake2b
from typing import Any, NamedTuple

from archiver.events import (
    EDITED,
    JOINED,
    LEFT,
    RETRACTED,
    SENT,
    TOPIC_CHANGED,
    Attachment,
    Captured,
    Event,
    Message,
    Participant,
    Place,
    Rejected,
    guess_mark,
    microseconds,
    moment,
)
from archiver.importers.document import Document
from archiver.importers.media import Media, media
from archiver.importers.protocol import Options, Reading, fold_guess, in_turn, zone_guess, zone_of
from archiver.importers.telling import Numbering, Room, told
from archiver.importers.text import LINE_LIMIT, Charset, TextLine, charset_in, charset_of, text_lines
from archiver.importers.whatsapp import words
from archiver.importers.whatsapp.dates import day_of
from archiver.importers.whatsapp.line import MARKS, Start, start
from archiver.importers.whatsapp.notices import YOU, Notice, notice
from archiver.importers.whatsapp.survey import (
    WRITTEN_BY_IT,
    Survey,
    author_of,
    bare,
    begun,
    files_named,
    person_of,
    surveyed,
    system_text,
    title_of,
)

MESSAGE_LIMIT = 512 * 1024
NOT_UNDERSTOOD = "notices of the system that aren't understood"
OWNERS = "comings and goings of the phone's owner, whom nothing names (--owner)"


class _Exported:
    """What both products share."""

    name = ""
    title = ""
    partial_presence = True
    ordered = True
    marks: frozenset[str] = frozenset()

    def read(self, document: Document, options: Options, reading: Reading) -> Iterator[Captured | Rejected]:
        zone, charset = zone_of(options), charset_of(options)
        survey = surveyed(document, charset, reading)
        if survey is None:
            head = document.head(LINE_LIMIT)
            if head.strip():
                yield Rejected(head, document.place, "no line begins as a message does")
            return
        yield from _Chat(self.name, document, survey, options, zone, charset, reading).events()


class WhatsApp(_Exported):
    name = "whatsapp"
    title = "WhatsApp chats (exported text)"

    def kept(self, document: Document) -> re.Pattern[str]:
        return words.KEPT

    def named(self, document: Document) -> Iterator[str]:
        return files_named(document)

    def sniff(self, document: Document, head: bytes) -> bool:
        return begun(head) is not None


class Signal(_Exported):
    """Signal has no export of its own; the usual tools write ISO dates in brackets, to the minute."""

    name = "signal"
    title = "Signal chats (text, as common tools write it)"

    def sniff(self, document: Document, head: bytes) -> bool:
        first = begun(head)
        iso = first is not None and (first.separator, first.widths[0], first.second) == ("-", 4, None)
        return iso and head.lstrip(b"\xef\xbb\xbf\r\n ").startswith(b"[")


class _Pending(NamedTuple):
    """A message whose further lines may follow."""

    start: Start
    lines: list[TextLine]


class _Chat:
    """One file while it is read: where its clock stands, and what was said in this moment."""

    def __init__(
        self,
        product: str,
        document: Document,
        survey: Survey,
        options: Options,
        zone: tzinfo,
        charset: Charset,
        reading: Reading,
    ) -> None:
        self._document = document
        self._survey = survey
        self._zone = zone
        self._zone_guess = self._guessed = zone_guess(options)
        self._order_guess = survey.order.replace(" ", "-") if survey.in_doubt else None
        self._charset = charset
        self._legacy: Charset | None = None
        self._reading = reading
        self.source = options.source or f"{product}:{options.network or product}"
        self._owner = options.owner
        self._room = Room(self.source, self._placed(options))
        self._now = 0
        self._stamp = ""
        self._numbering = Numbering()
        self._count = 0

    def _placed(self, options: Options) -> Place:
        title = options.channel or title_of(self._document)
        people = sorted(self._survey.authors)
        if not self._survey.grouped and len(people) <= 2:
            owner = {options.owner} if options.owner and len(people) < 2 else set()
            both = sorted({*people, *owner})
            return Place(id=title, kind="im", participants=tuple(map(person_of, both)))
        return Place(id=title, kind="group", topic=title)

    def events(self) -> Iterator[Captured | Rejected]:
        pending: _Pending | None = None
        size = 0
        for line in text_lines(self._document, self._charset):
            number, raw, text, _, fault = line
            found = start(text)
            if found is not None:
                yield from self._message(pending)
                pending, size = _Pending(found, []), 0
            if fault:
                # What goes on with a message is part of it: half of one would be another message.
                whole = b"\n".join(each.raw for each in (*(pending.lines if pending else ()), line))
                yield Rejected(whole, f"{self._document.place}:{number}", fault, self.source)
                pending = None
            elif pending is None or size + len(raw) > MESSAGE_LIMIT:
                if raw.strip():
                    why = "a message of too many lines" if pending else "before the first message"
                    yield Rejected(raw, f"{self._document.place}:{number}", why, self.source)
            else:
                pending.lines.append(line)
                size += len(raw)
        yield from self._message(pending)

    def _message(self, pending: _Pending | None) -> Iterator[Captured | Rejected]:
        if pending is None:
            return
        first, *further = pending.lines
        original = b"\n".join(line.raw for line in pending.lines)
        position = f"{self._document.place}:{first.number}"
        stated = self._tell_time(pending.start)
        if stated is None:
            yield Rejected(original, position, "a date or time there is not", self.source)
            return
        self._legacy = charset_in(pending.lines)
        body = "\n".join((pending.start.text, *(line.text for line in further))).rstrip()
        author = author_of(body.partition("\n")[0])
        if author is None:
            yield from self._system(system_text(body), original, position, stated)
            return
        name, said = author
        rest = body.partition("\n")[2]
        yield from self._by(name, f"{said}\n{rest}" if rest else said, original, position, stated)

    def _tell_time(self, found: Start) -> str | None:
        """Move the clock. What the file says, if it can't be used as it is; "" if it can; None if it is no time."""
        day = day_of(found, self._survey.order)
        try:
            shown = None if day is None else datetime.combine(day, time(found.hour, found.minute, found.second or 0))
        except ValueError:
            shown = None
        if shown is None:
            return None
        shown = in_turn(shown, self._zone, self._now)
        at = microseconds(shown.replace(tzinfo=self._zone))
        stamp = f"{shown:%Y%m%dT%H%M%S}{'b' * shown.fold}"
        if stamp != self._stamp:
            self._stamp = stamp
            order = self._order_guess if found.widths[0] != 4 else None
            self._guessed = guess_mark(self._zone_guess, fold_guess(shown, self._zone), order)
        if at < self._now:
            return shown.isoformat()
        if at > self._now:
            self._now, self._count = at, 0
        return ""

    def _by(self, name: str, text: str, original: bytes, position: str, stated: str) -> Iterator[Captured | Rejected]:
        key = self._key(name, text)
        actor = person_of(name)
        said = bare(text)
        edited = words.EDITED.search(said)
        said = said[: edited.start()] if edited else said
        by_it = text.lstrip(" ").startswith(WRITTEN_BY_IT)
        if words.NOTICE.match(said) or (by_it and words.is_about_safety(said)):
            self._reading.ignored["notices of the system"] += 1
            return
        files, said = self._files(said)
        events = [self._event(key, SENT, actor, stated, message=Message(id=key, text=said), attachments=_of(files))]
        if edited:
            changed = Message(id=key, text=said)
            events.append(self._event(f"{key}/edited", EDITED, actor, stated, "edited", message=changed))
        if words.is_deleted(said):
            events[0] = self._event(key, SENT, actor, stated, message=Message(id=key, text=""))
            events.append(self._event(f"{key}/deleted", RETRACTED, actor, stated, "retracted", message=Message(id=key)))
        elif by_it and words.CALL.match(said):
            events = [self._event(f"{key}/call", "call.started", actor, stated)]
        yield from told(events, self._reading, original, position, files)

    def _system(self, text: str, original: bytes, position: str, stated: str) -> Iterator[Captured | Rejected]:
        found = notice(text)
        if found is not None:
            yield from self._noticed(found, text, original, position, stated)
        elif words.CALL.match(text):
            event = self._event(f"{self._key('', text)}/call", "call.started", None, stated)
            yield from told([event], self._reading, original, position)
        else:
            known = words.NOTICE.match(text) or words.is_about_safety(text)
            self._reading.ignored["notices of the system" if known else NOT_UNDERSTOOD] += 1

    def _noticed(
        self, found: Notice, text: str, original: bytes, position: str, stated: str
    ) -> Iterator[Captured | Rejected]:
        actor, subject = self._named(found.who), self._named(found.whom)
        if found.type in (JOINED, LEFT) and (subject if found.whom is not None else actor) is None:
            self._reading.ignored[OWNERS] += 1
            return
        topic = found.topic if found.type == TOPIC_CHANGED else None
        event = self._event(self._key("", text), found.type, actor, stated, subject=subject, topic=topic)
        yield from told([event], self._reading, original, position)

    def _named(self, name: str | None) -> Participant | None:
        """None for nobody, and for the phone's owner where nothing says who that is."""
        if name is not None and name.casefold() in YOU:
            return Participant(self._owner) if self._owner else None
        return person_of(name) if name else None

    def _files(self, text: str) -> tuple[list[Media], str]:
        """The file a message brings, and what else it says."""
        match = words.ATTACHED.match(text) or words.FILE.match(text)
        if match is not None and (match.re is words.ATTACHED or self._document.shared(match["file"]) is not None):
            return [media(self._document, match["file"], kept=words.KEPT)], bare(match["note"] or "")
        if words.OMITTED.match(text):
            return [Media(Attachment(name=f"{text.strip('<>' + MARKS)} (not in the export)"))], ""
        return [], text

    def _key(self, name: str, text: str) -> str:
        self._reading.unnumbered += 1
        digest = blake2b(f"{name}\0{text}".encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()
        return self._numbering.key(f"{self._stamp}-{digest}")

    def _event(
        self, key: str, type_: str, actor: Participant | None, stated: str, guessed: str | None = None, **data: Any
    ) -> Event:
        self._count += 1
        return self._room.event(
            key,
            type_,
            moment(self._now),
            actor,
            sequence=f"{self._count:06d}",
            stated=stated or None,
            guessed=guess_mark(self._guessed, guessed),
            charset=self._legacy,
            **data,
        )


def _of(files: list[Media]) -> tuple[Attachment, ...] | None:
    return tuple(each.attachment for each in files) or None
