"""The processes of a backfill: one that reads files beside the spool's writer, several that file.

    reader   importer -> events, in lots, to the parent, which appends them
    filers   leased places -> items in folders; attempts and results go to the parent, the one journal writer

Children are forked before the parent opens the spool or takes a lock, so that they inherit neither; they die with it.
Holds the processes and what they say to each other; nothing of what filing is.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from queue import Queue
from threading import Thread
from typing import Any

import msgspec
from msgspec import Struct, structs

from archiver.events import Captured, Rejected
from archiver.exceptions import ArchiverError, EnvironmentFault
from archiver.filing.gathering import Tally
from archiver.filing.pipeline import Filer
from archiver.spool import Sealed, seal
from archiver.spool.records import LocalCopy
from archiver.types import Filing, Head, Lease

_PR_SET_PDEATHSIG = 1
_FORK = get_context("fork")

LOT = 1_000
"""Events in one message from the reader."""
_AHEAD = 6
"""Lots read before they are written: enough for the next batch, a few MiB."""


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

    def send(self, message: object) -> None:
        try:
            self.pipe.send(message)
        except OSError:
            self.receive()  # says how it ended, or what it complains of
            raise

    def close(self) -> None:
        self._process.terminate()
        self._process.join(5)
        self.pipe.close()


def _run(main: Callable[[Connection], None], pipe: Connection, parents: Connection, parent: int) -> None:
    parents.close()
    _die_with(parent)
    # Records make no cycles: looking for some seldom saves a few percent, and never touching what was there at the
    # fork keeps it shared with the parent.
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)
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


class Passage(Struct):
    """How a reading stands in one document, `place` for people and `key` for the spool.

    `count` are the pieces gone by, those left out and those `skipped` (the spool has them) too; `complete` says that
    none was left out yet. `whole` says that the spool has had it all, and it was not read. `ignored` and `guessed` are
    said of it at its end, as is `broke_off`: why it couldn't be read to there. `seen` are the bytes of it that were
    read; no piece may have come of them yet.
    """

    place: str
    key: bytes = b""
    count: int = 0
    seen: int = 0
    complete: bool = True
    skipped: int = 0
    whole: bool = False
    ignored: dict[str, int] = {}
    guessed: dict[str, int] = {}
    broke_off: str = ""


class _Lot(Struct, array_like=True):
    """What was read since the last one. `rejected` stand at their places among the events; `passage` is as it was at
    its end, but for its `count`: that of before it. After an `ended` one nothing more comes of that document. A `beat`
    says only how far the reading is."""

    passage: Passage
    events: list[Sealed] = []
    rejected: list[tuple[int, bytes, str, str, str | None]] = []
    ended: bool = False
    last: bool = False
    beat: bool = False


class Lot(Struct):
    """Pieces of one document in a row. `first` is the place of the first of them among all it has. A `beat` has none:
    it says only how far the reading is."""

    passage: Passage
    first: int
    pieces: list[Sealed | Rejected]
    ended: bool
    beat: bool = False


_unpack = msgspec.msgpack.Decoder(_Lot).decode
Beat = Callable[[Passage], None]
Read = Callable[[Any, Beat], Iterator[tuple[Passage, Captured | Rejected | None]]]
"""What was sent to the reader at its start -> pieces of input, each with how the reading stands once it is taken.

None stands at a document's end. What gives long nothing calls the `Beat` now and then."""


def reader(read: Read) -> Child:
    """Start a process that reads while the parent writes, once it is sent what it has to know."""

    def main(pipe: Connection) -> None:
        lot, first = _Lot(Passage("")), 0
        for passage, piece in read(pipe.recv(), lambda passage: pipe.send(_pack(_Lot(passage, beat=True)))):
            if passage is not lot.passage:
                lot, first = _Lot(passage), passage.skipped
            if isinstance(piece, Captured):
                lot.events.append(seal(piece))
            elif piece is None:
                lot.ended = True
            else:
                lot.rejected.append((len(lot.events), piece.content, piece.position, piece.reason, piece.source))
            if lot.ended or len(lot.events) >= LOT or _is_big(piece):
                pipe.send(_pack(_as_it_began(lot, first)))
                lot, first = _Lot(passage), passage.count
        pipe.send(_pack(_Lot(Passage(""), last=True)))

    return Child(main, "reading")


def _as_it_began(lot: _Lot, first: int) -> _Lot:
    return structs.replace(lot, passage=structs.replace(lot.passage, count=first))


def _is_big(piece: Captured | Rejected | None) -> bool:
    return isinstance(piece, Rejected) or (piece is not None and bool(piece.attached))


def lots(child: Child) -> Iterator[Lot]:
    """What the reader read, lot by lot.

    A thread takes the lots off the pipe, which holds far less than one, so that the reader goes on while the caller
    writes; never more than a few lots ahead.
    """
    ahead: Queue[bytes | BaseException] = Queue(_AHEAD)
    taking = Thread(target=_take, args=(child, ahead), daemon=True)
    taking.start()
    while True:
        message = ahead.get()
        if isinstance(message, BaseException):
            raise message
        lot = _unpack(message)
        if lot.last:
            taking.join()  # the child ends too; before that, whoever closes its pipe would do so under a reader
            return
        pieces: list[Sealed | Rejected] = [*lot.events]
        for place, content, position, reason, source in reversed(lot.rejected):
            pieces.insert(place, Rejected(content, position, reason, source))
        yield Lot(lot.passage, lot.passage.count, pieces, lot.ended, lot.beat)


def _take(child: Child, ahead: Queue[bytes | BaseException]) -> None:
    try:
        while True:
            ahead.put(child.receive())
    except (ArchiverError, OSError) as error:  # also when the child has ended: then nobody waits for this
        ahead.put(error)


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

    def hold_blobs(self, holder: str, digests: Iterable[str]) -> None:
        self._pipe.send(("hold_blobs", holder, list(digests)))

    def drop_blobs(self, holder: str) -> None:
        self._pipe.send(("drop_blobs", holder))

    def keep_local(self, copies: Sequence[LocalCopy], now: int) -> None:
        self._pipe.send(("keep_local", list(copies), now))

    def note_failures(self, failed: Iterable[tuple[int, str]], now: int) -> None:
        self._pipe.send(("note_failures", list(failed), now))

    def note_heads(self, heads: Mapping[str, Head]) -> None:
        self._pipe.send(("note_heads", dict(heads)))

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
                child.send(journal.begin(*rest))
            elif what == "finish":
                filings, now, gone = rest
                journal.finish(filings, now, gone=gone)
            else:
                getattr(journal, what)(*rest)


def _give(child: Child, more: Callable[[], tuple[list[Lease], int]]) -> bool:
    leases, now = more()
    if not leases:
        return False
    child.send((leases, now))
    return True
