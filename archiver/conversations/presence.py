"""Who is present in a place, and its topic, folded event by event (pure).

Presence is what decides who sees what. It is folded over all events of a place, not of one conversation, so it
carries over idle gaps, span cuts and parts. Nothing here knows where conversations begin or end.
"""

from __future__ import annotations

from collections.abc import Iterator

from archiver.events import INVITED, JOINED, LEFT, RENAMED, TOPIC_CHANGED, Event, Participant
from archiver.types import Presence, Roster

CARRIED = -1
"""Ordinal of an arrival that happened before the first event folded here."""


class Interval:
    """One join-to-leave interval: between which events (ordinals in the place, both included) someone was present.

    `last` is None while they are still there. `until` is the time at which an inferred presence ran out.
    """

    __slots__ = (
        "acted",
        "addresses",
        "first",
        "hidden",
        "invited",
        "joined",
        "last",
        "left",
        "name",
        "since",
        "until",
    )

    def __init__(self, who: Participant, first: int, joined: int | None) -> None:
        self.addresses: tuple[str, ...] = (who.address,)
        self.name = who.name
        self.hidden = who.hidden
        self.first = first
        self.joined = joined
        self.last: int | None = None
        self.left: int | None = None
        self.until: int | None = None
        self.acted: int | None = None
        self.since: int | None = None
        self.invited = False

    @classmethod
    def carried(cls, presence: Presence) -> Interval:
        known = cls(Participant(presence.addresses[-1], presence.name, presence.hidden), CARRIED, presence.joined)
        known.addresses = presence.addresses
        known.acted, known.since = presence.acted, presence.since
        return known

    def presence(self) -> Presence:
        return Presence(self.addresses, self.name, self.hidden, self.joined, self.acted, self.since)


def topic_after(event: Event, known: str | None) -> str | None:
    """The topic from an event on; an empty one takes it away."""
    said = event.data.conversation.topic
    if event.type == TOPIC_CHANGED and event.data.topic is not None:
        said = event.data.topic
    return known if said is None else said or None


class Attendance:
    """The fold: feed `apply` every event of the place in order, with its ordinal.

    `stays` is the time after which someone who does nothing is taken to have left, for sources that record no
    leaves (None: they do).
    """

    def __init__(self, roster: Roster, stays: int | None) -> None:
        self._stays = stays
        self._snapshot: tuple[Participant, ...] | None = None
        self._former: set[str] = {address for p in roster.present for address in p.addresses[:-1]}
        self.here: dict[str, Interval] = {p.addresses[-1]: Interval.carried(p) for p in roster.present}
        self.past: list[Interval] = []
        self._to_come: list[Interval] | None = None
        self.topic: str | None = None
        self.topic_since: int | None = None
        self._topic_to_come: Roster | None = roster
        self._awaits = True
        """Whether somebody, or the topic, is still to come."""

    def apply(self, event: Event, time: int, ordinal: int) -> None:
        if self._awaits:
            self.arrive(time, ordinal)
        data, kind = event.data, event.type
        place, actor = data.conversation, data.actor
        if place.topic is not None or kind == TOPIC_CHANGED:
            self._say_topic(event, time)
        if actor is not None:
            interval = self.here.get(actor.address)
            if interval is None or self._stays is not None or actor.hidden:
                self._act(actor, time, ordinal, joins=kind == JOINED and data.subject is None)
            else:  # most events by far are by somebody known to be here
                interval.acted = time
                if actor.name is not None and actor.name != interval.name:
                    interval.name = actor.name
                    self._snapshot = None
        snapshot = place.participants
        if snapshot is not None and (self._stays is not None or snapshot != self._snapshot):
            self._replace(snapshot, event, time, ordinal)
        if kind in _MOVES and (who := data.subject or actor) is not None:
            _MOVES[kind](self, event, who, time, ordinal)

    def arrive(self, time: int, ordinal: int) -> None:
        """Let those of the roster come who had come before `time`, that of event `ordinal`; and so the topic.

        The roster is of the time up to which events were forgotten. When one from before comes late, some of its
        people may not have been here yet.
        """
        coming = list(self.here.values()) if self._to_come is None else self._to_come
        if self._to_come is None:
            self.here = {}
        self._to_come = []
        known = self._topic_to_come
        if known is not None and (known.topic_since is None or known.topic_since < time):
            self.topic, self.topic_since, self._topic_to_come = known.topic, known.topic_since, None
        for interval in coming:
            if interval.since is not None and interval.since >= time:
                self._to_come.append(interval)
            else:
                self._arrive(interval, ordinal)
        self._awaits = bool(self._to_come) or self._topic_to_come is not None

    def _arrive(self, interval: Interval, ordinal: int) -> None:
        address = interval.addresses[-1]
        known = self.here.get(address)
        if known is None:
            self.here[address] = interval
            interval.first = ordinal
            self._snapshot = None
        else:  # did something that came late
            known.name, known.hidden = interval.name or known.name, known.hidden or interval.hidden
            known.acted = max(known.acted or 0, interval.acted or 0) or None

    def _say_topic(self, event: Event, time: int) -> None:
        self.topic, self.topic_since = topic_after(event, self.topic), time

    @property
    def inferred(self) -> bool:
        return self._stays is not None

    def roster(self, time: int) -> Iterator[Presence]:
        """Who is present just before `time`."""
        for interval in self.here.values():
            if not self._ran_out(interval, time):
                yield interval.presence()

    def prune(self, ordinal: int, following: int, time: int) -> None:
        """Forget what ended before `ordinal`; end inferred intervals that ran out before `time`, event `following`."""
        self.past = [interval for interval in self.past if interval.last is None or interval.last >= ordinal]
        if self._stays is not None:
            for address in [a for a, interval in self.here.items() if self._ran_out(interval, time)]:
                self._end(address, following - 1, None, time)

    def intervals(self) -> Iterator[Interval]:
        """All that have not been pruned, the ended ones first; inferred presences with the time they ran out."""
        yield from self.past
        for interval in self.here.values():
            if self._stays is not None and interval.acted is not None:
                interval.until = interval.acted + self._stays
            yield interval

    def _ran_out(self, interval: Interval, time: int) -> bool:
        return self._stays is not None and interval.acted is not None and time - interval.acted > self._stays

    def _act(self, who: Participant, time: int, ordinal: int, *, joins: bool) -> None:
        interval = self._still_here(who.address, time, ordinal)
        if interval is None:
            interval = self._begin(who, ordinal, time, time if joins else None)
        elif who.name is not None and who.name != interval.name:
            interval.name = who.name
            self._snapshot = None
        if who.hidden:
            interval.hidden = True
        interval.acted = time

    def _still_here(self, address: str, time: int, ordinal: int) -> Interval | None:
        """The interval of an address, unless it ran out before: a roster of this time wouldn't have it either."""
        interval = self.here.get(address)
        if interval is not None and self._ran_out(interval, time):
            self._end(address, ordinal - 1, None, time)
            return None
        return interval

    def _begin(self, who: Participant, ordinal: int, time: int, joined: int | None) -> Interval:
        self._snapshot = None
        if who.address in self._former:
            self._part_from(who.address, ordinal, time)
        interval = self.here[who.address] = Interval(who, ordinal, joined)
        interval.since = time
        return interval

    def _part_from(self, address: str, ordinal: int, time: int) -> None:
        """Someone else bears `address` now: who bore it before goes on without it."""
        self._former.discard(address)
        for current, interval in list(self.here.items()):
            if address in interval.addresses[:-1]:
                self._end(current, ordinal - 1, None, time)
                rest = self.here[current] = Interval.carried(interval.presence())
                rest.addresses, rest.first, rest.joined = (current,), ordinal, None

    def _end(self, address: str, last: int, left: int | None, time: int) -> None:
        """It lasted up to event `last`; one that ran out before `time`, that of the event which ends it, up to then."""
        interval = self.here.pop(address, None)
        if interval is None:
            return
        self._snapshot = None
        interval.last, interval.left = last, left
        # Else what an earlier cut foresaw stays: since then they did something.
        ran_out = self._ran_out(interval, time)
        interval.until = (interval.acted or 0) + (self._stays or 0) if ran_out else None
        if last >= interval.first:
            self.past.append(interval)

    def _replace(self, snapshot: tuple[Participant, ...], event: Event, time: int, ordinal: int) -> None:
        """A snapshot says exactly who is present from this event on; who acts in it still sees it."""
        named = {who.address for who in snapshot}
        data = event.data
        seen = {who.address for who in (data.actor, data.subject if event.type == LEFT else None) if who is not None}
        if data.conversation.kind != "im":  # both parties of a one-to-one always are present
            for address in [a for a in self.here if a not in named and a not in seen]:
                self._end(address, ordinal - 1, None, time)
        for who in snapshot:
            interval = self._still_here(who.address, time, ordinal) or self._begin(who, ordinal, time, None)
            if who.name is not None:
                interval.name = who.name
            interval.hidden = interval.hidden or who.hidden
        self._snapshot = snapshot

    def _join(self, event: Event, who: Participant, time: int, ordinal: int) -> None:
        interval = self._still_here(who.address, time, ordinal) or self._begin(who, ordinal, time, time)
        interval.acted = time if self._stays is not None else interval.acted

    def _leave(self, event: Event, who: Participant, time: int, ordinal: int) -> None:
        if event.data.conversation.kind == "im":
            return
        if self._still_here(who.address, time, ordinal) is None:
            self._begin(who, ordinal, time, None)
        self._end(who.address, ordinal, time, time)

    def _invite(self, event: Event, who: Participant, time: int, ordinal: int) -> None:
        if event.data.subject is None or self._still_here(who.address, time, ordinal) is not None:
            return
        invitation = Interval(who, ordinal, None)
        invitation.last, invitation.invited = ordinal, True
        self.past.append(invitation)

    def _rename(self, event: Event, who: Participant, time: int, ordinal: int) -> None:
        """A nickname change is not a leave: the interval goes on under a further address."""
        actor = event.data.actor
        if actor is None or who.address == actor.address:
            return
        self._end(who.address, ordinal - 1, None, time)
        interval = self.here.pop(actor.address)
        self._snapshot = None
        self._former.add(actor.address)
        interval.addresses = (*(a for a in interval.addresses if a != who.address), who.address)
        interval.name = who.name or interval.name
        interval.acted = time
        self.here[who.address] = interval


_MOVES = {
    JOINED: Attendance._join,
    LEFT: Attendance._leave,
    INVITED: Attendance._invite,
    RENAMED: Attendance._rename,
}
