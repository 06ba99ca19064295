"""A conversation as one owner saw it, as text and as HTML.

Lines are made once an event (per language, zone and what the view shows of its edits, reactions and parents) and
joined per view: most views share most lines. Headers and MIME are `archiver.rendering`'s.
"""

from __future__ import annotations

from itertools import compress

from msgspec import Struct

from archiver.events import SECOND, SENT
from archiver.rendering.entries import Entry, Teller, View
from archiver.rendering.files import Shelf
from archiver.rendering.headers import answer_link, clean
from archiver.rendering.markup import escape, link, paragraph, plain
from archiver.rendering.people import Names
from archiver.rendering.reading import Person, Reading, first_bit, indices
from archiver.rendering.wording import DAY, HOURS_MINUTES, SECONDS, Clock, Words, duration, iso_day, offset_text

_CONTINUED = "\n" + " " * 9
"""Further lines of a message stand below its name, where no entry begins: text can't pass for another's."""

_NOTE = "    - "
_SPANS = 5

_HEAD = '<!DOCTYPE html>\n<html lang="{lang}">\n<head><meta charset="utf-8"><title>{title}</title></head>\n'
_BODY = '<body style="font-family:sans-serif;font-size:14px">\n<h2 dir="auto">{title}</h2>\n'
_TABLE = '<table cellpadding="3" cellspacing="0" style="border-collapse:collapse">\n'
_FOOT = "</table>\n</body>\n</html>\n"
_CLOCK = '<tr valign="top"><td>'
_WHO = '</td><td dir="auto"><b>'
_WHAT = '</b></td><td dir="auto">'
_END = "</td></tr>\n"
_NOBODY = "</td><td>*</td>"


class Told(Struct, frozen=True):
    """Both forms of the transcript of one view, after the title."""

    text: str
    html: str


class Transcript:
    """The lines of one conversation in one language and zone."""

    def __init__(self, reading: Reading, words: Words, clock_: Clock, shelf: Shelf) -> None:
        self.reading = reading
        self.words = words
        self.clock = clock_
        self._shelf = shelf
        self.names = Names(reading, words)
        self._teller = Teller(reading, words, clock_, shelf, self.names)
        self._labels: dict[str, tuple[str | None, str, str]] = {}
        self._days: list[tuple[int, int]] = []
        self._stamps: list[str] = []
        self._texts: list[str] = []
        self._htmls: list[str] = []
        self._variants: dict[tuple[int, int, int, frozenset[str]], tuple[str, str]] = {}
        self._lines()
        self._one_day = self._days[0] if len(set(self._days)) == 1 else None

    def _lines(self) -> None:
        """The lines of all events whose telling doesn't depend on the view; most are plain messages."""
        reading, texts, htmls = self.reading, self._texts, self._htmls
        self._set_clocks()
        touchy, everything = reading.touchy, View(-1, 0, frozenset())
        for index, (captured, stamp) in enumerate(zip(reading.conversation.events, self._stamps, strict=True)):
            event = captured.event
            data = event.data
            message = data.message
            if touchy and touchy >> index & 1:
                texts.append("")
                htmls.append("")
            elif (
                event.type == SENT
                and message is not None
                and (text := message.text)
                and message.html is None
                and message.to is None
                and message.in_reply_to is None
                and data.attachments is None
                and data.actor is not None
                and not text.startswith("/me ")
                and event.archivertime is None
            ):
                known = self._labels.get(data.actor.address)
                if known is None or known[0] != data.actor.name:
                    known = self._label(index)
                if not text.isprintable():
                    text = plain(text)
                body = text.replace("\n", _CONTINUED) if "\n" in text else text
                texts.append(f"{stamp} {known[1]}: {body}\n")
                htmls.append(f"{_CLOCK}{stamp}{_WHO}{known[2]}{_WHAT}{paragraph(text)}{_END}")
            else:
                entry = self._teller.tell(index, everything)
                texts.append(_text(stamp, entry) if entry else "")
                htmls.append(_html(stamp, entry) if entry else "")

    def _set_clocks(self) -> None:
        """Local day and time of every event; the offset is asked for once a stretch in which it can't change."""
        until = offset = 0
        which = (0, 0)
        for captured in self.reading.conversation.events:
            time = captured.time
            if time >= until:
                offset, until = self.clock.stretch(time)
            day, second = divmod(time // SECOND + offset, DAY)
            if which != (day, offset):
                which = (day, offset)
            self._days.append(which)
            self._stamps.append(HOURS_MINUTES[second // 60] + SECONDS[second % 60])

    def _label(self, index: int) -> tuple[str | None, str, str]:
        actor = self.reading.events[index].data.actor
        who = self.names.who(actor)
        known = (actor.name if actor else None, who, escape(who))
        if actor is not None:
            self._labels[actor.address] = known
        return known

    def told(self, view: View) -> Told:
        """Participants and entries of a view, in both forms."""
        mask = view.mask
        texts, htmls = self._texts, self._htmls
        changing = mask & (self.reading.touchy | (self._shelf.holders if view.over else 0))
        if changing:
            texts, htmls = list(texts), list(htmls)
            for index in indices(changing):
                texts[index], htmls[index] = self._variant(index, view)
        text, html = self._people(mask)
        if self._one_day is None:
            texts, htmls = self._with_days(texts, htmls, mask)
        else:
            line, row = self._day_break(*self._one_day)
            text, html = text + line, html + row
        # The binary digits of the mask, lowest first, are the selectors.
        selectors = [digit == "1" for digit in f"{mask:b}"[::-1]]
        return Told(
            text + "".join(compress(texts, selectors)),
            html + "".join(compress(htmls, selectors)) + _FOOT,
        )

    def _variant(self, index: int, view: View) -> tuple[str, str]:
        touched = self.reading.touch.get(index, 0)
        key = (index, view.mask & touched, view.concealed & (touched | 1 << index), view.over)
        if key not in self._variants:
            entry = self._teller.tell(index, view)
            stamp = self._stamps[index]
            self._variants[key] = (_text(stamp, entry), _html(stamp, entry)) if entry else ("", "")
        return self._variants[key]

    def _with_days(self, texts: list[str], htmls: list[str], mask: int) -> tuple[list[str], list[str]]:
        """Name the day where it, or the offset, is another than the entry's before."""
        texts, htmls = list(texts), list(htmls)
        current: tuple[int, int] | None = None
        for index in indices(mask):
            if texts[index] and self._days[index] != current:
                current = self._days[index]
                line, row = self._day_break(*current)
                texts[index], htmls[index] = line + texts[index], row + htmls[index]
        return texts, htmls

    def _day_break(self, day: int, offset: int) -> tuple[str, str]:
        name = f"{self.words.day(day)} (UTC{offset_text(offset)})"
        return f"\n--- {name} ---\n", f'<tr><td colspan="3"><br><b>{escape(name)}</b>{_END}'

    # What stands above the entries

    def opening(self, title: str, topic: str | None, mask: int) -> Told:
        """Title, topic and time of a view; all that may differ between the sides of a one-to-one."""
        lines = [self.words("Topic: {topic}", topic=topic)] if topic and topic not in title else []
        lines.append(self._range(mask))
        html = (_HEAD + _BODY).format(lang=self.words.tag, title=escape(title))
        return Told(
            f"{title}\n" + "".join(f"{line}\n" for line in lines),
            html + "".join(f'<p dir="auto">{escape(line)}</p>\n' for line in lines),
        )

    def _range(self, mask: int) -> str:
        first, last = first_bit(mask), mask.bit_length() - 1
        day, offset = self._days[first]
        _, last_offset = self._days[last]
        start = f"{iso_day(day)} {self._stamps[first]}"
        end = self._at(last, day)
        if offset != last_offset:
            start += f" (UTC{offset_text(offset)})"
        return self.words(
            "{start} – {end} ({zone}, UTC{offset})",
            start=start,
            end=end,
            zone=self.clock.zone,
            offset=offset_text(last_offset),
        )

    def _people(self, mask: int) -> tuple[str, str]:
        people = self.reading.people(mask)
        title = self.words("Participants")
        text = [f"\n{title}\n"]
        html = [f"<h3>{escape(title)}</h3>\n<ul>\n"]
        for person in people:
            name = self.names.person(person)
            uri = "" if person.hidden else answer_link(self.reading.conversation.source, person.address)
            facts = self._facts(person, mask)
            text.append(f"- {name} <{uri}>: {facts}\n" if uri else f"- {name}: {facts}\n")
            shown = link(uri, name) if uri else escape(name)
            html.append(f'<li dir="auto">{shown}: {escape(facts)}</li>\n')
        html.append("</ul>\n" + _TABLE)
        return "".join(text), "".join(html)

    def _facts(self, person: Person, mask: int) -> str:
        if person.invited:
            return self.words("invited, did not come")
        events = self.reading.conversation.events
        day = self._days[first_bit(mask)][0]
        shown = [f"{self._at(first, day)}–{self._at(last, day)}" for first, last in person.spans[:_SPANS]]
        if len(person.spans) > _SPANS:
            shown.append("…")
        total = sum([events[last].time - events[first].time for first, last in person.spans]) // SECOND
        return self.words(
            "{spans} ({duration}), messages: {count}",
            spans=self.words.join(shown),
            duration=duration(total),
            count=person.messages,
        )

    def _at(self, index: int, beside: int) -> str:
        """The time of an event, with its day where that isn't the day beside."""
        day = self._days[index][0]
        return self._stamps[index] if day == beside else f"{iso_day(day)} {self._stamps[index]}"


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
    if entry.action:
        body = f"<i>{escape(entry.who)} {body}</i>"
    elif not entry.who:
        body = f"<i>{body}</i>"
    notes = "".join(f'<div style="color:#777">{paragraph(note)}</div>\n' for note in entry.notes)
    pictures = "".join(
        f'<div><img src="cid:{cid}" alt="{escape(clean(name))}" style="max-width:100%"></div>\n'
        for cid, name in entry.pictures
    )
    middle = _NOBODY + '<td dir="auto">' if entry.action or not entry.who else f"{_WHO}{escape(entry.who)}{_WHAT}"
    newline = "\n" if notes or pictures else ""
    return f"{_CLOCK}{stamp}{middle}{body}{newline}{notes}{pictures}{_END}"
