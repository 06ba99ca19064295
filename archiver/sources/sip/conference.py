"""Who is in which conference: by people's own calls to it, and by the rosters that it sends. Pure, within bounds.

Two witnesses tell of the same thing, in either order: somebody comes with the first that says so, and goes likewise.
What must outlast a restart is a `Conference`; `changes` gives those to be kept.

Each change is told to many, and some are told late: what one subscription told counts once, however many tell it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator

import msgspec
from msgspec import Struct

from archiver.sources.sip.copies import ECHO, Copies
from archiver.sources.sip.message import Party
from archiver.sources.sip.roster import Report, User

EMPTY = 600.0
"""Seconds for which a conference is known in which nobody is any more: what was said there may come late."""
UNHEARD = 86_400.0
CONFERENCES = 10_000
PEOPLE = 5_000
ENDPOINTS = 50
SUBSCRIPTIONS = 500


class Person(Struct):
    """Somebody who is in: by which calls (Call-IDs) and which endpoints of a roster, both in the order they came."""

    name: str | None = None
    calls: list[str] = []
    endpoints: list[str] = []


class Conference(Struct):
    """`id` is that of a conference of Lync or Skype for Business, "" for one that only has an address.

    `versions` are the last ones of its subscriptions: what was told while nobody listened is missing in their numbers.
    """

    address: str
    id: str
    people: dict[str, Person] = {}
    topic: str | None = None
    versions: dict[str, int] = {}

    @property
    def focus(self) -> Party:
        return Party(self.address, None, "", self.id)

    @property
    def place(self) -> str:
        return self.focus.place


class Move(Struct, frozen=True):
    """Who came or went; `edge`: the first to come, or the last to go."""

    who: Party
    came: bool
    edge: bool


class Conferences:
    """`kept` are those of an earlier life, as `changes` gave them."""

    def __init__(self, now: float, kept: Iterable[Conference] = ()) -> None:
        self._known: OrderedDict[str, Conference] = OrderedDict((each.place, each) for each in kept)
        self._due: dict[str, float] = dict.fromkeys(self._known, now + UNHEARD)
        self._gaps: dict[str, float] = {}
        self._changed: set[str] = set()
        self._stale: set[str] = set()
        self._copies = Copies()

    def calls(self) -> Iterator[tuple[str, Party, Party]]:
        """By whom, and to which."""
        for each in self._known.values():
            for address, person in each.people.items():
                yield from ((call, Party(address, person.name), each.focus) for call in person.calls)

    def among(self, now: float, *parties: Party) -> Party | None:
        """The conference that one of these is."""
        for each in parties:
            if known := self._known.get(each.place):
                self._keep(known, now)
            if known or each.conference:
                return each
        return None

    def named(self, focus: Party, who: Party) -> Party:
        """Somebody as the conference shows them."""
        known = self._known.get(focus.place)
        person = known.people.get(who.address) if known is not None else None
        return who if person is None or person.name is None else msgspec.structs.replace(who, name=person.name)

    def topic(self, focus: Party) -> str | None:
        known = self._known.get(focus.place)
        return known.topic if known is not None else None

    def enter(self, focus: Party, who: Party, call: str, now: float) -> Move | None:
        """None where they are in already."""
        conference = self._conference(focus)
        move = self._come(conference, who)
        person = conference.people.get(who.address)
        if person is not None and call not in person.calls:
            person.calls.append(call)
        self._keep(conference, now, changed=True)
        return move

    def leave(self, focus: Party, who: Party, call: str, now: float, *, known: bool = True) -> Move | None:
        """None where they are still in by another call, or went before.

        Whose call isn't `known` may have been in since before we listened.
        """
        conference = self._conference(focus)
        person = conference.people.get(who.address)
        if person is not None and call in person.calls:
            person.calls.remove(call)
        move = None if person is not None and person.calls else self._go(conference, who.address)
        self._keep(conference, now, changed=True)
        return Move(who, False, False) if person is None and not known else move

    def report(self, focus: Party, report: Report, subscription: str, now: float) -> tuple[list[Move], int]:
        """Who came and went by it, and how many reports before it were never seen."""
        conference = self._conference(focus)
        missing = self._missing(conference, report.version, subscription, now)
        if missing is None:
            return [], 0
        conference.topic = conference.topic if report.topic is None else report.topic
        moves = list(self._moves(conference, report, subscription, now))
        self._keep(conference, now, changed=bool(moves))
        self._stale.add(conference.place)
        return moves, missing

    def sweep(self, now: float) -> None:
        self._copies.sweep(now)
        due = [place for place, when in self._due.items() if when <= now]
        while due or len(self._known) > CONFERENCES:
            place = due.pop() if due else next(iter(self._known))
            del self._known[place], self._due[place]
            self._gaps.pop(place, None)
            self._changed.add(place)

    def changes(self, *, lately: bool = False) -> dict[str, Conference | None]:
        """What is to be kept from now on, None for what isn't; each once.

        At once that is who came and went, `lately` also names and versions: of hundreds, each is told of each.
        """
        places = self._changed | self._stale if lately else self._changed
        self._changed, self._stale = set(), self._stale - places
        return {place: self._known.get(place) for place in places}

    def _conference(self, focus: Party) -> Conference:
        return self._known.setdefault(focus.place, Conference(focus.address, focus.conference))

    def _keep(self, conference: Conference, now: float, *, changed: bool = False) -> None:
        self._known.move_to_end(conference.place)
        self._due[conference.place] = now + (UNHEARD if conference.people else EMPTY)
        if changed:
            self._changed.add(conference.place)

    def _missing(self, conference: Conference, version: int, subscription: str, now: float) -> int | None:
        """How many reports are missing before this one; None for one that came before.

        What others then miss too is taken for the same.
        """
        versions, place = conference.versions, conference.place
        last = versions.pop(subscription, version - 1)
        versions[subscription] = max(version, last)
        if len(versions) > SUBSCRIPTIONS:
            del versions[next(iter(versions))]
        if version <= last:
            return None
        missing = version - last - 1 if now >= self._gaps.get(place, now) else 0
        if missing:
            self._gaps[place] = now + ECHO
        return missing

    def _moves(self, conference: Conference, report: Report, subscription: str, now: float) -> Iterator[Move]:
        def is_known(*told: User) -> bool:
            words = msgspec.json.encode((report.whole, report.over, told)).decode()
            return self._copies.passed_on(conference.place, words, subscription, now)

        users = [user for user in report.users if user.address != conference.place]
        if report.whole or report.over:
            if is_known(*users):
                return
            users = [] if report.over else users
            named = {user.address for user in users}
            for address in [each for each in conference.people if each not in named]:
                yield from _some(self._go(conference, address))
        for user in users:
            if report.whole or not is_known(user):
                yield from _some(self._told(conference, user))

    def _told(self, conference: Conference, user: User) -> Move | None:
        person = conference.people.get(user.address)
        before = person.endpoints if person is not None and not user.whole else []
        apart = {entity for entity, _ in user.endpoints}
        endpoints = [each for each in before if each not in apart]
        endpoints += [entity[:200] for entity, there in user.endpoints if there]
        left = not user.whole and not endpoints and (person is None or bool(person.endpoints))
        if user.gone or left:
            return self._go(conference, user.address)
        move = self._come(conference, Party(user.address, user.name)) if person is None else None
        person = conference.people.get(user.address)
        if person is not None:
            person.endpoints = endpoints[:ENDPOINTS]
            person.name = user.name or person.name
        return move

    def _come(self, conference: Conference, who: Party) -> Move | None:
        if who.address in conference.people or len(conference.people) >= PEOPLE:
            return None
        conference.people[who.address] = Person(who.name)
        return Move(who, True, len(conference.people) == 1)

    def _go(self, conference: Conference, address: str) -> Move | None:
        person = conference.people.pop(address, None)
        return None if person is None else Move(Party(address, person.name), False, not conference.people)


def _some(move: Move | None) -> Iterator[Move]:
    if move is not None:
        yield move
