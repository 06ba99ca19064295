"""Whether archives are still what was filed, and what a problem is: a value with code, place and advice.

Mends nothing; `examining` does for Conversation History what the archive does for itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from msgspec import Struct

from archiver.store.damage import Damage
from archiver.types import Head


class Problem(Struct, frozen=True, tag_field="kind", tag="problem"):
    """One thing found wrong: what, where exactly, what a person can do about it, and what was done ("": nothing)."""

    code: str
    mailbox: str
    place: str
    found: str
    advice: str
    mended: str = ""


def problem(damage: Damage, mended: str = "") -> Problem:
    return Problem(damage.code, damage.mailbox, damage.place, damage.found, damage.advice, mended)


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
            yield problem(damage)
