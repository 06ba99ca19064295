"""What a search costs: over what a backfill has filed; against `notmuch` over the same folders.

A search is timed as a reader meets it: the index looked after, hits looked up in their folders, excerpts made. What is
common is common here: the words of most sentences.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

from archiver.assembly import open_spool, searcher_of
from archiver.config import load
from archiver.search import Order, Searcher
from bench import child, corpus
from bench.measure import Bench, Figure, at_most, plain, ratio

AIM = 200
"""Milliseconds, for a common word."""
_ROUNDS = 7
_HITS = 50
_COMMON, _CHINESE, _OTHER = "the", "測試", "work"
_MIB = 1024 * 1024


def run(bench: Bench) -> Iterator[Figure]:
    events = bench.sizes.events
    path = corpus.write(bench.fresh("search-export") / "export.ndjson", events, "random")
    data = bench.fresh("search")
    bench.say(f"search: filing {events:,} events")
    child.ended(child.start(data, "events", path))
    with open_spool(load(), data) as spool:
        searcher = searcher_of(load(), data, spool)
        bench.say("search: indexing")
        yield from _built(searcher, events)
        spool.indexed(range(1, spool.index_backlog(searcher.destination).entries + 1))
        yield from _asked(searcher, next(iter(data.glob("mail/*/*"))))
        if "notmuch" in bench.without:
            return
        if not shutil.which("notmuch"):
            bench.missing.append("notmuch is not installed: install it, or say --without notmuch")
            return
        bench.say("search: notmuch")
        yield from _compared(searcher, data, bench.fresh("notmuch"), events)


def _built(searcher: Searcher, events: int) -> Iterator[Figure]:
    started = time.perf_counter()
    documents = searcher.rebuild()
    seconds = time.perf_counter() - started
    facts = {"documents": documents, "seconds": round(seconds, 1)}
    yield plain("search.build", "index made of the folders", events / seconds, "messages/s", facts=facts)
    yield plain("search.size", "index of it", searcher.path.stat().st_size / _MIB, "MiB")


def _asked(searcher: Searcher, mailbox: Path) -> Iterator[Figure]:
    address = f"{mailbox.name}@{mailbox.parent.name}"
    asked: dict[str, tuple[str, Callable[[], object]]] = {
        "common": ("a common word, newest first", lambda: searcher.search(_COMMON, limit=_HITS)),
        "mailbox": ("the same in one mailbox", lambda: searcher.search(_COMMON, address, limit=_HITS)),
        "chinese": ("a word of two Chinese characters", lambda: searcher.search(_CHINESE, limit=_HITS)),
        "both": (
            "two words, one of them not, since a day",
            lambda: searcher.search(f"{_CHINESE} -{_OTHER} after:2011-03-14", limit=_HITS),
        ),
        "relevance": (
            "a common word, by relevance",
            lambda: searcher.search(_COMMON, order=Order.RELEVANCE, limit=_HITS),
        ),
    }
    for name, (what, ask) in asked.items():
        samples = _milliseconds(ask)
        yield at_most(AIM, f"search.{name}", what, median(samples), "ms", samples=samples)


def _milliseconds(ask: Callable[[], object]) -> list[float]:
    ask()
    samples = []
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        ask()
        samples.append((time.perf_counter() - started) * 1_000)
    return samples


def _compared(searcher: Searcher, data: Path, home: Path, events: int) -> Iterator[Figure]:
    settings = home / "config"
    settings.write_text(
        f"[database]\npath={data / 'mail'}\nhook_dir={home / 'hooks'}\n[user]\nname=bench\nprimary_email=bench@x\n"
        "[new]\ntags=\nignore=maildirfolder\n[maildir]\nsynchronize_flags=false\n"
    )
    environment = {**os.environ, "NOTMUCH_CONFIG": str(settings)}

    def call(*arguments: str) -> None:
        subprocess.run(["notmuch", *arguments], env=environment, check=True, stdout=subprocess.DEVNULL)

    started = time.perf_counter()
    call("new", "--quiet")
    seconds = time.perf_counter() - started
    size = sum(path.stat().st_size for path in (data / "mail" / ".notmuch").rglob("*") if path.is_file())
    facts = {"seconds": round(seconds, 1), "MiB": round(size / _MIB)}
    yield plain("search.notmuch.build", "the same by notmuch", events / seconds, "messages/s", facts=facts)
    theirs = _milliseconds(lambda: call("search", f"--limit={_HITS}", _COMMON))
    ours = _milliseconds(lambda: searcher.search(_COMMON, limit=_HITS))
    yield ratio("search.notmuch", "a common word, notmuch's time against ours", theirs, ours, None)
