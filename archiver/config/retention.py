"""The tables that say how long items stay. What goes is decided elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

from msgspec import Struct

from archiver.config import quantities, values
from archiver.config.settings import REQUIRED, Setting
from archiver.config.values import Fault


class Retention(Struct, frozen=True, kw_only=True):
    """How long items stay in one folder of some mailboxes."""

    mailbox: Annotated[
        str, Setting("*", values.pattern, "Mailboxes it is for; * stands for anything. The first that fits is used.")
    ]
    folder: Annotated[
        str, Setting(REQUIRED, values.choice("history", "archive"), "history (the owner's own) or archive.")
    ]
    days: Annotated[
        int, Setting(REQUIRED, quantities.whole(1, 36_525), "Days after its last event at which an item is purged.")
    ]
    hour: Annotated[int, Setting(2, quantities.whole(0, 23), "Hour of the day of the purge, UTC.")]
    exported_only: Annotated[bool, Setting(False, values.boolean, "Purge only what is that old and was exported too.")]


class RetentionLabel(Struct, frozen=True, kw_only=True):
    """A keyword that owners set on items in their Conversation History."""

    keyword: Annotated[
        str,
        Setting(
            REQUIRED,
            values.matching(r"[!#$&'+,./0-9:;<=>?@A-Z^_`a-z|~-]{1,100}", "must be an IMAP keyword: one plain word"),
            "An IMAP keyword on an item, which goes before [[retention]].",
        ),
    ]
    days: Annotated[
        int, Setting(REQUIRED, quantities.whole(0, 36_525), "Days such an item stays: longer or shorter; 0: for good.")
    ]


def unreachable(rules: Sequence[Retention]) -> Iterator[Fault]:
    """A rule behind one for everybody would quietly never be used."""
    for number, rule in enumerate(rules, 1):
        if any(each.folder == rule.folder and each.mailbox in ("*", rule.mailbox) for each in rules[: number - 1]):
            yield f"[{number}].mailbox", rule.mailbox, "is never used: an earlier rule for this folder fits first"


def labelled_once(labels: Sequence[RetentionLabel]) -> Iterator[Fault]:
    known = [label.keyword.casefold() for label in labels]
    for number, label in enumerate(labels, 1):
        if known[number - 1] in known[: number - 1]:
            yield f"[{number}].keyword", label.keyword, "has a table already (case doesn't count)"
