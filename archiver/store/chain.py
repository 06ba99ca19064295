"""The chain of an archive's manifest: its lines, what they add up to, and where they don't fit together (pure).

Each line is one JSON object: an act (`filed`, `purged`, `erased`) on one item by its base name and SHA-256, numbered,
with the SHA-256 of the line before. So no line can be changed, taken out or moved without the next one showing it; that
lines were cut off at the end shows only against a `Head` that is kept elsewhere. Files and locks are `manifest`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from hashlib import sha256
from typing import NamedTuple

import msgspec
from msgspec import Struct

from archiver.store.damage import Code, Damage
from archiver.types import Head


class Act(StrEnum):
    """What was done to an item. PURGED: its time was over. ERASED: one person's words went, a version without them
    may stand in its place."""

    FILED = "filed"
    PURGED = "purged"
    ERASED = "erased"


class Content(Struct, frozen=True):
    """An item as a line names it: base name, SHA-256 of its bytes (hex), and how many they are."""

    name: str
    sha256: str
    size: int


class Entry(Struct, frozen=True):
    """What is to be recorded of one item. `instead` is what stands in the place of an erased one."""

    kind: Act
    folder: str
    content: Content
    why: str = ""
    instead: Content | None = None


class Line(Struct, frozen=True, omit_defaults=True):
    """One line. `held` are the bytes of all items after it, `prev` the SHA-256 of the line before it."""

    n: int
    at: int
    kind: Act
    folder: str
    name: str
    sha256: str
    size: int
    held: int
    prev: str
    why: str = ""
    instead: Content | None = None

    @property
    def content(self) -> Content:
        return Content(self.name, self.sha256, self.size)


class Tail(NamedTuple):
    """What the next line is bound to: lines so far, the SHA-256 of the last one, and the bytes held."""

    length: int
    digest: str
    held: int

    @property
    def head(self) -> Head:
        return Head(self.length, self.digest)


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Line).decode


def digest(content: bytes) -> str:
    return sha256(content).hexdigest()


def start(mailbox: str) -> Tail:
    """Before the first line. It is the mailbox's own, so that a manifest doesn't pass for another mailbox's."""
    return Tail(0, digest(f"manifest of {mailbox}".encode("utf-8", "surrogatepass")), 0)


def line_of(raw: bytes) -> Line | None:
    """The line these bytes are, None where they are none."""
    try:
        return _decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def tail_after(raw: bytes) -> Tail | None:
    line = line_of(raw)
    return Tail(line.n, digest(raw), line.held) if line else None


def lengthened(tail: Tail, entries: Iterable[Entry], now: int) -> tuple[list[bytes], Tail]:
    """The lines for these entries, in order, and the tail after them."""
    lines: list[bytes] = []
    for entry in entries:
        held = max(0, tail.held + _growth(entry))
        what = entry.content
        line = Line(
            tail.length + 1,
            now,
            entry.kind,
            entry.folder,
            what.name,
            what.sha256,
            what.size,
            held,
            tail.digest,
            entry.why,
            entry.instead,
        )
        raw = _encode(line)
        lines.append(raw)
        tail = Tail(line.n, digest(raw), held)
    return lines, tail


def _growth(entry: Entry) -> int:
    if entry.kind is Act.FILED:
        return entry.content.size
    return (entry.instead.size if entry.instead else 0) - entry.content.size


class Contents:
    """What the lines add up to: items that are there, and those that went, by folder and base name."""

    def __init__(self) -> None:
        self.there: dict[tuple[str, str], Content] = {}
        self.gone: dict[tuple[str, str], Content] = {}

    def follow(self, line: Line | Entry) -> None:
        key = (line.folder, line.content.name)
        if line.kind is Act.FILED:
            self._comes(line.folder, line.content)
            return
        self.there.pop(key, None)
        self.gone[key] = line.content
        if line.instead:
            self._comes(line.folder, line.instead)

    def _comes(self, folder: str, content: Content) -> None:
        self.there[folder, content.name] = content
        self.gone.pop((folder, content.name), None)


class Check:
    """Follows the lines of one manifest and gives what doesn't fit. Goes on after each fault, so that all are told."""

    def __init__(self, mailbox: str, place: str, first: Tail | None, heads: Iterable[Head]) -> None:
        """`first` is what the first line is bound to, None where nobody can tell."""
        self.contents = Contents()
        self._mailbox = mailbox
        self._place = place
        self._next = 1
        self._prev = first.digest if first else None
        self._unread = 0
        """Lines just passed that are none: spoilt ones, or put in between."""
        self._missing: set[int] = set()
        self._known: dict[int, set[str]] = {}
        for head in heads:
            self._known.setdefault(head.length, set()).add(head.digest)

    def read(self, lines: Iterable[bytes]) -> Iterator[Damage]:
        for raw in lines:
            yield from self._read(raw)
        for number in sorted(self._missing):
            yield self._damage(Code.LINE_MISSING, f"line {number}", "it was taken out")
        there = self._next - 1 + self._unread
        if (longest := max(self._known, default=0)) > there:
            yield self._damage(Code.CUT, f"line {there + 1}", f"{longest:,} lines are on record, {there:,} are there")

    def _read(self, raw: bytes) -> Iterator[Damage]:
        line = line_of(raw)
        if line is None:
            yield self._damage(Code.UNREADABLE, f"line {self._next + self._unread}", "it is no line of a manifest")
            self._unread += 1
            return
        self.contents.follow(line)
        if line.n < self._next:
            yield self._out_of_order(line)
            return
        self._missing.update(range(self._next + self._unread, line.n))
        if line.n == self._next and self._prev not in (None, line.prev):
            yield self._unbound(line)
        own = digest(raw)
        if {own} != self._known.get(line.n, {own}):
            yield self._damage(Code.REWRITTEN, f"line {line.n}", "another line stands on record for this number")
        self._next, self._prev, self._unread = line.n + 1, own, 0

    def _out_of_order(self, line: Line) -> Damage:
        how = "stands behind" if line.n in self._missing else "stands a second time, behind"
        self._missing.discard(line.n)
        return self._damage(Code.LINE_MOVED, f"line {line.n}", f"it {how} line {self._next - 1}")

    def _unbound(self, line: Line) -> Damage:
        if line.n == 1:
            return self._damage(Code.NOT_ITS_OWN, "line 1", "the manifest begins as another mailbox's")
        return self._damage(Code.LINE_CHANGED, f"line {line.n - 1}", f"line {line.n} was bound to other bytes")

    def _damage(self, code: Code, where: str, found: str) -> Damage:
        return Damage(code, self._mailbox, f"{self._place}: {where}", found)
