"""How long filed items stay, and which may go now: hold before label before policy (pure).

    hold     while one stands that covers the item, or may: it stays
    label    a keyword on the item, which keeps or shortens; of several the one that keeps longest
    policy   the first rule for its mailbox and folder, which may ask that it was exported too

Answers from records and `now`: no item is read. Where a hold asks for what only the item could tell, the item stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum

from msgspec import Struct

from archiver.decisions import holding
from archiver.events import SECOND, fits
from archiver.types import Destination, Hold

_HOUR = 3_600 * SECOND
DAY = 24 * _HOUR
EVERY_HOUR = frozenset(range(24))


class Rule(Struct, frozen=True):
    """For mailboxes that fit a pattern and one of their folders: days from an item's last event, and when it goes.

    `exported_only`: nothing goes that was not exported too, be it as old as it may.
    """

    mailbox: str
    destination: Destination
    days: int
    hour: int = 2
    exported_only: bool = False


class Label(Struct, frozen=True):
    """A keyword on an item, and the days it stays for; None: for good."""

    keyword: str
    days: int | None


class Rules(Struct, frozen=True):
    """In the order in which they are written: the first that fits is a mailbox's."""

    rules: tuple[Rule, ...] = ()
    labels: tuple[Label, ...] = ()

    def rule(self, mailbox: str, destination: Destination, hours: frozenset[int] = EVERY_HOUR) -> Rule | None:
        """The one for a mailbox's folder, if it is one of these hours'."""
        fitting = (r for r in self.rules if r.destination is destination and fits(mailbox, r.mailbox))
        rule = next(fitting, None)
        return rule if rule is not None and rule.hour in hours else None

    def youngest(self, now: int) -> int | None:
        """What ended after it is too young for any rule and label; None where nothing ever goes."""
        if not self.rules:
            return None
        days = [rule.days for rule in self.rules]
        days += [label.days for label in self.labels if label.days is not None]
        return now - min(days) * DAY


class Aged(Struct, frozen=True):
    """What is on record of an item; what isn't, is None. `labels` are keywords it bears, case-folded; `exported` is
    asked only where the rule wants to know."""

    ended: int
    started: int | None = None
    labels: frozenset[str] = frozenset()
    exported: bool = False


class Verdict(StrEnum):
    GOES = "goes"
    HELD = "held"
    LABELLED = "kept by its label"
    UNEXPORTED = "waits for its export"
    STAYS = "stays"


def judge(item: Aged, rule: Rule | None, rules: Rules, holds: Sequence[Hold], now: int) -> Verdict:
    """`rule` is what policy says for it, None where it says nothing: then nothing is asked."""
    if rule is None:
        return Verdict.STAYS
    said = [label.days for label in rules.labels if label.keyword.casefold() in item.labels]
    kept = rule.days if not said else _longest(said)
    if kept is not None and item.ended + kept * DAY < now:
        return _freed(item, rule, holds)
    return Verdict.LABELLED if said and item.ended + rule.days * DAY < now else Verdict.STAYS


def _freed(item: Aged, rule: Rule, holds: Sequence[Hold]) -> Verdict:
    """Of what its time would let go."""
    if holding.may_cover(holds, item.started, item.ended):
        return Verdict.HELD
    return Verdict.UNEXPORTED if rule.exported_only and not item.exported else Verdict.GOES


def _longest(days: Iterable[int | None]) -> int | None:
    known = list(days)
    return None if None in known else max(each for each in known if each is not None)


def hours_due(last: int | None, now: int) -> frozenset[int]:
    """The hours of the day, in UTC, that began since the last purge and until now; without one, only this hour.

    A clock that went back has nothing due before its hour comes again; one that was set back by days was wrong before.
    """
    this = now // _HOUR
    if last is None or last > now + 24 * _HOUR:
        return frozenset({this % 24})
    return frozenset(hour % 24 for hour in range(max(last // _HOUR, this - 24) + 1, this + 1))
