"""What people are called in an item: by name, else by address unless that is hidden."""

from __future__ import annotations

from archiver.events import Participant
from archiver.rendering.headers import bare, clean
from archiver.rendering.reading import HIDDEN, Person, Reading
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
        name = participant.name or self._reading.lasting_name(participant.address)
        return self.label(name, participant.address, participant.hidden)

    def person(self, person: Person) -> str:
        return self.label(person.name, person.address, person.hidden)

    def label(self, name: str | None, address: str, hidden: bool) -> str:
        which = (name, address, hidden)
        if which not in self._labels:
            self._labels[which] = self._make(name, address, hidden)
        return self._labels[which]

    def _make(self, name: str | None, address: str, hidden: bool) -> str:
        instead = self._reading.hidden.get(address)
        hidden = hidden or instead is not None
        shown = clean(name or "") or clean("" if instead in (None, HIDDEN) else instead or "")
        if not shown and not hidden:
            shown = clean(bare(address))
        return shown or self._words("hidden" if hidden else "unknown")
