"""What archiving comes to: migrations that are late, and people who are held and yet not archived."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from archiver import holding, moving
from archiver.assembly import directory_of, open_spool
from archiver.config import Config
from archiver.doctor.finding import Check, Finding, Verdict
from archiver.spool import Spool


def migrations(config: Config, data: Path, now: int) -> Iterator[Finding]:
    directory = directory_of(config)
    late = moving.overdue(directory, now)
    if under_way := len(moving.migrating(directory)) - len(late):
        yield Finding("migrations", Verdict.OK, f"{under_way:,} under way, in two stores each")
    for mailbox in late:
        yield Finding("migration overdue", Verdict.WARN, moving.told(mailbox), moving.ADVICE)


def held_yet_not_archived(config: Config, data: Path, now: int) -> Iterator[Finding]:
    """A mailbox's own rule is obeyed, a hold or not; that both were meant is unlikely."""
    if not Spool.exists(data):
        return
    directory = directory_of(config)
    with open_spool(config, data, readonly=True) as spool:
        standing = holding.standing(spool.holds())
    advice = 'take exchange_archiving = "none" from it, or release the hold'
    for hold in standing:
        if directory.mailbox(hold.mailbox).exchange_archiving == "none":
            found = (
                f'{hold.mailbox} is under hold {hold.number}, but exchange_archiving = "none" archives nothing of it'
            )
            yield Finding("held, not archived", Verdict.WARN, found, advice)


CHECKS: tuple[Check, ...] = (migrations, held_yet_not_archived)
