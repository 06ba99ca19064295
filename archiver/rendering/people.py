"""What people are called in an item: by name, else by address unless that is hidden."""

from __future__ import annotations

from archiver.events import Participant
from archiver.rendering.headers import bare, clean
from archiver.rendering.reading import Person, Reading
from archiver.rendering.veil import PSEUDONYM
from archiver.rendering.wording import Words


class Names:
    """The names of one conversation's people in one language; safe for any line, made once."""

    def __init__(self, reading: Reading, words: Words) -> None:
        self._reading = reading
        self._words = words
        self._labels: dict[tuple[str | None, str, bool], str] = {}

    def who(self, participant: Participant | None) -> str:
        """What somebody was called when an event happened."""
        if participant is None:
            return self._words("somebody")
        name = participant.name or self._reading.name(participant.address)
        return self.label(name, participant.address, self._reading.hides(participant))

    def person(self, person: Person) -> str:
        return self.label(person.name, person.address, self._reading.hides(person))

    def label(self, name: str | None, address: str, hidden: bool) -> str:
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
