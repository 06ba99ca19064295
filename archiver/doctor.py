"""Checks of what the archiver stands on, each with advice. Looks and reports; mends only what it is asked to.

The data directory, the spool, the mail root, the gate: what a person needs to know before trusting it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path

from msgspec import Struct

from archiver import gate
from archiver.assembly import open_spool, store_of, terms_of
from archiver.config import Config
from archiver.exceptions import ArchiverError

_ROOM = 512 * 1024 * 1024


class Verdict(StrEnum):
    OK = "ok"
    WARN = "warn"
    BAD = "bad"


class Finding(Struct, frozen=True):
    """One check: what was looked at, what was found, and what to do about it."""

    check: str
    verdict: Verdict
    found: str
    advice: str = ""


def examine(config: Config, data: Path, now: int) -> list[Finding]:
    """All checks, in the order in which a person would mend what they find."""
    found: list[Finding] = []
    for check in (_directory, _room, _ownership, _gate, _spool):
        try:
            found += check(config, data, now)
        except ArchiverError as error:
            found.append(Finding(check.__name__.strip("_"), Verdict.BAD, str(error), error.hint))
    return found


def _directory(config: Config, data: Path, now: int) -> Iterator[Finding]:
    if not data.exists():
        yield Finding("data directory", Verdict.OK, f"{data} will be made at the first use")
    elif not os.access(data, os.W_OK | os.X_OK):
        yield Finding(
            "data directory", Verdict.BAD, f"{data} can't be written", "give the archiver's user the right to"
        )
    else:
        yield Finding("data directory", Verdict.OK, f"{data} can be written")
    root = store_of(config, data).root
    nearest = next(each for each in (root, *root.parents) if each.exists())
    writable = os.access(nearest, os.W_OK | os.X_OK)
    advice = "" if writable else "give the archiver's user the right to, or name another [store] mail"
    verdict = Verdict.OK if writable else Verdict.BAD
    yield Finding("mail root", verdict, f"{root} {'can' if writable else 'can not'} be written", advice)


def _room(config: Config, data: Path, now: int) -> Iterator[Finding]:
    nearest = next(each for each in (data, *data.parents) if each.exists())
    free = shutil.disk_usage(nearest).free
    enough = free >= _ROOM
    yield Finding(
        "free space",
        Verdict.OK if enough else Verdict.WARN,
        f"{free // 1024 // 1024:,} MiB free",
        "" if enough else "free some: when the disk is full, capture answers `try later`",
    )


def _ownership(config: Config, data: Path, now: int) -> Iterator[Finding]:
    if config.store.owner or config.store.group:
        can = os.geteuid() == 0
        yield Finding(
            "owner",
            Verdict.OK if can else Verdict.WARN,
            f"items belong to {config.store.owner or 'us'}:{config.store.group or 'us'}",
            "" if can else "only root, or a process with CAP_CHOWN, can give files away",
        )
    if os.geteuid() != 0 and not config.store.owner:
        yield Finding(
            "archive", Verdict.WARN, "the mail server runs as our user", "an archive would be hidden, not protected"
        )


def _gate(config: Config, data: Path, now: int) -> Iterator[Finding]:
    rules, box = terms_of(config).gate, config.default_mailbox
    for feature in (gate.Feature.IM, gate.Feature.CONFERENCE):
        decision = gate.decide(box, feature, rules)
        yield Finding(f"gate: {feature}", Verdict.OK if decision.allowed else Verdict.WARN, decision.reason)


def _spool(config: Config, data: Path, now: int) -> Iterator[Finding]:
    if not (data / "spool.db").exists():
        yield Finding("spool", Verdict.OK, "there is none yet")
        return
    with open_spool(config, data, readonly=True) as spool:
        totals = spool.totals()
        yield Finding("spool", Verdict.OK, f"{totals.spooled:,} events, {totals.filed:,} items filed")
        for count, what, advice in (
            (totals.parked, "items parked", "`archiver status --parked` says why; then `archiver doctor --unpark`"),
            (totals.quarantined, "pieces of input quarantined", "`archiver status --quarantine`"),
            (totals.conflicts, "events in conflict", "`archiver status --conflicts`"),
            (totals.withheld, "items withheld", "`archiver status` says why"),
        ):
            if count:
                yield Finding(what, Verdict.WARN, f"{count:,}", advice)
        if spool.holder("backfill") is None:
            for feed in spool.feeds(only_open=True):
                if feed.kind == "import":
                    advice = f"run the same backfill again, or `archiver doctor --close-import {feed.name}`"
                    yield Finding("dead import", Verdict.WARN, f"{feed.name} ({feed.path})", advice)


Check = Callable[[Config, Path, int], Iterator[Finding]]
