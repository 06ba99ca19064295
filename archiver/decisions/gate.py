"""Whether one mailbox may get one kind of item now, and why or why not.

Holds the checks and their order; every check can say no, the first no is the reason, and all are recorded. Pure:
it reads records and calls nothing but the capability matrix. It files and withholds nothing: no is never loss,
the caller keeps the conversation and asks again.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from functools import lru_cache

from msgspec import Struct

from archiver.decisions import capability
from archiver.decisions.capability import Answer
from archiver.types import Decision, Finding, Mailbox

GLOBAL, MAILBOX = "global", "mailbox"
"""Scopes of rules: for all, and what one mailbox has of its own."""
_HINT = 'set [store] version, or the version of its [[mailbox]], to what its server reports, such as "15.0.1497.2"'


class Feature(StrEnum):
    """What is asked for: Conversation History of a kind of conversation (missed items as their kind), the archive."""

    IM = "im"
    GROUP = "group"
    CONFERENCE = "conference"
    ARCHIVE = "archive"


_TITLES = {
    Feature.IM: "Conversation History of an IM conversation",
    Feature.GROUP: "Conversation History of a group conversation",
    Feature.CONFERENCE: "Conversation History of a web conference",
    Feature.ARCHIVE: "The compliance archive",
}


class Rules(Struct, frozen=True):
    """What the configuration tells the gate. `pairing` names the one that opens rows which hold only in a pairing."""

    history: bool = True
    pairing: str = ""


class Question(Struct, frozen=True):
    """One mailbox, one feature, and the rules that stand."""

    mailbox: Mailbox
    feature: Feature
    rules: Rules


Check = Callable[[Question], Finding]


def decide(mailbox: Mailbox, feature: str, rules: Rules) -> Decision:
    """Ask every check. `feature` is a conversation's kind, or `archive`."""
    return _decide(Question(mailbox, Feature(feature), rules))


@lru_cache(maxsize=65_536)
def _decide(question: Question) -> Decision:
    findings = tuple(check(question) for check in CHECKS)
    refusals = [finding.reason for finding in findings if not finding.allowed]
    # Where all say yes, the last and most particular one says why.
    return Decision(not refusals, refusals[0] if refusals else findings[-1].reason, findings)


def _is_switched_on(question: Question) -> Finding:
    """The archive has a switch of its own; this one is Conversation History's."""
    if question.feature is Feature.ARCHIVE or question.rules.history:
        return Finding("switch", True, f"{_TITLES[question.feature]} is not switched off.", GLOBAL)
    return Finding("switch", False, f"{_TITLES[question.feature]} is switched off in [history] enabled.", GLOBAL)


def _is_capable(question: Question) -> Finding:
    return capable(question.mailbox.version, question.feature, question.rules.pairing)


@lru_cache(maxsize=4_096)
def capable(given: str, feature: Feature, pairing: str) -> Finding:
    """What the matrix says of a store's version, as it was given; policy asks this too."""
    number = capability.OPENS[feature]
    answer = capability.supports(number, capability.parse(given), pairing=pairing)
    verdict = _verdict(answer, pairing) if answer.products else _unknown(given)
    keys = ", ".join(answer.row.keys)
    need = f"{_TITLES[feature]} needs row {number} ({answer.row.name})"
    return Finding("capability", answer.allowed, f"{need}: {verdict} [{keys}].", MAILBOX)


_PLAIN = {"y": "yes", "y g": "yes (a general statement)", "n": "no", "?": "unconfirmed (?), which counts as no"}


def _verdict(answer: Answer, pairing: str) -> str:
    said = [
        f"{product} ({answer.version}) says {_in_words(cell, pairing)}"
        for product, cell in zip(answer.products, answer.cells, strict=True)
    ]
    if len(said) == 1:
        return said[0]
    return "this version may be any of these, and all must say yes: " + "; ".join(said)


def _in_words(cell: str, pairing: str) -> str:
    """The cell as the table has it, and what it comes to where that isn't plain."""
    if cell == "p (pairing)":
        return (
            f"{cell}, opened by [store] pairing = {pairing!r}" if pairing else f"{cell}, and [store] pairing is empty"
        )
    if cell in _PLAIN:
        return _PLAIN[cell]
    mark, _, condition = cell.partition(" ")
    return f"{_PLAIN[mark]} {condition}" if mark in ("y", "n") else f"{cell}, which counts as no"


def _unknown(given: str) -> str:
    said = f"the version {given[:80]!a} of its store is none we know" if given else "no version is set"
    return f"{said}, and unknown counts as no; {_HINT}"


CHECKS: tuple[Check, ...] = (_is_switched_on, _is_capable)
"""In the order they are asked. Policy and holds are asked for the archives alone."""
