"""Whatever happens in whatever order, crashes included: no event is lost and none is filed twice."""

from __future__ import annotations

from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from builders import BASE, say
from effort import examples
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace

from archiver.events import SECOND, Captured, Outcome, Rejected
from archiver.spool import Spool
from archiver.types import Delivery, DeliveryState, Filing, Lease

START = BASE * SECOND
EVENTS = [say(f"p{n % 3}@x", f"text {n}", n % 7, id=f"m{n}", room=f"room {n % 2}") for n in range(24)]
OTHERS = [say(f"p{n % 3}@x", "other", n % 7, id=f"m{n}", room=f"room {n % 2}") for n in range(24)]
some = st.lists(st.sampled_from(range(24)), min_size=1, max_size=4)


class SpoolMachine(RuleBasedStateMachine):
    """The model: which events were accepted, what is leased, what is being filed."""

    def __init__(self) -> None:
        super().__init__()
        self.data = Path(mkdtemp(prefix="spool-machine-"))
        self.now = START
        self.accepted: dict[str, bytes] = {}
        self.leases: list[Lease] = []
        self.begun: list[tuple[Lease, Filing]] = []

    @initialize()
    def open(self) -> None:
        self.spool = Spool.open(self.data, idle=10, lateness=5)
        self.live = self.spool.open_feed("live", "live", now=self.now).number
        self.importing = self.spool.open_feed("import", "import", now=self.now).number

    def teardown(self) -> None:
        if hasattr(self, "spool"):
            self.everything_is_filed_in_the_end()
            self.spool.close()
        rmtree(self.data)

    @rule(which=some, live=st.booleans(), bad=st.booleans())
    def append(self, which: list[int], live: bool, bad: bool) -> None:
        self._append([EVENTS[n] for n in which], live, bad)

    @rule(which=some, live=st.booleans())
    def append_others(self, which: list[int], live: bool) -> None:
        self._append([OTHERS[n] for n in which], live, False)

    def _append(self, events: list[Captured], live: bool, bad: bool) -> None:
        items: list[Captured | Rejected] = [*events, *([Rejected(b"bad", "f:1", "no JSON")] if bad else [])]
        result = self.spool.append(items, self.live if live else self.importing, live=live, now=self.now)
        assert result.quarantined == bad
        for captured, outcome in zip(events, result.outcomes, strict=False):
            if captured.event.id not in self.accepted:
                assert outcome is Outcome.ACCEPTED
                self.accepted[captured.event.id] = captured.body
            elif self.accepted[captured.event.id] == captured.body:
                assert outcome is Outcome.DUPLICATE
            else:
                assert outcome in (Outcome.CONFLICT, Outcome.DUPLICATE)

    @precondition(lambda self: self.leases)
    @rule(n=st.integers(0, 11))
    def append_to_a_leased_place(self, n: int) -> None:
        room = int(self.leases[-1].conversation.removeprefix("room "))
        self._append([EVENTS[2 * n + room]], True, False)

    @rule()
    def end_of_import(self) -> None:
        self.spool.close_feed(self.importing, self.now)
        self.importing = self.spool.open_feed("import", "import", now=self.now).number

    @rule()
    def leases_expire(self) -> None:
        self.now += 400 * SECOND

    @rule(limit=st.integers(1, 3), wait=st.integers(0, 100))
    def claim(self, limit: int, wait: int) -> None:
        self.now += wait * SECOND
        claimed = self.spool.claim(self.now, limit)
        # What was claimed again had expired: its former lease is worth nothing.
        places = {lease.place for lease in claimed}
        self.leases = [lease for lease in self.leases if lease.place not in places] + claimed
        self.begun = [work for work in self.begun if work[0].place not in places]

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        lease = data.draw(st.sampled_from(self.leases))
        self.leases.remove(lease)
        begun = self._begin(lease)
        if begun is None:
            self.spool.finish_place(lease, None)
        else:
            self.begun.append((lease, begun))

    @precondition(lambda self: self.begun)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        work = data.draw(st.sampled_from(self.begun))
        self.begun.remove(work)
        self._finish(*work)

    def _begin(self, lease: Lease) -> Filing | None:
        """File all of a place as one conversation, a new version each time it has grown."""
        events = list(self.spool.events(lease.place, lease.upto))
        numbers = tuple(captured.number for captured in events)
        version = repr(numbers).encode()
        if version in self.spool.versions(lease.place):
            return None
        times = (events[0].time, events[-1].time)
        earlier = [each for prior in self.spool.priors(lease.place, *times) for each in prior.deliveries]
        replaces = tuple(each.number for each in earlier if each.state is DeliveryState.FILED)
        mask = (1 << len(numbers)) - 1
        delivery = Delivery("all@x", "CH", "n", mask, DeliveryState.ATTEMPTED, replaces=replaces)
        return self.spool.begin([Filing(lease.place, version, *times, 1, numbers, (delivery,))], self.now)[0]

    def _finish(self, lease: Lease, begun: Filing) -> None:
        filed = tuple(replace(each, state=DeliveryState.FILED) for each in begun.deliveries)
        self.spool.finish([replace(begun, deliveries=filed)], self.now)
        self.spool.finish_place(lease, None)

    @precondition(lambda self: self.leases)
    @rule()
    def release(self) -> None:
        self.spool.release([self.leases.pop()])

    @rule(gracefully=st.booleans())
    def restart(self, gracefully: bool) -> None:
        if not gracefully and self.spool._lock is not None:
            # As a kill does: locks go with the process, files and leases stay.
            self.spool._lock.release()
        self.spool.close()
        self.leases, self.begun = [], []
        self.spool = Spool.open(self.data, idle=10, lateness=5)
        self.spool.reap(self.now)

    @invariant()
    def nothing_is_lost_and_nothing_is_twice(self) -> None:
        if not hasattr(self, "spool"):
            return
        db = self.spool._connections.db
        stored = [body for (body,) in db.execute("SELECT body FROM event")]
        assert sorted(stored) == sorted(self.accepted.values())
        assert self.spool.totals().spooled == len(self.accepted)
        current = self.current()
        assert len(current) == len(set(current))

    def current(self) -> list[int]:
        """The events that items in the one mailbox hold now."""
        places = [place for (place,) in self.spool._connections.db.execute("SELECT n FROM place")]
        return [
            event
            for place in places
            for filing in self.spool.priors(place, 0, 2**62)
            if filing.deliveries[0].state is DeliveryState.FILED
            for event in filing.events
        ]

    @rule()
    def everything_is_filed_in_the_end(self) -> None:
        self.leases, self.begun = [], []  # given up: they expire
        self.spool.close_feed(self.importing, self.now)
        for _ in range(2):  # leases that expire in the first round may back off into the second
            self.now += 24 * 3600 * SECOND
            while leases := self.spool.claim(self.now, 9):
                for lease in leases:
                    begun = self._begin(lease)
                    if begun is None:
                        self.spool.finish_place(lease, None)
                    else:
                        self._finish(lease, begun)
        numbers = [n for (n,) in self.spool._connections.db.execute("SELECT n FROM event")]
        assert sorted(self.current()) == sorted(numbers)
        self.importing = self.spool.open_feed("import", "import", now=self.now).number


SpoolMachine.TestCase.settings = settings(max_examples=examples(60), stateful_step_count=30, deadline=None)
TestSpoolMachine = SpoolMachine.TestCase
