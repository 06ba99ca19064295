"""The processes of a backfill: one that reads files beside the spool's writer, several that file.

    reader   importer -> events, in lots, to the parent, which appends them
    filers   leased places -> items in folders; attempts and results go to the parent, the one journal writer

Children are forked before the parent opens the spool or takes a lock, so that they inherit neither; they die with it.
Holds the processes and what they say to each other; nothing of what filing is.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from archiver.events import Captured, Event, Rejected
from archiver.exceptions import ArchiverError, EnvironmentFault
from archiver.pipeline import Filer, Tally
from archiver.types import Filing, Lease

_PR_SET_PDEATHSIG = 1
_FORK = get_context("fork")

LOT = 2_000
"""Events in one message from the reader."""

_AHEAD = 4


class Gone(EnvironmentFault):
    """A child process died: killed, or out of memory."""


class Child:
    """A forked process and the pipe to it. `main` gets the other end, and runs until it returns or the pipe closes."""

    def __init__(self, main: Callable[[Connection], None], name: str) -> None:
        self.name = name
        self.pipe, theirs = _FORK.Pipe()
        self._process = _FORK.Process(target=_run, args=(main, theirs, self.pipe, os.getpid()), name=name, daemon=True)
        self._process.start()
        theirs.close()

    def receive(self) -> Any:
        """The child's next message; its own error is raised here."""
        try:
            message = self.pipe.recv()
        except (EOFError, ConnectionResetError):
            self._process.join(5)
            raise Gone(
                f"the {self.name} process ended with status {self._process.exitcode}",
                hint="run the same command again: it goes on where it stood",
            ) from None
        if isinstance(message, BaseException):
            raise message
        return message

    def close(self) -> None:
        self.pipe.close()
        self._process.terminate()
        self._process.join(5)


def _run(main: Callable[[Connection], None], pipe: Connection, parents: Connection, parent: int) -> None:
    parents.close()
    _die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears Ctrl-C and ends its children
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        main(pipe)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # the parent has gone, or wants no more
    except ArchiverError as error:
        with suppress(OSError):
            pipe.send(error)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def _die_with(parent: int) -> None:
    """Have the kernel end this process with its parent (prctl(2)); nothing else is left of a killed backfill."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


# Reading

_pack = msgspec.msgpack.Encoder().encode
_decode = msgspec.json.Decoder(Event).decode


class _Line(Struct, array_like=True):
    """A captured event on its way between processes: the event itself is decoded from its body again."""

    time: int
    received: int
    body: bytes
    cleaned: tuple[str, ...] = ()
    original: bytes | None = None
    attached: tuple[tuple[str, bytes | None, str], ...] = ()
    """SHA-256 and content; None for a file beside the event file, whose path follows."""


class _Lot(Struct, array_like=True):
    """What was read since the last one. `rejected` stand at their places among the lines; `done` counts input bytes."""

    lines: list[_Line]
    rejected: list[tuple[int, bytes, str, str, str | None]]
    position: str
    last: bool = False


_unpack = msgspec.msgpack.Decoder(_Lot).decode
Input = Iterator[tuple[str, Captured | Rejected]]
"""Pieces of input, each with where the reader stands (a file's name)."""


def reader(read: Callable[[], Input]) -> Child:
    """Start a process that reads while the parent writes."""

    def main(pipe: Connection) -> None:
        lines: list[_Line] = []
        rejected: list[tuple[int, bytes, str, str, str | None]] = []
        credit, position = _AHEAD, ""
        for position, piece in read():
            if isinstance(piece, Rejected):
                rejected.append((len(lines), piece.content, piece.position, piece.reason, piece.source))
            else:
                lines.append(_line(piece))
            if len(lines) + len(rejected) >= LOT or (_is_big(piece)):
                credit = _send(pipe, _Lot(lines, rejected, position), credit)
                lines, rejected = [], []
        _send(pipe, _Lot(lines, rejected, position, last=True), credit)

    return Child(main, "reading")


def _is_big(piece: Captured | Rejected) -> bool:
    return isinstance(piece, Rejected) or bool(piece.attached)


def _send(pipe: Connection, lot: _Lot, credit: int) -> int:
    """Send, but never run further ahead of the writer than a few lots: memory stays bounded."""
    while credit == 0 or (credit < _AHEAD and pipe.poll()):
        pipe.recv()
        credit += 1
    pipe.send(_pack(lot))
    return credit - 1


def _line(piece: Captured) -> _Line:
    if not piece.cleaned and not piece.attached:
        return _Line(piece.time, piece.received, piece.body)
    attached = tuple(
        (sha, data, "") if isinstance(data, bytes) else (sha, None, str(data)) for sha, data in piece.attached
    )
    return _Line(piece.time, piece.received, piece.body, piece.cleaned, piece.original, attached)


def lots(child: Child) -> Iterator[tuple[str, list[Captured | Rejected]]]:
    """What the reader read, lot by lot."""
    last = False
    while not last:
        lot = _unpack(child.receive())
        with suppress(OSError):  # it may have ended: this was the last one
            child.pipe.send(1)
        pieces: list[Captured | Rejected] = [_captured(line) for line in lot.lines]
        for place, content, position, reason, source in reversed(lot.rejected):
            pieces.insert(place, Rejected(content, position, reason, source))
        last = lot.last
        yield lot.position, pieces


def _captured(line: _Line) -> Captured:
    attached = tuple((sha, Path(path) if data is None else data) for sha, data, path in line.attached)
    return Captured(_decode(line.body), line.time, line.received, line.body, 0, line.cleaned, line.original, attached)


# Filing


class _Remote:
    """The journal as a filing process sees it: everything goes to the parent, in order; only `begin` is answered."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def begin(self, filings: Sequence[Filing], now: int) -> list[Filing]:
        self._pipe.send(("begin", filings, now))
        answer: list[Filing] = self._pipe.recv()
        return answer

    def finish(self, filings: Sequence[Filing], now: int, *, gone: Iterable[int]) -> None:
        self._pipe.send(("finish", filings, now, list(gone)))

    def extend(self, leases: Iterable[Lease], now: int) -> None:
        self._pipe.send(("extend", list(leases), now))

    def finish_places(self, dues: Iterable[tuple[Lease, int | None]]) -> None:
        self._pipe.send(("finish_places", list(dues)))

    def note_strangers(self, people: Iterable[tuple[str, str, int]], now: int) -> None:
        self._pipe.send(("note_strangers", list(people), now))


MakeFiler = Callable[[Any], Filer]
"""Makes a filer around a journal: opens what it needs of its own."""


def filer(make: MakeFiler, number: int) -> Child:
    """Start a process that files the leases it is given, until it is given none."""

    def main(pipe: Connection) -> None:
        made: Filer | None = None
        while (work := pipe.recv()) is not None:
            leases, now = work
            made = made or make(_Remote(pipe))  # not before the parent has a spool to read
            pipe.send(("done", made.run(leases, now)))

    return Child(main, f"filing {number}")


def serve(
    children: Sequence[Child], journal: Any, more: Callable[[], tuple[list[Lease], int]], done: Callable[[Tally], None]
) -> None:
    """Be the journal of the filing processes, and give each work whenever it has none, until there is no `more`."""
    idle = [child for child in children if not _give(child, more)]
    busy = {child.pipe: child for child in children if child not in idle}
    while busy:
        for pipe in wait(list(busy)):
            child = busy[pipe]  # type: ignore[index]
            what, *rest = child.receive()
            if what == "done":
                done(rest[0])
                if not _give(child, more):
                    del busy[pipe]  # type: ignore[arg-type]
            elif what == "begin":
                child.pipe.send(journal.begin(*rest))
            elif what == "finish":
                filings, now, gone = rest
                journal.finish(filings, now, gone=gone)
            else:
                getattr(journal, what)(*rest)


def _give(child: Child, more: Callable[[], tuple[list[Lease], int]]) -> bool:
    leases, now = more()
    if not leases:
        return False
    child.pipe.send((leases, now))
    return True
