"""A conversation as one owner saw it, as text and as HTML.

Lines are made once an event, language and zone: views of one conversation share those that don't depend on other
events. Headers and MIME are `archiver.rendering`'s.
"""

from __future__ import annotations

from functools import cached_property

from msgspec import Struct

from archiver.events import GUESSES, OTHER_GUESS, SECOND, SENT, Captured
from archiver.rendering.entries import Entry, Teller, View
from archiver.rendering.files import Shelf
from archiver.rendering.headers import clean
from archiver.rendering.markup import escape, paragraph, plain
from archiver.rendering.people import Known, Names
from archiver.rendering.reading import Person, Reading, participants
from archiver.rendering.wording import DAY, HOURS_MINUTES, SECONDS, Clock, Words, duration, iso_day, offset_text

_CONTINUED = "\n" + " " * 9
"""Further lines of a message stand below its name, where no entry begins: text can't pass for another's."""

_NOTE = "    - "
_SPANS = 5
_GUESS = 200
_FEW = 8
"""More people than this are folded away in HTML, where a client can."""

_STYLE = """<style>
body{font:16px/1.45 -apple-system,"Segoe UI",Roboto,"Noto Sans","Noto Sans TC","PingFang TC",sans-serif;
color:#222;background:#fff;max-width:44em;margin:0 auto;padding:8px 12px}
h1{font-size:1.3em;line-height:1.25;margin:.5em 0 .2em}
h2{font-size:.9em;color:#555;border-top:1px solid #ddd;margin:1.6em 0 .6em;padding-top:.7em}
a{color:#0b5cad}
small,.facts{color:#6a6a6a;font-size:.85em}
.m,.e{margin:.45em 0;overflow-wrap:anywhere}
.e{color:#6a6a6a;font-size:.92em}
.e small{font-size:.924em}
.n{color:#6a6a6a;font-size:.9em;margin:.1em 0 .1em .4em;padding-left:.7em;border-left:2px solid #ddd}
img{display:block;max-width:100%;height:auto;margin:.3em 0}
table{border-collapse:collapse;font-size:.9em;margin:.5em 0}
th,td{text-align:start;vertical-align:top;padding:.25em 1em .25em 0;border-bottom:1px solid #eee;overflow-wrap:anywhere}
th{color:#6a6a6a;font-weight:normal;white-space:nowrap}
td.c,th.c{text-align:end;padding-right:0}
summary{color:#555;font-size:.9em;cursor:pointer}
</style>
"""
# Clients that drop the style still show what is said in the order it was said, in their own type.
_HEAD = (
    '<!DOCTYPE html>\n<html lang="{lang}">\n<head><meta charset="utf-8">\n'
    '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
)
_BODY = '<title>{title}</title>\n</head>\n<body>\n<h1 dir="auto">{title}</h1>\n'
_FOOT = "</body>\n</html>\n"
_MESSAGE = '<div class="m"><small>'
_WHO = '</small> <b dir="auto">'
_WHAT = '</b> <span dir="auto">'
_END = "</span></div>\n"


class Made(Struct):
    """What views of one conversation share in one language and zone, to take and to add to."""

    people: Known
    lines: dict[bytes, tuple[str, str]] | None
    """Both forms of the lines of events, by their canonical JSON; None where nothing is to be kept for another view."""


def html_head(tag: str) -> str:
    """What comes before the title, in a language by its BCP 47 tag."""
    return _HEAD.format(lang=tag) + _STYLE


class Told(Struct, frozen=True):
    """Both forms of a part of the transcript."""

    text: str
    html: str


class Transcript:
    """The lines of one view in one language and zone. `made` is what other views have brought."""

    def __init__(self, reading: Reading, words: Words, clock_: Clock, shelf: Shelf, made: Made) -> None:
        self.reading = reading
        self.words = words
        self.clock = clock_
        self._shelf = shelf
        self._made = made.lines
        self.names = Names(reading, words, made.people)
        self._teller = Teller(reading, words, clock_, shelf, self.names)
        self._labels: dict[str, tuple[str, str, str]] = {}
        self._days: list[tuple[int, int]] = []
        self._stamps: list[str] = []
        self._several_days = False
        self._set_clocks()

    def _set_clocks(self) -> None:
        """Local day and time of every event; both are asked for once a stretch in which they can't change."""
        since = until = midnight = 0
        which = (0, 0)
        days, stamps = self._days, self._stamps
        for captured in self.reading.conversation.events:
            time = captured.time
            if not since <= time < until:
                since, (offset, until) = time, self.clock.stretch(time)
                day = (time // SECOND + offset) // DAY
                midnight = day * DAY - offset
                until = min(until, (midnight + DAY) * SECOND)
                if which != (day, offset):
                    self._several_days = bool(days)
                    which = (day, offset)
            second = time // SECOND - midnight
            days.append(which)
            stamps.append(HOURS_MINUTES[second // 60] + SECONDS[second % 60])

    def told(self, view: View) -> Told:
        """Participants and entries, in both forms."""
        texts, htmls = self._lines(view)
        text, html = self._people()
        if self._several_days:
            self._name_days(texts, htmls)
        else:
            line, row = self._day_break(*self._days[0])
            text, html = text + line, html + row
        return Told(text + "".join(texts), html + "".join(htmls) + _FOOT)

    def _lines(self, view: View) -> tuple[list[str], list[str]]:
        """The lines of all events; most are plain messages, and known from another view."""
        texts: list[str] = []
        htmls: list[str] = []
        made, woven, line = self._made, self.reading.woven, self._line
        for index, captured in enumerate(self.reading.conversation.events):
            known = made.get(captured.body) if made and index not in woven else None
            text, html = known or line(index, captured, view)
            texts.append(text)
            htmls.append(html)
        return texts, htmls

    def _line(self, index: int, captured: Captured, view: View) -> tuple[str, str]:
        """Both forms of one entry, kept for other views where it is the same in all that show it."""
        event = captured.event
        data, message = event.data, event.data.message
        if index in self.reading.woven:
            return _forms(self._stamps[index], self._teller.tell(index, view))
        if (
            event.type == SENT
            and message is not None
            and (text := message.text)
            and message.html is None
            and message.to is None
            and data.attachments is None
            and data.actor is not None
            and data.actor.name
            and not text.startswith("/me ")
            and event.archivertime is None
        ):
            known = self._labels.get(data.actor.address)
            if known is None or known[0] != data.actor.name:
                known = self._label(index)
            if not text.isprintable():
                text = plain(text)
            stamp = self._stamps[index]
            body = text.replace("\n", _CONTINUED) if "\n" in text else text
            forms = f"{stamp} {known[1]}: {body}\n", f"{_MESSAGE}{stamp}{_WHO}{known[2]}{_WHAT}{paragraph(text)}{_END}"
        else:
            forms = _forms(self._stamps[index], self._teller.tell(index, view))
            if data.attachments or not all(who.name for who in participants(event)):
                return forms
        if self._made is not None:
            self._made[captured.body] = forms
        return forms

    def _label(self, index: int) -> tuple[str, str, str]:
        actor = self.reading.events[index].data.actor
        who = self.names.who(actor)
        known = (actor.name or "" if actor else "", who, escape(who))
        if actor is not None:
            self._labels[actor.address] = known
        return known

    def _name_days(self, texts: list[str], htmls: list[str]) -> None:
        """Name the day where it, or the offset, is another than the entry's before."""
        current: tuple[int, int] | None = None
        for index, day in enumerate(self._days):
            if day != current and texts[index]:
                current = day
                line, row = self._day_break(*day)
                texts[index], htmls[index] = line + texts[index], row + htmls[index]

    def _day_break(self, day: int, offset: int) -> tuple[str, str]:
        name = f"{self.words.day(day)} (UTC{offset_text(offset)})"
        return f"\n--- {name} ---\n", f"<h2>{escape(name)}</h2>\n"

    # What stands above the entries

    def opening(self, title: str, topic: str | None) -> Told:
        """Title, topic, time and what was guessed; all that may differ between the sides of a one-to-one.

        HTML follows its head.
        """
        lines = [self.words("Topic: {topic}", topic=topic)] if topic and topic not in title else []
        lines += [self._range, *self._guesses]
        html = _BODY.format(title=escape(title))
        return Told(
            f"{title}\n" + "".join(f"{line}\n" for line in lines),
            html + "".join(f'<div dir="auto" class="facts">{escape(line)}</div>\n' for line in lines),
        )

    @cached_property
    def _range(self) -> str:
        day, offset = self._days[0]
        last_offset = self._days[-1][1]
        start = f"{iso_day(day)} {self._stamps[0]}"
        end = self._at(len(self._days) - 1, day)
        if offset != last_offset:
            start += f" (UTC{offset_text(offset)})"
        return self.words(
            "{start} – {end} ({zone}, UTC{offset})",
            start=start,
            end=end,
            zone=self.clock.zone,
            offset=offset_text(last_offset),
        )

    @cached_property
    def _guesses(self) -> list[str]:
        """A sentence for each reason; what others wrote into a mark stays one line."""
        return [
            self.words(GUESSES.get(reason, OTHER_GUESS), value=clean(self.words.join(list(values)), _GUESS))
            for reason, values in self.reading.guesses.items()
        ]

    def _people(self) -> tuple[str, str]:
        people, words, person_of = self.reading.people, self.words, self.names.person
        title = words("Participants")
        text = [f"\n{title}\n"]
        heads = words("Name"), words("Present"), words("Messages")
        html = [f'<table>\n<tr><th>{heads[0]}</th><th>{heads[1]}</th><th class="c">{heads[2]}</th></tr>\n']
        facts: dict[tuple[object, ...], tuple[str, str]] = {}
        for person in people:
            who = person_of(person)
            which = (person.spans, person.messages, person.invited)
            known = facts.get(which)  # in a crowd many are there all the time
            if known is None:
                known = facts[which] = self._facts(person)
            text.append(f"- {who.text}: {known[0]}\n")
            html.append(f'<tr><td dir="auto">{who.html}</td>{known[1]}</tr>\n')
        html.append("</table>\n")
        summary = f"{escape(title)}: {len(people)}"
        if len(people) > _FEW:
            html = [f"<details>\n<summary>{summary}</summary>\n", *html, "</details>\n"]
        return "".join(text), "".join(html)

    def _facts(self, person: Person) -> tuple[str, str]:
        """When somebody was there and how much they said: in text, and as cells."""
        if person.invited:
            there = text = self.words("invited, did not come")
        else:
            there = self._presence(person)
            text = self.words("{presence}, messages: {count}", presence=there, count=person.messages)
        count = "" if person.invited else person.messages
        return text, f'<td>{escape(there)}</td><td class="c">{count}</td>'

    def _presence(self, person: Person) -> str:
        """When somebody was there, and how long in all."""
        events = self.reading.conversation.events
        day = self._days[0][0]
        shown = [f"{self._at(first, day)}–{self._at(last, day)}" for first, last in person.spans[:_SPANS]]
        if len(person.spans) > _SPANS:
            shown.append("…")
        # Of whole seconds, as the times beside it are.
        total = sum([events[last].time // SECOND - events[first].time // SECOND for first, last in person.spans])
        return self.words("{spans} ({duration})", spans=self.words.join(shown), duration=duration(total))

    def _at(self, index: int, beside: int) -> str:
        """The time of an event, with its day where that isn't the day beside."""
        day = self._days[index][0]
        return self._stamps[index] if day == beside else f"{iso_day(day)} {self._stamps[index]}"


def _forms(stamp: str, entry: Entry | None) -> tuple[str, str]:
    return ("", "") if entry is None else (_text(stamp, entry), _html(stamp, entry))


def _text(stamp: str, entry: Entry) -> str:
    body = entry.text.replace("\n", _CONTINUED)
    if not entry.who:
        line = f"{stamp} * {body}\n"
    elif entry.action:
        line = f"{stamp} * {entry.who} {body}\n"
    else:
        line = f"{stamp} {entry.who}: {body}\n"
    return line + "".join(_NOTE + note.replace("\n", _CONTINUED) + "\n" for note in entry.notes)


def _html(stamp: str, entry: Entry) -> str:
    body = entry.html if entry.html is not None else paragraph(entry.text)
    notes = "".join(f'<div class="n" dir="auto">{paragraph(note)}</div>\n' for note in entry.notes)
    pictures = "".join(f'<img src="cid:{cid}" alt="{escape(clean(name))}">\n' for cid, name in entry.pictures)
    more = f"\n{notes}{pictures}" if notes or pictures else ""
    if not entry.who:
        return f'<div class="e"><small>{stamp}</small> <span dir="auto">{body}</span>{more}</div>\n'
    who = escape(entry.who)
    if entry.action:
        body, who = f"<i>{who} {body}</i>", "*"
    # What people format may hold blocks, which a span can't.
    tag = "span" if entry.html is None else "div"
    return f'{_MESSAGE}{stamp}{_WHO}{who}</b> <{tag} dir="auto">{body}</{tag}>{more}</div>\n'
