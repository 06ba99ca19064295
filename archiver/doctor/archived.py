"""What archiving comes to: late migrations, people who are held and yet not archived, archives that are nearly full."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from archiver.assembly import archive_of, archiving_of, directory_of, open_spool
from archiver.config import Config
from archiver.decisions import excluding, holding
from archiver.doctor.finding import Check, Finding, Verdict
from archiver.filing import moving
from archiver.spool import Spool


def migrations(config: Config, data: Path, now: int) -> Iterator[Finding]:
    directory = directory_of(config)
    late = moving.overdue(directory, now)
    if under_way := len(moving.migrating(directory)) - len(late):
        yield Finding("migrations", Verdict.OK, f"{under_way:,} under way, in two stores each")
    for mailbox in late:
        yield Finding("migration overdue", Verdict.WARN, moving.told(mailbox), moving.ADVICE)


def left_behind(config: Config, data: Path, now: int) -> Iterator[Finding]:
    """A moved mailbox's own archive begins with its move: what is older is no less archived, and stays where it is."""
    if not Spool.exists(data):
        return
    with open_spool(config, data, readonly=True) as spool:
        found = list(moving.left_behind(directory_of(config), spool))
    for mailbox, items in found[:_TOLD]:
        said = f"{items:,} of what is archived of {mailbox.address} lies in the local archive alone"
        yield Finding("archived before", Verdict.WARN, said, _BEFORE.format(mailbox.address))
    if len(found) > _TOLD:
        yield Finding("archived before", Verdict.WARN, f"the same of {len(found) - _TOLD:,} more mailboxes", "")


_TOLD = 20
"""Mailboxes that are told one by one."""
_BEFORE = "search and purge both archives; `archiver export FOLDER --address {}` writes the local one's items out"
_NOBODY = "if its owner has another address now, or it was mistyped, hold that one too: this keeps nothing new"


def policy_of_nobody(config: Config, data: Path, now: int) -> Iterator[Finding]:
    """Policy is asked by mailbox: one for an address that leads to a mailbox, or to none, never rules."""
    directory = directory_of(config)
    for address in archiving_of(config).users:
        if not directory.has(address):
            found = f"[[policy.user]] {address} is no mailbox by this configuration, and so rules nobody"
            yield Finding("policy, no mailbox", Verdict.WARN, found, "name the mailbox that this person has here")


def held_yet_not_archived(config: Config, data: Path, now: int) -> Iterator[Finding]:
    """A mailbox's own rule is obeyed, a hold or not; that both were meant is unlikely."""
    if not Spool.exists(data):
        return
    directory = directory_of(config)
    with open_spool(config, data, readonly=True) as spool:
        standing = holding.standing(spool.holds())
    advice = 'take exchange_archiving = "none" from it, or release the hold'
    for hold in standing:
        if not directory.has(hold.mailbox):
            found = f"{hold.mailbox} is under hold {hold.number}, and is no mailbox by this configuration"
            yield Finding("held, no mailbox", Verdict.WARN, found, _NOBODY)
        elif directory.mailbox(hold.mailbox).exchange_archiving == "none":
            found = (
                f'{hold.mailbox} is under hold {hold.number}, but exchange_archiving = "none" archives nothing of it'
            )
            yield Finding("held, not archived", Verdict.WARN, found, advice)


def held_yet_left_out(config: Config, data: Path, now: int) -> Iterator[Finding]:
    """An exclusion leaves out what a hold would keep: both may be meant, but nobody can tell afterwards."""
    if not Spool.exists(data):
        return
    with open_spool(config, data, readonly=True) as spool:
        standing, exclusions = holding.standing(spool.holds()), spool.exclusions()
    for hold in standing:
        if left_out := excluding.beside(exclusions, hold.mailbox, now):
            names = ", ".join(f"{each.title} (exclusion {each.number})" for each in left_out)
            found = f"{hold.mailbox} is under hold {hold.number}, and {names} is left out"
            yield Finding("held, left out", Verdict.WARN, found, "end the exclusion, if the hold is to keep that too")


def nearly_full(config: Config, data: Path, now: int) -> Iterator[Finding]:
    if not Spool.exists(data):
        return
    with open_spool(config, data, readonly=True) as spool:
        mailboxes = sorted(spool.heads())
    for mailbox, usage in archive_of(config, data).nearly_full(mailboxes):
        found = f"the archive of {mailbox} holds {usage}"
        yield Finding("archive nearly full", Verdict.WARN, found, ROOM)


ROOM = "raise [archiving] quota_limit, or purge what its rules let go; what is for a full archive waits"

CHECKS: tuple[Check, ...] = (
    migrations,
    left_behind,
    policy_of_nobody,
    held_yet_not_archived,
    held_yet_left_out,
    nearly_full,
)
