"""A backfill of a million events by the processes it really uses: messages a second, and the memory of all of them."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator

from bench import child, corpus
from bench.corpus import Ids
from bench.machine import Watch
from bench.measure import Bench, Figure, at_least, at_most, plain

SPEED_AIMS: dict[Ids, int] = {"serial": 20_000, "random": 12_000}
MEMORY_AIM = 200
GROWTH_AIM = 1.1
"""Ten times the size has to take the same memory: within what two runs of one size differ."""
_MIB = 1024 * 1024


def run(bench: Bench) -> Iterator[Figure]:
    for ids in SPEED_AIMS:
        speed, memory = _one(bench, ids, bench.sizes.events)
        yield at_least(SPEED_AIMS[ids], speed.name, speed.what, speed.value, speed.unit, facts=speed.facts)
        yield at_most(MEMORY_AIM, memory.name, memory.what, memory.value, memory.unit, facts=memory.facts)
        if bench.sizes.ten:
            yield from _ten(bench, ids, memory.value)


def _ten(bench: Bench, ids: Ids, once: float) -> list[Figure]:
    speed, memory = _one(bench, ids, 10 * bench.sizes.events)
    growth = memory.value / once
    return [
        speed,
        at_most(MEMORY_AIM, memory.name, memory.what, memory.value, memory.unit, facts=memory.facts),
        at_most(GROWTH_AIM, f"backfill.{ids}.growth", "peak memory at ten times the size", growth, "times"),
    ]


def _one(bench: Bench, ids: Ids, events: int) -> tuple[Figure, Figure]:
    """Speed counts from the start of the command to its end, with everything synced."""
    bench.say(f"backfill: writing {events:,} events with {ids} ids")
    path = corpus.write(bench.fresh("export") / "export.ndjson", events, ids)
    bench.say(f"backfill: {events:,} events with {ids} ids")
    os.sync()
    before, started = _cpu(), time.perf_counter()
    process = child.start(bench.fresh("data"), "events", path)
    with Watch(process.pid) as watch:
        done = child.ended(process)
    seconds, cpu = time.perf_counter() - started, _cpu() - before
    if done.accepted != events:
        raise RuntimeError(f"{done.accepted} of {events} events were accepted")
    return _figures(bench, ids, events, (seconds, cpu), done, watch)


def _cpu() -> float:
    """Seconds that ended children and theirs computed: steadier than the clock where others compute too."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _figures(
    bench: Bench, ids: Ids, events: int, spent: tuple[float, float], done: child.Done, watch: Watch
) -> tuple[Figure, Figure]:
    name = f"backfill.{ids}" if events == bench.sizes.events else f"backfill.{ids}.ten"
    seconds, cpu = spent
    title = f"backfill of {events:,} messages with {ids} ids"
    facts = {
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu, 1),
        "reading_seconds": round(done.reading, 1),
        "filing_seconds": round(done.filing, 1),
        "renderings_a_second": round(done.tally["renderings"] / seconds),
        **{each: done.tally[each] for each in ("conversations", "items", "copies", "renderings", "bytes", "failed")},
    }
    looked = {"processes": watch.processes, "samples": watch.samples}
    return (
        plain(f"{name}.speed", title, events / seconds, "messages/s", facts=facts),
        plain(f"{name}.memory", f"{title}: sum of PSS", watch.peak / _MIB, "MiB", facts=looked),
    )
