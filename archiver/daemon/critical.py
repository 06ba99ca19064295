"""Critical mode at work: asks the spool what fails, refuses what then must not be taken, and says so once.

Nothing of it is in memory but what saves asking: since when archiving fails stands in the spool, so that a restart
changes nothing, and it is over as soon as nothing waits any more. Which request is refused is
`archiver.decisions.critical`'s.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

import structlog

from archiver.decisions.critical import Met, Outage, can_block, is_refused, outages, pool_of
from archiver.events import SECOND, Captured, Rejected, kinds_of, named
from archiver.exceptions import ArchiverError
from archiver.filing.pipeline import Terms
from archiver.spool import Spool

log = structlog.get_logger(__name__)

AGAIN = 5 * SECOND
"""How long an answer of the spool serves."""
_REMEMBERED = 10_000

Room = tuple[str, str]
"""A source, and the id of a conversation of it."""

Identity = tuple[str, str]
"""An event's: a source, and the id of an event of it."""


class Critical:
    """Callable from any thread. `terms` gives those of now."""

    def __init__(self, spool: Spool, terms: Callable[[], Terms]) -> None:
        self._spool = spool
        self._terms = terms
        self._lock = threading.Lock()
        self._asked: int | None = None
        self._outages: dict[str, Outage] = {}
        self._told: dict[str, bool] = {}
        self._people: dict[Room, set[str]] = {}
        self._counted: set[Identity] = set()

    def refused(self, batch: Sequence[Captured | Rejected], now: int) -> frozenset[Identity]:
        """The identities of what is refused now, whole conversations each; the rest is to be taken."""
        if not can_block(self._terms().policy):
            return frozenset()
        with self._lock:
            if not self._critical(now):
                return frozenset()
            captured = [each for each in batch if isinstance(each, Captured)]
            refused = self._refused(captured, now)
            if refused:
                self._count(refused, now)
            self._meet(each for each in captured if identity(each) not in refused)
            return frozenset(refused)

    def look(self, now: int) -> None:
        """Ask the spool anew; what begins or ends is logged once."""
        with self._lock:
            self._ask(now)
            for pool in sorted(self._told.keys() | self._outages.keys()):
                self._tell(pool, self._outages.get(pool), now)

    def outages(self) -> dict[str, Outage]:
        """Of each pool that fails, as it was last asked for."""
        with self._lock:
            return dict(self._outages)

    # Outages

    def _critical(self, now: int) -> bool:
        if self._asked is None or not self._asked <= now < self._asked + AGAIN:
            self._ask(now)
        return any(outage.is_critical(now) for outage in self._outages.values())

    def _ask(self, now: int) -> None:
        self._outages = outages(self._spool.failures(), self._terms().policy)
        self._asked = now
        if not any(outage.is_critical(now) for outage in self._outages.values()):
            self._people, self._counted = {}, set()

    def _tell(self, pool: str, outage: Outage | None, now: int) -> None:
        if outage is None:
            self._told.pop(pool)
            log.info("archiving goes on", pool=pool)
            return
        critical = outage.is_critical(now)
        if self._told.get(pool) != critical:
            self._told[pool] = critical
            event = "critical mode" if critical else "archiving fails"
            log.error(event, pool=pool, since=outage.since, waiting=outage.deliveries, why=outage.reason)

    # Conversations

    def _refused(self, captured: Sequence[Captured], now: int) -> set[Identity]:
        terms = self._terms()
        rooms: dict[Room, list[Captured]] = {}
        for each in captured:
            rooms.setdefault(_room(each), []).append(each)
        refused: set[Identity] = set()
        for (source, _), said in rooms.items():
            outage = self._outages.get(pool_of(source, terms.policy))
            if outage is not None and is_refused(self._met(said, terms), outage, terms.policy, now):
                refused.update(map(identity, said))
        return refused

    def _met(self, said: Sequence[Captured], terms: Terms) -> Met:
        event = said[0].event
        people = self._known(_room(said[0])).union(*(named(each.event) for each in said))
        found = {terms.directory.mailbox_of(event.source, address) for address in people}
        mailboxes = sorted(address for address in found if address is not None)
        return Met(
            event.source,
            kinds_of(said),
            tuple(terms.directory.mailbox(address) for address in mailboxes),
            None not in found,
            self._spool.standing_holds(mailboxes),
        )

    def _known(self, room: Room) -> set[str]:
        if room not in self._people:
            if len(self._people) >= _REMEMBERED:
                self._people.clear()
            self._people[room] = set(self._spool.people(*room))
        return self._people[room]

    def _meet(self, captured: Iterable[Captured]) -> None:
        """Who is in a conversation from now on, as what names them is about to be spooled."""
        for each in captured:
            known = self._people.get(_room(each))
            if known is not None:
                known.update(named(each.event))

    def _count(self, refused: set[Identity], now: int) -> None:
        """Each event once, however often it is sent again. That it can't be counted is no reason to take it."""
        rules = self._terms().policy
        fresh = refused - self._counted
        if len(self._counted) + len(fresh) > _REMEMBERED:
            self._counted.clear()
        self._counted |= fresh
        with suppress(ArchiverError):
            for pool, events in Counter(pool_of(source, rules) for source, _ in fresh).items():
                self._spool.count_put_off(pool, events, now)


def _room(captured: Captured) -> Room:
    return captured.event.source, captured.event.data.conversation.id


def identity(captured: Captured) -> Identity:
    return captured.event.source, captured.event.id
