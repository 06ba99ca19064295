"""Items a second into folders: our store and whole filing, against what else could put them there.

Each round runs every side once, neighbours in time, each into folders of its own that were made before. What is put
are the very messages that filing a made-up company's talk gives; a put into two mailboxes counts as two. Whole filing
starts from events in the spool, and is measured twice: by one process, and as a backfill does it, by two and the
journal's. The others start from ready messages, or from the ready parts of some.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import Struct

from archiver.assembly import archive_of, open_spool, store_of, terms_of
from archiver.config import Config, load
from archiver.filing.gathering import Tally
from archiver.filing.pipeline import Filer
from archiver.filing.workers import Child, filer, serve
from archiver.spool import Spool
from archiver.store import MemoryStore, Outcome, Put
from archiver.types import Item, Lease
from bench import peers
from bench.measure import Bench, Figure, rate, ratio
from bench.spooling import batches

BARE_AIM = 0.6
STANDARD_AIM = 15
MDELIVER_AIM = 1.5

_GROUP = 500
_PROCESSES = 2
_PLACES = 50
"""Conversations that a filing process is given at a time; a backfill settles at up to 100."""
_NOW = 1_800_000_000_000_000
_LIBC = ctypes.CDLL(None)


class _Team(Struct, frozen=True):
    """Filing processes, and the folder they file into. Each is forked before the spool is opened, as a backfill's."""

    data: Path
    children: list[Child]


def run(bench: Bench) -> list[Figure]:
    config, data = load(), bench.fresh("filing-spool")
    with_mdeliver = _has_mdeliver(bench)
    sizes, rounds = bench.sizes, []
    # Those ready, and in each round one process's, the team's, and a few that the team begins with.
    places = sizes.conversations * (2 * sizes.rounds + 1) + _PLACES * _PROCESSES * sizes.rounds
    teams = [_team(config, data, bench.fresh("team")) for _ in range(sizes.rounds)]
    bench.say(f"filing: {places} conversations into the spool")
    try:
        with open_spool(config, data) as spool:
            _fill(spool, places)
            puts = _ready(spool, config, sizes.conversations)
            for number, team in enumerate(teams):
                bench.say(f"filing: round {number + 1} of {sizes.rounds}, {len(puts)} messages")
                rounds.append(_round(bench, spool, config, puts, team, with_mdeliver))
    finally:
        for team in teams:
            for child in team.children:
                child.close()
    return _figures(rounds, puts, with_mdeliver)


def _team(config: Config, spooled: Path, data: Path) -> _Team:
    def make(journal: Any) -> Filer:
        return _filer(config, open_spool(config, spooled, readonly=True), journal, data)

    return _Team(data, [filer(make, number) for number in range(_PROCESSES)])


def _filer(config: Config, reader: Spool, journal: Any, data: Path) -> Filer:
    return Filer(reader, journal, store_of(config, data), archive_of(config, data), terms_of(config))


def _has_mdeliver(bench: Bench) -> bool:
    if "mblaze" in bench.without:
        return False
    if not peers.has_mdeliver():
        bench.missing.append("mdeliver (of mblaze) is not installed: install it, or say --without mblaze")
        return False
    return True


def _fill(spool: Spool, conversations: int) -> None:
    feed = spool.open_feed("bench", "import").number
    # A conversation has 25 messages; the last ones are cut off, hence some more.
    for batch in batches((conversations + 100) * 26, 5_000, "serial"):
        spool.append(batch, feed)
    spool.close_feed(feed, _NOW)


class _Recorder(MemoryStore):
    """Keeps what it was given to put."""

    def __init__(self) -> None:
        super().__init__()
        self.puts: list[Put] = []

    def put(self, puts: Sequence[Put], *, careful: bool = False) -> list[Outcome]:
        self.puts += puts
        return [None] * len(puts)


def _ready(spool: Spool, config: Config, conversations: int) -> list[Put]:
    recorder = _Recorder()
    filer = Filer(spool, spool, recorder, archive_of(config, spool.data), terms_of(config))
    filer.run(spool.claim(_NOW, conversations), _NOW)
    return recorder.puts


def _round(
    bench: Bench, spool: Spool, config: Config, puts: Sequence[Put], team: _Team, with_mdeliver: bool
) -> dict[str, float]:
    few = puts[: bench.sizes.messages_of_peers]
    rates = {
        "put": _put(bench, config, puts),
        "bare": _bare(bench, puts),
        "whole": _whole(bench, spool, config, puts),
        "team": _by_team(bench, spool, config, puts, team),
        "standard": _standard(bench, few),
    }
    if with_mdeliver:
        rates["mdeliver"] = _mdeliver(bench, few)
    return rates


def _put(bench: Bench, config: Config, puts: Sequence[Put]) -> float:
    store = store_of(config, bench.fresh("put"))
    store.put(_first_ones(puts))
    return rate(len(puts), lambda: [store.put(group) for group in _groups(puts)])


def _bare(bench: Bench, puts: Sequence[Put]) -> float:
    root = bench.fresh("bare")
    folders = peers.make_folders(root, puts)

    def put_all() -> None:
        for group in _groups(puts):
            _write_and_link(root, folders, group)

    return rate(len(puts), put_all)


def _write_and_link(root: Path, folders: dict[tuple[str, str], Path], puts: Sequence[Put]) -> None:
    """Write all, sync, link all, sync: what can't be left out."""
    files: dict[str, int] = {}
    for put in puts:
        if put.item.name not in files:
            place = folders[put.mailbox, put.folder]
            files[put.item.name] = descriptor = os.open(place / "cur", os.O_TMPFILE | os.O_WRONLY, 0o600)
            os.write(descriptor, put.item.content)
    directory = os.open(root, os.O_RDONLY)
    _LIBC.syncfs(directory)
    for put in puts:
        target = folders[put.mailbox, put.folder] / "cur" / f"{put.item.name}:2,S"
        os.link(f"/proc/self/fd/{files[put.item.name]}", target, src_dir_fd=directory, follow_symlinks=True)
    _LIBC.syncfs(directory)
    for descriptor in (directory, *files.values()):
        os.close(descriptor)


def _whole(bench: Bench, spool: Spool, config: Config, puts: Sequence[Put]) -> float:
    """Conversations not filed yet, by one process: read, gated, planned, rendered, put, and all of it journalled."""
    data = bench.fresh("whole")
    store_of(config, data).put(_first_ones(puts))
    alone = _filer(config, spool, spool, data)
    leases = spool.claim(_NOW, bench.sizes.conversations)
    tally = Tally()
    return _filed(rate(1, lambda: tally.add(alone.run(leases, _NOW))), tally)


def _by_team(bench: Bench, spool: Spool, config: Config, puts: Sequence[Put], team: _Team) -> float:
    """The same by processes that are at work already; this one claims, and keeps the journal."""
    store_of(config, team.data).put(_first_ones(puts))
    _serve(spool, team, len(team.children) * _PLACES)
    tally = Tally()
    return _filed(rate(1, lambda: tally.add(_serve(spool, team, bench.sizes.conversations))), tally)


def _serve(spool: Spool, team: _Team, conversations: int) -> Tally:
    tally, left = Tally(), conversations

    def more() -> tuple[list[Lease], int]:
        nonlocal left
        leases = spool.claim(_NOW, min(_PLACES, left))
        left -= len(leases)
        return leases, _NOW

    serve(team.children, spool, more, tally.add)
    return tally


def _filed(once: float, tally: Tally) -> float:
    """Items a second, of how often a second it could all be done."""
    if not tally.copies:
        raise RuntimeError("nothing was filed: the spool has run out of conversations")
    return once * tally.copies


def _standard(bench: Bench, puts: Sequence[Put]) -> float:
    root = bench.fresh("standard")
    boxes = peers.make_boxes(root, puts)
    texts = [peers.parts_of(put.item.content) for put in puts]

    def add_all() -> None:
        for put, parts in zip(puts, texts, strict=True):
            boxes[put.mailbox, put.folder].add(peers.message(parts))

    return rate(len(puts), add_all)


def _mdeliver(bench: Bench, puts: Sequence[Put]) -> float:
    root = bench.fresh("mdeliver")
    script = peers.mdeliver_script(root, puts)
    return rate(len(puts), partial(peers.run_script, script))


def _first_ones(puts: Sequence[Put]) -> list[Put]:
    """One small item for each folder, so that it is there: a mailbox is made once and then filled for years."""
    small = Item("0", "0.K0.conversation-archiver", "<0@bench>", "", 0, 0, True, b"Subject: first\n\n")
    return [Put(mailbox, folder, small) for mailbox, folder in peers.places(puts)]


def _groups(puts: Sequence[Put]) -> Iterable[Sequence[Put]]:
    return (puts[start : start + _GROUP] for start in range(0, len(puts), _GROUP))


def _figures(rounds: Sequence[dict[str, float]], puts: Sequence[Put], with_mdeliver: bool) -> list[Figure]:
    side = {name: [rates[name] for rates in rounds] for name in rounds[0]}
    size = sum(len(put.item.content) for put in puts) // len(puts)
    facts: dict[str, Any] = {"unit": "items/s", "items": len(puts), "bytes_an_item": size}
    one, two = "whole filing in one process", "whole filing by two processes, as in a backfill"
    bare, add = "a bare loop", "building an EmailMessage of ready parts and mailbox.Maildir.add"
    compared = [
        ("store.put", "MaildirStore.put", "put", bare, "bare", BARE_AIM),
        ("filing.bare", one, "whole", bare, "bare", None),
        ("filing.standard", two, "team", add, "standard", STANDARD_AIM),
        ("filing.standard.alone", one, "whole", add, "standard", None),
        ("store.standard", "MaildirStore.put", "put", add, "standard", None),
    ]
    if with_mdeliver:
        ready = "mdeliver, a process for each ready message"
        compared += [
            ("filing.mdeliver", one, "whole", ready, "mdeliver", MDELIVER_AIM),
            ("store.mdeliver", "MaildirStore.put", "put", ready, "mdeliver", None),
        ]
    return [
        ratio(name, f"{ours} against {theirs}", side[our], side[their], least, **facts)
        for name, ours, our, theirs, their, least in compared
    ]
