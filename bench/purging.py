"""What a purge costs: items a second, and the memory that it takes, which must not grow with them.

Each size is purged by a process of its own (`python -m bench.purging ITEMS FOLDER`). The items are names of a few
files, a thousand in each mailbox; one in twenty bears a flag that its owner set, so that it has to be looked for.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from archiver import config as configuration
from archiver.assembly import archive_of, archiving_of, directory_of, open_spool, retention_of, store_of
from archiver.compliance.preserving import Keeper
from archiver.compliance.purging import Purge
from archiver.config import Config
from archiver.events import SECOND, capture
from archiver.spool import Spool
from archiver.store.names import escape, folder_on_disk
from archiver.types import Delivery, DeliveryState, Filing
from bench.measure import ROOT, Bench, Figure, at_least, at_most, plain

AIM_SPEED = 2_000
AIM_MEMORY = 32
"""MiB, however many items."""
_FOLDER = "Conversation History"
_A_MAILBOX = 1_000
_PEOPLE = 4
"""In each conversation."""
_LINKS = 60_000
"""Names of one file: ext4 takes no more than 65,000."""
_AT_ONCE = 500
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Done(Struct, frozen=True):
    """`peak` is resident memory in bytes, beyond that before the purge; `longest` the seconds until it may stop."""

    items: int
    seconds: float
    planned: float
    peak: int
    longest: float


def run(bench: Bench) -> Iterator[Figure]:
    few, many = (_purged(bench, items) for items in (bench.sizes.purged // 10, bench.sizes.purged))
    facts = {"items": many.items, "seconds": round(many.seconds, 2), "plan_seconds": round(many.planned, 2)}
    yield at_least(AIM_SPEED, "purge.speed", "items purged", many.items / many.seconds, "items/s", facts=facts)
    facts = {"items": many.items, "tenth": few.items, "tenth_mib": round(few.peak / 1024**2, 1)}
    yield at_most(AIM_MEMORY, "purge.memory", "more memory than before it", many.peak / 1024**2, "MiB", facts=facts)
    linear = (many.seconds / many.items) / (few.seconds / few.items)
    yield plain("purge.linear", "time an item, of ten times the items", linear, "times")
    yield plain("purge.longest", "until it stops when asked", many.longest * 1_000, "ms")


def _purged(bench: Bench, items: int) -> Done:
    bench.say(f"purge: {items:,} items")
    command = [sys.executable, "-m", "bench.purging", str(items), str(bench.fresh("purge"))]
    return msgspec.json.decode(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout, type=Done)


def main(items: int, data: Path) -> None:
    config = configuration.parse({"retention": [{"folder": "history", "days": 30}]})
    with open_spool(config, data) as spool:
        now = _fill(spool, data, items)
        os.sync()
        sys.stdout.buffer.write(msgspec.json.encode(_measured(spool, config, data, items, now)))


def _measured(spool: Spool, config: Config, data: Path, items: int, now: int) -> Done:
    before, peak, longest, last = _resident(), 0, 0.0, time.perf_counter()

    def stopping() -> bool:
        nonlocal peak, longest, last
        peak, longest, last = max(peak, _resident()), max(longest, time.perf_counter() - last), time.perf_counter()
        return False

    archive = archive_of(config, data)
    purge = Purge(
        spool,
        store_of(config, data),
        archive,
        Keeper(archive, spool, spool, directory_of(config).mailbox_of),
        retention_of(config),
        archiving_of(config),
        stopping=stopping,
    )
    started = last = time.perf_counter()
    assert purge.plan(now).gone.items == items
    planned = time.perf_counter()
    assert purge.run(now, "bench", "bench").gone.items == items
    return Done(items, time.perf_counter() - planned, planned - started, peak - before, longest)


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


def _fill(spool: Spool, data: Path, items: int) -> int:
    """What the journal says of a year ago, and the files; the time of the purge."""
    now = time.time_ns() // 1_000
    ended = now - 365 * 86_400 * SECOND
    line = b'{"specversion":"1.0","source":"bench:one","id":"1","type":"message.sent","time":"2020-01-01T00:00:00Z",'
    line += b'"data":{"conversation":{"id":"room","kind":"group"},"actor":{"address":"a@example.org"},'
    line += b'"message":{"id":"1","text":"hi"}}}'
    spool.append([capture(line, received=now)], spool.open_feed("import:bench", "import").number)
    spool.close_feed(1, now)
    (lease,) = spool.claim(now, 1)
    links = _Links(data)
    filings = items // _PEOPLE
    for start in range(0, filings, _AT_ONCE):
        numbers = range(start, min(start + _AT_ONCE, filings))
        begun = spool.begin([_filing(lease.place, n, filings, ended) for n in numbers], now)
        spool.finish([_filed(each) for each in begun], now)
        for number, filing in zip(numbers, begun, strict=True):
            for delivery in filing.deliveries:
                links.make(delivery.mailbox, delivery.name, "FS" if number % 20 == 0 else "S")
    return now


def _filing(place: int, number: int, filings: int, ended: int) -> Filing:
    mailboxes = max(_PEOPLE, filings * _PEOPLE // _A_MAILBOX)
    name = f"{ended // SECOND}.K{number:032x}.conversation-archiver"
    deliveries = tuple(
        Delivery(f"m{(number * 7 + who) % mailboxes}@example.org", _FOLDER, name, 1, DeliveryState.ATTEMPTED, "", 900)
        for who in range(_PEOPLE)
    )
    return Filing(place, number.to_bytes(16, "big"), ended - SECOND, ended, 1, (1,), deliveries)


def _filed(filing: Filing) -> Filing:
    deliveries = tuple(msgspec.structs.replace(each, state=DeliveryState.FILED) for each in filing.deliveries)
    return msgspec.structs.replace(filing, deliveries=deliveries)


class _Links:
    """Items as names of a few files."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._made = 0
        self._folders: dict[str, Path] = {}

    def make(self, mailbox: str, name: str, flags: str) -> None:
        if self._made % _LINKS == 0:
            self._file = self._data / f"file{self._made}"
            self._file.write_bytes(b"Subject: bench\n\nhi\n" * 40)
        os.link(self._file, self._folder(mailbox) / f"{name}:2,{flags}")
        self._made += 1

    def _folder(self, mailbox: str) -> Path:
        if mailbox not in self._folders:
            root = self._data / "mail" / "example.org" / escape(mailbox.partition("@")[0])
            folder = root / folder_on_disk(_FOLDER)
            for sub in ("cur", "new", "tmp"):
                (folder / sub).mkdir(parents=True)
                (root / sub).mkdir(exist_ok=True)
            self._folders[mailbox] = folder / "cur"
        return self._folders[mailbox]


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
