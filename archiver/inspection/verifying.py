"""Whether archives are still what was filed: every problem a value with code, place and advice. Mends nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from msgspec import Struct

from archiver.store.damage import Damage
from archiver.types import Head


class Problem(Struct, frozen=True):
    """One thing found wrong: what, where exactly, and what a person can do about it."""

    code: str
    mailbox: str
    place: str
    found: str
    advice: str


class Verifiable(Protocol):
    """A store whose mailboxes can be checked against what it recorded of them."""

    def mailboxes(self) -> Iterable[str]: ...

    def verify(self, mailbox: str, heads: Iterable[Head] = ()) -> Iterator[Damage]: ...


def archives(archive: Verifiable, heads: Mapping[str, Iterable[Head]]) -> list[str]:
    """Mailboxes with an archive: those that lie there, and those that one is on record for."""
    return sorted({*archive.mailboxes(), *heads})


def verify(archive: Verifiable, mailboxes: Iterable[str], heads: Mapping[str, Iterable[Head]]) -> Iterator[Problem]:
    """All problems of these mailboxes' archives. `heads` are those that the spool has on record."""
    for mailbox in mailboxes:
        for damage in archive.verify(mailbox, heads.get(mailbox, ())):
            yield Problem(damage.code, damage.mailbox, damage.place, damage.found, damage.advice)
