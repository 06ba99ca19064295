"""What people are called in an item: by name, else by address unless that is hidden."""

from __future__ import annotations

from msgspec import Struct

from archiver.events import Participant
from archiver.rendering.headers import addr_spec, answer_link, bare, clean, mailbox
from archiver.rendering.markup import escape, link
from archiver.rendering.reading import Person, Reading
from archiver.rendering.veil import PSEUDONYM
from archiver.rendering.wording import Words


class Called(Struct, frozen=True):
    """Somebody, safe for any line: what they are called, that with a link to answer in both forms, and in addresses."""

    name: str
    text: str
    html: str
    mailbox: str


Known = dict[tuple[str | None, str, bool, bool], Called]
"""By name, address, whether they are hidden, and whether from the reader."""


class Names:
    """The names of one view's people in one language, made once. `known` are those of other views, to add to."""

    def __init__(self, reading: Reading, words: Words, known: Known) -> None:
        self._reading = reading
        self._words = words
        self._known = known
        self._labels: dict[tuple[str | None, str, bool], str] = {}

    def who(self, participant: Participant | None) -> str:
        """What somebody was called when an event happened."""
        if participant is None:
            return self._words("somebody")
        name = participant.name or self._reading.name(participant.address)
        return self._label(name, participant.address, self._reading.hides(participant))

    def person(self, person: Person) -> Called:
        hides = self._reading.hides(person)
        which = (person.name, person.address, person.hidden, hides)
        found = self._known.get(which)
        if found is None:
            found = self._known[which] = self._called(person, hides)
        return found

    def _called(self, person: Person, hides: bool) -> Called:
        source = self._reading.conversation.source
        name = self._label(person.name, person.address, hides)
        if hides:
            address = addr_spec(source, person.name or person.address, real=False)
            return Called(name, name, escape(name), mailbox(name, address))
        uri = answer_link(source, person.address)
        text = f"{name} <{uri}>" if uri else name
        html = link(uri, name) if uri else escape(name)
        if person.hidden:
            hidden = self._words("hidden from the others")
            text, html = f"{text} ({hidden})", f"{html} ({escape(hidden)})"
        return Called(name, text, html, mailbox(name, addr_spec(source, person.address)))

    def _label(self, name: str | None, address: str, hidden: bool) -> str:
        which = (name, address, hidden)
        if which not in self._labels:
            self._labels[which] = self._make(name, address, hidden)
        return self._labels[which]

    def _make(self, name: str | None, address: str, hidden: bool) -> str:
        if shown := clean(name or ""):
            return shown
        if not hidden:
            return clean(bare(address)) or self._words("unknown")
        number = PSEUDONYM.fullmatch(address)
        if number is None or number[1] == "1":
            return self._words("hidden")
        return self._words("hidden ({number})", number=number[1])
