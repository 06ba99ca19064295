"""What every live source must do, whatever it speaks. A test class joins by giving its source and a client."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from archiver.events import Captured, Outcome, Rejected
from archiver.exceptions import EnvironmentFault, TryLater
from archiver.sources.protocol import Source


class Spooled:
    """An `accept` by hand: keeps what it is given; `fault` is raised instead, `gate` makes it wait.

    What says "blocked" is answered as in critical mode.
    """

    def __init__(self) -> None:
        self.records: list[Captured | Rejected] = []
        self.batches: list[int] = []
        self.threads: set[str] = set()
        self.fault: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def __call__(self, batch: Sequence[Captured | Rejected]) -> Sequence[Outcome]:
        self.threads.add(threading.current_thread().name)
        self.entered.set()
        assert self.gate.wait(20), "the test left the gate closed"
        if self.fault is not None:
            raise self.fault
        blocked = [isinstance(each, Captured) and "blocked" in each.body.decode() for each in batch]
        self.records.extend(each for each, kept_back in zip(batch, blocked, strict=True) if not kept_back)
        self.batches.append(len(batch))
        return [self._outcome(each, kept_back) for each, kept_back in zip(batch, blocked, strict=True)]

    def _outcome(self, each: Captured | Rejected, kept_back: bool) -> Outcome:
        if isinstance(each, Rejected):
            return Outcome.QUARANTINED
        return Outcome.BLOCKED if kept_back else Outcome.ACCEPTED

    @property
    def texts(self) -> list[str]:
        return [
            record.event.data.message.text or ""
            for record in self.records
            if isinstance(record, Captured) and record.event.data.message is not None
        ]


class SourceContract:
    """Subclasses give `make` (a source that isn't started) and `send` (True where it was acknowledged)."""

    def make(self, tmp_path: Any) -> Source:
        raise NotImplementedError

    def make_taken(self, tmp_path: Any, source: Any) -> Source:
        """A source that wants what `source`, which is running, has."""
        raise NotImplementedError

    def send(self, source: Any, text: str) -> bool:
        raise NotImplementedError

    @pytest.fixture
    def spooled(self) -> Spooled:
        return Spooled()

    @pytest.fixture
    def source(self, tmp_path: Any, spooled: Spooled) -> Any:
        source = self.make(tmp_path)
        source.start(spooled)
        yield source
        spooled.gate.set()
        source.stop()

    def test_says_what_it_is_before_and_after_its_start(self, tmp_path: Any, spooled: Spooled) -> None:
        source = self.make(tmp_path)
        assert source.name and source.describe() and not source.up
        source.start(spooled)
        name = source.name
        assert source.up
        source.stop()
        assert not source.up
        assert source.name == name

    def test_what_is_acknowledged_was_accepted(self, source: Any, spooled: Spooled) -> None:
        assert self.send(source, "one")
        assert spooled.texts == ["one"]
        assert self.send(source, "two")
        assert spooled.texts == ["one", "two"]

    def test_nothing_is_acknowledged_before_it_is_accepted(self, source: Any, spooled: Spooled) -> None:
        spooled.gate.clear()
        answers: list[bool] = []
        sending = threading.Thread(target=lambda: answers.append(self.send(source, "slow")))
        sending.start()
        assert spooled.entered.wait(10)
        assert answers == []
        spooled.gate.set()
        sending.join(10)
        assert answers == [True]

    @pytest.mark.parametrize("fault", [TryLater("full"), OSError(28, "No space left"), KeyError("a bug")])
    def test_what_is_not_accepted_is_not_acknowledged(self, source: Any, spooled: Spooled, fault: Exception) -> None:
        spooled.fault = fault
        assert not self.send(source, "one")
        spooled.fault = None
        assert self.send(source, "one")
        assert spooled.texts == ["one"]

    def test_what_critical_mode_refuses_is_not_acknowledged(self, source: Any, spooled: Spooled) -> None:
        assert not self.send(source, "blocked")
        assert self.send(source, "one")
        assert spooled.texts == ["one"]

    def test_it_can_be_probed_and_tells_of_itself_at_any_time(self, tmp_path: Any, spooled: Spooled) -> None:
        source = self.make(tmp_path)
        source.probe()
        assert source.signs().refused == {}
        source.start(spooled)
        assert source.signs().gaps in (None, 0)
        source.stop()
        assert source.signs().refused == {}

    def test_accept_is_called_from_one_thread(self, source: Any, spooled: Spooled) -> None:
        senders = [threading.Thread(target=self.send, args=(source, f"text {number}")) for number in range(8)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join(20)
        assert sorted(spooled.texts) == [f"text {number}" for number in range(8)]
        assert len(spooled.threads) == 1

    def test_a_stop_finishes_what_is_being_taken_in(self, source: Any, spooled: Spooled) -> None:
        spooled.gate.clear()
        answers: list[bool] = []
        sending = threading.Thread(target=lambda: answers.append(self.send(source, "last")))
        sending.start()
        assert spooled.entered.wait(10)
        stopping = threading.Thread(target=source.stop)
        stopping.start()
        spooled.gate.set()
        stopping.join(20)
        sending.join(20)
        assert not stopping.is_alive()
        assert (answers, spooled.texts) == ([True], ["last"])

    def test_stops_twice_and_before_a_start(self, tmp_path: Any, spooled: Spooled) -> None:
        source = self.make(tmp_path)
        source.stop()
        source.start(spooled)
        source.stop()
        source.stop()
        assert not source.up

    def test_what_it_needs_being_taken_is_the_environments_fault(
        self, tmp_path: Any, source: Any, spooled: Spooled
    ) -> None:
        other = self.make_taken(tmp_path, source)
        with pytest.raises(EnvironmentFault) as caught:
            other.start(spooled)
        assert caught.value.hint
        assert not other.up
        other.stop()
        assert self.send(source, "still here")

    # What breaks after a good start. Each real source is broken for real: its thread, its sockets.

    def sockets(self, source: Any) -> list[socket.socket]:
        """Those that it listens on; here of one that is `Served`."""
        return list(source._serving._bound)

    def break_thread(self, source: Any) -> None:
        loop = source._loop._loop
        loop.call_soon_threadsafe(loop.stop)

    def break_thread_by_a_bug(self, source: Any) -> None:
        def leave() -> None:
            raise SystemExit

        source._loop._loop.call_soon_threadsafe(leave)

    def shut_sockets(self, source: Any) -> None:
        """As `ss --kill` does."""
        for each in self.sockets(source):
            each.shutdown(socket.SHUT_RDWR)

    def close_sockets(self, source: Any) -> None:
        for each in self.sockets(source):
            each.close()

    def make_next(self, tmp_path: Any, source: Any) -> Source:
        """One that takes the place of `source` once that has stopped."""
        return self.make_taken(tmp_path, source)

    @pytest.mark.slow
    @pytest.mark.parametrize("break_it", ["break_thread", "break_thread_by_a_bug", "shut_sockets", "close_sockets"])
    def test_what_broke_is_told_can_be_stopped_and_lets_another_take_its_place(
        self, tmp_path: Any, source: Any, spooled: Spooled, break_it: str
    ) -> None:
        assert self.send(source, "before") and source.fault == ""
        getattr(self, break_it)(source)
        assert eventually(lambda: source.fault)
        assert not source.up
        other = self.make_next(tmp_path, source)
        source.stop()
        other.start(spooled)
        try:
            assert other.up and other.fault == ""
            assert self.send(other, "after")
        finally:
            other.stop()
        assert spooled.texts == ["before", "after"]


def eventually(question: Callable[[], object], seconds: float = 10.0) -> object:
    """The first true answer, or the last one."""
    until = time.monotonic() + seconds
    while not (answer := question()) and time.monotonic() < until:
        time.sleep(0.01)
    return answer
