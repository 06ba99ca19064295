"""Mailboxes on their way to another store, and when that must be over.

A migration that was over before it was first heard of is a mistake in the configuration, and refused. One that runs
late goes on, since ending it by itself would lose what only one of its stores gets: it is overdue, and told as such.
"""

from __future__ import annotations

from collections.abc import Iterator

from archiver.assembly import said_in
from archiver.config import Config
from archiver.config.quantities import day
from archiver.decisions.policy import is_overdue
from archiver.directory import Directory
from archiver.exceptions import ConfigError
from archiver.spool import Spool
from archiver.types import Mailbox

ADVICE = 'finish it and write migration = "mailbox", or give it more time in migration_ends; meanwhile both go on'


def migrating(directory: Directory) -> list[Mailbox]:
    """Those that are in two stores now."""
    named = (directory.mailbox(address) for address in directory.named())
    return [mailbox for mailbox in named if mailbox.migration == "migrating"]


def overdue(directory: Directory, now: int) -> list[Mailbox]:
    return [mailbox for mailbox in migrating(directory) if is_overdue(mailbox, now)]


def told(mailbox: Mailbox) -> str:
    """What is said of one that is overdue."""
    return f"{mailbox.address} was to be moved by {day(mailbox.migration_ends or 0)} and is still in two stores"


def left_behind(directory: Directory, spool: Spool) -> Iterator[tuple[Mailbox, int]]:
    """Mailboxes that have moved, and how many items lie in the local archive alone: from before they moved, or from a
    migration that was called off, by which what waited for their own archive was settled."""
    for address in directory.named():
        mailbox = directory.mailbox(address)
        if mailbox.migration == "mailbox" and (items := spool.only_local(address)):
            yield mailbox, items


def take_up(config: Config, directory: Directory, spool: Spool, now: int) -> None:
    """Note the migrations of a configuration; raises `ConfigError` for those that ended before they began."""
    ends = {each.address: each.migration_ends for each in migrating(directory) if each.migration_ends is not None}
    known = spool.migrations()
    if problems := [
        f"{said_in(config, each.address)}.migration_ends = {day(ends[each.address])!a}: lies in the past"
        for each in overdue(directory, now)
        if known.get(each.address) != ends[each.address]
    ]:
        raise ConfigError(problems, hint='write a day to come, or migration = "mailbox" where it is done')
    if ends != known:
        spool.note_migrations(ends)
