"""Reads one IRC log: surveys it for dialect, channel and first time, then turns line after line into events.

An event's id is its time, a digest of its line and, for a line said twice in one moment, which of them it is: neither
the path nor the place in the file, so that a longer version of the same log, or an overlapping one, gives the same ids.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime, time
from hashlib import blake2b
from itertools import islice
from typing import NamedTuple

from archiver.events import (
    JOINED,
    LEFT,
    RENAMED,
    SECOND,
    SENT,
    TOPIC_CHANGED,
    Captured,
    Data,
    Event,
    Message,
    Participant,
    Place,
    Rejected,
    capture,
    guess_mark,
    moment,
)
from archiver.exceptions import EventError
from archiver.importers.document import Document
from archiver.importers.irc import dialect as form
from archiver.importers.irc.clock import Clock
from archiver.importers.irc.dialect import DIALECTS, Dialect, Line, parse
from archiver.importers.protocol import Options, Reading, date_option, zone_guess, zone_of
from archiver.importers.text import Charset, charset_of, text_lines, undecodable

SAMPLE = 200
"""Lines by which the dialect is told."""

DAY = 86_400 * SECOND
DEFAULT_NETWORK = "irc"

# mIRC formatting: bold, colour with its digits, hex colour, reset, monospace, reverse, italic, strike, underline.
_FORMATTING = re.compile(
    r"\x03(?:\d{1,2}(?:,\d{1,2})?)?|\x04(?:[0-9a-fA-F]{6}(?:,[0-9a-fA-F]{6})?)?|[\x02\x0f\x11\x16\x1d\x1e\x1f]"
)
_DATE = re.compile(r"(?<!\d)((?:19[7-9]|20\d)\d)[-/]?([01]\d)[-/]?([0-3]\d)(?!\d)")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_CHANNEL_IN_NAME = re.compile(r"#[^\s/,]*?(?=[._-]*(?:\d{4}|(?:raw|txt|log|gz|zst)\b|$))")


class Irc:
    name = "irc"
    title = "IRC logs (Ubuntu, supybot, irssi, weechat, ZNC, eggdrop, dircproxy …)"
    partial_presence = True
    ordered = True
    marks: frozenset[str] = frozenset()

    def sniff(self, document: Document, head: bytes) -> bool:
        sample = [line for line in head.decode("utf-8", "replace").splitlines()[:SAMPLE] if line.strip()]
        fitting = [sum(parse(dialect, line) is not None for line in sample) for dialect in DIALECTS]
        return max(fitting) * 2 > len(sample)

    def read(self, document: Document, options: Options, reading: Reading) -> Iterator[Captured | Rejected]:
        charset, zone = charset_of(options), zone_of(options)
        found = _survey(document, charset, options.channel)
        if found is None:
            return
        start = _start(document, options, found)
        if start.problem or found.dialect is None or start.at is None:
            yield Rejected(found.head, document.place, start.problem)
            return
        clock = Clock(start.at, zone, reading.received + DAY, start.guessed)
        place = _place(document, options, found)
        log = _Log(document, found.dialect, charset, place, clock, zone_guess(options), reading)
        yield from log.events()


class _Survey(NamedTuple):
    """What a first look at a log tells. `head` is its first line."""

    head: bytes
    dialect: Dialect | None
    channel: str | None
    first: Line | None


def _survey(document: Document, charset: Charset, channel: str | None) -> _Survey | None:
    """None for a file with nothing in it."""
    told = (line for line in text_lines(document, charset) if line.raw.strip())
    sample = list(islice(told, SAMPLE))
    if not sample:
        return None
    head = sample[0].raw
    fitting = {each: [line for told in sample if (line := parse(each, told.text))] for each in DIALECTS}
    dialect, parsed = max(fitting.items(), key=lambda item: len(item[1]))
    if not parsed:
        return _Survey(head, None, None, None)
    channel = channel or parsed[0].when.get("place") or _channel_in(document)
    channel = channel or next(filter(None, map(_channel_of, parsed)), None)
    if channel is None:
        channel = next(filter(None, (_channel_of(parse(dialect, line.text)) for line in told)), None)
    first = next((line for line in parsed if "hour" in line.when or line.kind == form.OPENED), parsed[0])
    return _Survey(head, dialect, channel, first)


def _channel_of(line: Line | None) -> str | None:
    return line.found.get("channel") if line is not None else None


def _channel_in(document: Document) -> str | None:
    for part in (document.name, document.folder):
        match = _CHANNEL_IN_NAME.search(part)
        if match and len(match[0]) > 1:
            return match[0]
    return None


class _Start(NamedTuple):
    """When a log begins, and the mark of what of that is from a name; or why it can't be read."""

    problem: str
    at: datetime | None = None
    guessed: str | None = None


def _start(document: Document, options: Options, found: _Survey) -> _Start:
    if found.dialect is None or found.first is None:
        return _Start("no known form of IRC log")
    if found.channel is None and options.source is None:
        return _Start("nothing in the log or its name tells the channel: say it with --channel")
    said = date_option(options)
    named = said or _day_in(document)
    try:
        if found.first.kind == form.OPENED and (opened := _opening(found.first)):
            return _Start("", opened)
        stated = _day(found.first, named)
        if (day := stated or named) is None:
            return _Start("nothing in the log or its name tells the day: say it with --date")
        guessed = None if said or found.first.when.get("year") else "year-of-name" if stated else "day-of-name"
        return _Start("", datetime.combine(day, _time(found.first) or time()), guessed)
    except ValueError:
        return _Start("the log begins with a date or time there is not")


def _day_in(document: Document) -> date | None:
    """From the name, else from folders such as 2016/12/19."""
    for text in (document.name, "/".join((*document.folders[-4:], document.name))):
        for match in _DATE.finditer(text):
            try:
                return date(*(int(part) for part in match.groups()))
            except ValueError:
                continue
    return None


def _day(line: Line, near: date | None) -> date | None:
    """The day a line states; the year nearest to `near` where it has none."""
    when = line.when
    if when.get("year"):
        return date(int(when["year"]), int(when["month"]), int(when["day"]))
    if when.get("monthname") and near is not None:
        month = _MONTHS.index(when["monthname"]) + 1
        year = near.year + (near.month - month > 6) - (month - near.month > 6)
        return date(year, month, int(when["day"]))
    return None


def _time(line: Line) -> time | None:
    when = line.when
    return time(int(when["hour"]), int(when["minute"]), int(when["second"] or 0)) if when.get("hour") else None


def _opening(line: Line) -> datetime | None:
    """`Mon Jan 02 15:04:05 2006` or `Mon Jan 02 2006`."""
    _, month, day, *clock, year = line.found["text"].split()
    at = time.fromisoformat(clock[0]) if clock else time()
    return datetime.combine(date(int(year), _MONTHS.index(month) + 1, int(day)), at)


def _place(document: Document, options: Options, found: _Survey) -> tuple[str, Place]:
    """The source and the room. Channel names don't tell case (RFC 2812, 1.3)."""
    channel = (found.channel or "").lower()
    if channel and channel[0] not in "#&+!":
        channel = "#" + channel
    network = options.network or _network_in(document) or DEFAULT_NETWORK
    source = options.source or f"irc:{network.lower()}/{channel}"
    room = channel or source
    return source, Place(id=room, kind="group", topic=room)


def _network_in(document: Document) -> str | None:
    """ZNC's own layout: user/network/#channel/2016-12-19.log."""
    *_, network, channel = ("", "", *document.folders)
    return network if channel.startswith("#") and re.fullmatch(r"[A-Za-z][\w.-]*", network) else None


class _Log:
    """One log while it is read: where its clock stands, and what was said in this moment."""

    def __init__(
        self,
        document: Document,
        dialect: Dialect,
        charset: Charset,
        place: tuple[str, Place],
        clock: Clock,
        zone_guessed: str | None,
        reading: Reading,
    ) -> None:
        self._document = document
        self._file = document.place
        self._dialect = dialect
        self._charset = charset
        self._source, self._place = place
        self._reading = reading
        self._clock = clock
        self._zone_guessed = zone_guessed
        self._guessed = guess_mark(self._zone_guessed, clock.guessed)
        self._stamp = ""
        self._moment = moment(self._clock.now)
        self._prefix = _stamp(self._clock.local)
        self._said: Counter[bytes] = Counter()

    def events(self) -> Iterator[Captured | Rejected]:
        for number, raw, text, charset, fault in text_lines(self._document, self._charset):
            if not fault and not raw.strip():
                continue
            try:
                if fault:
                    raise EventError(fault)
                captured = self._read(number, raw, text, charset)
            except EventError as reason:
                yield Rejected(raw, f"{self._file}:{number}", str(reason), self._source)
                continue
            if captured is None:
                self._reading.ignored["lines of the system"] += 1
                continue
            self._reading.unnumbered += 1
            if (guessed := captured.event.archiverguessed) is not None:
                self._reading.marks[guessed] += 1
            yield captured

    def _read(self, number: int, raw: bytes, text: str, charset: Charset | None) -> Captured | None:
        line = parse(self._dialect, _FORMATTING.sub("", text))
        if line is None:
            raise EventError(f"not a line of this kind of IRC log ({self._dialect.name})")
        self._tell_time(line)
        if line.kind in (form.IGNORED, form.OPENED):
            return None
        identity = self._identity(raw)
        type_, data = _BUILD[line.kind](line.found, identity, self._place)
        raised = self._clock.raised
        event = Event(
            source=self._source,
            id=identity,
            type=type_,
            time=self._moment,
            data=data,
            sequence=f"{number:08d}",
            archivertime=raised.isoformat() if raised is not None else None,
            archivercharset=charset.name if charset is not None else None,
            archiverguessed=self._guessed if charset is None else guess_mark(self._guessed, charset.guess),
        )
        position = f"{self._file}:{number}"
        return capture(
            event, received=self._reading.received, original=raw, notes=undecodable(event), position=position
        )

    def _tell_time(self, line: Line) -> None:
        if line.stamp == self._stamp or not line.when:
            return
        before = self._clock.now
        try:
            if line.kind == form.OPENED:
                self._clock.open_day(_opening(line) or self._clock.local)
            else:
                day, at = _day(line, self._clock.local.date()), _time(line)
                if at is not None:
                    self._clock.set(at, day)
                elif day is not None and day > self._clock.local.date():
                    self._clock.set(time(), day)
                else:
                    return
        except ValueError:
            raise EventError("a date or time there is not") from None
        self._stamp = line.stamp
        self._guessed = guess_mark(self._zone_guessed, self._clock.guessed)
        if self._clock.now != before:
            self._moment = moment(self._clock.now)
            self._prefix = _stamp(self._clock.local)
            self._said.clear()

    def _identity(self, raw: bytes) -> str:
        digest = blake2b(raw, digest_size=6).digest()
        self._said[digest] += 1
        again = self._said[digest]
        identity = f"{self._prefix}-{digest.hex()}"
        return identity if again == 1 else f"{identity}-{again}"


def _stamp(local: datetime) -> str:
    """As the clock shows it; the second time it does with a `b`."""
    return f"{local:%Y%m%dT%H%M%S}{'b' * local.fold}"


_Found = dict[str, str]


def _person(nick: str) -> Participant:
    nick = nick.replace(" ", "")  # no nick has one; a logger put it there
    return Participant(address=nick, name=nick)


def _said(found: _Found, identity: str, place: Place) -> tuple[str, Data]:
    message = Message(id=identity, text=found["text"].rstrip())
    return SENT, Data(conversation=place, actor=_person(found["nick"]), message=message)


def _acted(found: _Found, identity: str, place: Place) -> tuple[str, Data]:
    # XEP-0245 writes an action in this way, and so does everybody who types one.
    message = Message(id=identity, text=f"/me {found['text'].strip()}".rstrip())
    return SENT, Data(conversation=place, actor=_person(found["nick"]), message=message)


def _joined(found: _Found, identity: str, place: Place) -> tuple[str, Data]:
    return JOINED, Data(conversation=place, actor=_person(found["nick"]))


def _left(found: _Found, identity: str, place: Place) -> tuple[str, Data]:
    reason = (found.get("reason") or "").strip('" ') or None
    return LEFT, Data(conversation=place, actor=_person(found["nick"]), reason=reason)


def _kicked(found: _Found, identity: str, place: Place) -> tuple[str, Data]:
    actor, subject = _person(found["nick"]), _person(found["other"])
    return LEFT, Data(conversation=place, actor=actor, subject=subject, reason=found.get("reason"))


def _renamed(found: _Found, identity: str, place: Place) -> tuple[str, Data]:
    return RENAMED, Data(conversation=place, actor=_person(found["nick"]), subject=_person(found["other"]))


def _topic(found: _Found, identity: str, place: Place) -> tuple[str, Data]:
    return TOPIC_CHANGED, Data(conversation=place, actor=_person(found["nick"]), topic=found["text"])


_BUILD = {
    form.SAID: _said,
    form.NOTICED: _said,
    form.ACTED: _acted,
    form.JOINED: _joined,
    form.LEFT: _left,
    form.KICKED: _kicked,
    form.RENAMED: _renamed,
    form.TOPIC: _topic,
}
