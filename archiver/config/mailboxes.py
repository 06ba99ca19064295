"""The tables that say where items lie, whose mailbox an address is, and what a mailbox has of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

from msgspec import Struct

from archiver.config import quantities, settings, values
from archiver.config.settings import REQUIRED, Setting, Tables
from archiver.config.values import Fault

_FS = "LAYOUT=fs is not offered: items are filed as Maildir++, where a folder is .Name beside cur, new and tmp"


class Store(Struct, frozen=True):
    """Where items go, how they lie there, and what the store says it is."""

    version: Annotated[
        str, Setting("15.2.2562.17", values.text, "What the mail store says it is; any form a server gives it in.")
    ]
    pairing: Annotated[
        str,
        Setting(
            "",
            values.choice("", "online", "cross-premises"),
            'How chat and Exchange Online are paired, which opens what holds only then: "online" (both online) or '
            '"cross-premises"; empty: not at all.',
        ),
    ]
    mail: Annotated[str, Setting("{data}/mail/{domain}/{local}", values.text, "Path of a mailbox: its Maildir++ root.")]
    archive: Annotated[
        str, Setting("{data}/archive/{domain}/{local}", values.text, "Path of a mailbox's compliance archive.")
    ]
    layout: Annotated[
        str,
        Setting("maildir++", values.choice("maildir++", because={"fs": _FS}), "How folders lie below a mailbox."),
    ]
    folder_encoding: Annotated[
        str,
        Setting("utf-7", values.choice("utf-7", "utf-8"), "How the mail server spells folder names on disk."),
    ]
    owner: Annotated[
        str,
        Setting(
            "",
            values.matching(r"[A-Za-z0-9_.-]{0,64}", "must be a user's name or number"),
            "User that owns what is filed; empty: the archiver's own.",
        ),
    ]
    group: Annotated[
        str,
        Setting(
            "",
            values.matching(r"[A-Za-z0-9_.-]{0,64}", "must be a group's name or number"),
            "Group of what is filed; empty: the archiver's own.",
        ),
    ]
    mode: Annotated[int, Setting("0600", quantities.mode, "File mode of items, in octal; folders get the x bits.")]


class MailboxTable(Struct, frozen=True):
    """What one mailbox has of its own; what it doesn't say is as for all."""

    address: Annotated[str, Setting(REQUIRED, values.address, "The mailbox.")]
    version: Annotated[str | None, Setting("", values.optional(values.text), "Version of its store.")]
    locale: Annotated[str | None, Setting("", values.optional(values.locale), "Language of its items.")]
    zone: Annotated[str | None, Setting("", values.optional(values.zone), "Time zone of its items.")]
    folder: Annotated[
        str | None,
        Setting("", values.optional(values.folder), "Name of its Conversation History; empty: as its locale says."),
    ]
    exchange_archiving: Annotated[
        str | None,
        Setting(
            "",
            values.optional(values.exchange_archiving),
            "Where it is archived (ExchangeArchivingPolicy): uninitialized (as its holds say), local, mailbox or none.",
        ),
    ]
    migration: Annotated[
        str | None,
        Setting(
            "",
            values.optional(values.choice("legacy", "migrating", "mailbox")),
            "Its move to another store: legacy (archived locally), migrating (in both) or mailbox (moved).",
        ),
    ]
    migration_ends: Annotated[
        int | None,
        Setting("", values.optional(quantities.last_day), "Last day of its migration, UTC; required while migrating."),
    ]
    quota: Annotated[
        int | None,
        Setting("", values.optional(quantities.size("1MiB", "100TiB")), "What it may hold; over it, items wait."),
    ]

    @property
    def mailbox(self) -> str:
        return self.address


def named_once(mailboxes: Sequence[MailboxTable]) -> Iterator[Fault]:
    addresses = [each.address for each in mailboxes]
    for number, address in enumerate(addresses, 1):
        if address in addresses[: number - 1]:
            yield f"[{number}].address", address, "has a table already"


CSV_READERS = {key: setting.read for key, _, setting in settings.settings_of(MailboxTable) if key != "address"}
"""How the columns of the people file are checked, for `people.read_people`."""


class Rewrite(Struct, frozen=True):
    """A system's domain, and the one of its people's mailboxes."""

    source: Annotated[str, Setting(REQUIRED, values.domain, "Domain that a source uses.", "from")]
    target: Annotated[str, Setting(REQUIRED, values.domain, "Domain of its people's mailboxes.", "to")]


def _distinct(rules: Sequence[Rewrite]) -> Iterator[Fault]:
    sources = [rule.source for rule in rules]
    for number, rule in enumerate(rules, 1):
        if rule.source in sources[: number - 1]:
            yield f"[{number}].from", rule.source, "is rewritten by an earlier rule already"
        if rule.target in sources:
            yield f"[{number}].to", rule.target, "is rewritten by a rule itself, and rules apply once"


class People(Struct, frozen=True):
    """Whose mailbox an address is. As soon as domains or people are named, only those are ours."""

    domains: Annotated[tuple[str, ...], Setting([], values.domains, "Domains whose addresses have mailboxes here.")]
    people: Annotated[
        tuple[tuple[str, str], ...],
        Setting({}, values.people, 'Exact map: "address as the source has it" = "mailbox".'),
    ]
    rewrite: Annotated[
        tuple[Rewrite, ...], Setting([], Tables(Rewrite, _distinct), "Domains of a source that stand for another.")
    ]
    file: Annotated[
        str, Setting("", values.text, "CSV of address,mailbox and any other key of [[mailbox]], beside this file.")
    ]

    @property
    def every_domain(self) -> tuple[str, ...]:
        """Every domain that can have mailboxes here; none where that isn't known before the events come."""
        named = (address.rpartition("@")[2] for _, address in self.people)
        return () if self.file else tuple(sorted({*self.domains, *named}))
