"""The tables that say how, whom and until when to archive, with the names the original gives them.

Holds their keys and what contradicts within them and between them. What the rules come to is policy's business.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import combinations
from typing import Annotated, Protocol

from msgspec import Struct

from archiver.config import quantities, values
from archiver.config.settings import REQUIRED, Setting, Tables
from archiver.config.values import Fault

_quota = quantities.size("1MiB", "1024TiB")
_NAMING = {"name", "sources", "pools"}
_name = values.matching(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", "must be a plain name of letters, digits and . _ -")


class Configuration(Struct, frozen=True, kw_only=True):
    """How to archive, for one scope."""

    archive: Annotated[
        str,
        Setting(
            "none",
            values.choice("none", "im", "im+conference"),
            "What is archived at all: none, im (group IM too) or im+conference (EnableArchiving).",
        ),
    ]
    to_mailbox: Annotated[
        bool,
        Setting(
            False,
            values.boolean,
            "Whether mailboxes get their archive, as their holds say (EnableExchangeArchiving); else the local one.",
        ),
    ]
    block_on_failure: Annotated[
        bool,
        Setting(
            False,
            values.boolean,
            "Critical mode: rather no conversation than one not archived (BlockOnArchiveFailure).",
        ),
    ]
    failure_after: Annotated[
        int,
        Setting("15m", quantities.duration("0s", "7d"), "How long archiving may fail before critical mode begins."),
    ]
    cache_purge_hours: Annotated[
        int,
        Setting(
            24,
            quantities.whole(4, 168),
            "Hours after which a conversation that nobody has archived is dropped (CachePurgingInterval).",
        ),
    ]
    purge: Annotated[bool, Setting(False, values.boolean, "Whether the archive is purged every day (EnablePurging).")]
    keep_days: Annotated[
        int,
        Setting(14, quantities.whole(1, 2562), "Age in days that is purged (KeepArchivingDataForDays)."),
    ]
    purge_exported_only: Annotated[
        bool,
        Setting(False, values.boolean, "Purge only what is that old and was exported too (PurgeExportedArchivesOnly)."),
    ]
    purge_hour: Annotated[
        int, Setting(2, quantities.whole(0, 23), "Hour of the day of the purge, UTC (PurgeHourOfDay).")
    ]


class Scoped(Configuration, frozen=True, kw_only=True):
    """How a pool or site archives, if it says so; `written` are the keys that its table has."""

    written: frozenset[str] = frozenset()

    @property
    def is_own(self) -> bool:
        """Whether this table is a configuration, and not only the name of a pool or site."""
        return bool(self.written - _NAMING)


class Pool(Scoped, frozen=True, kw_only=True):
    """Sources under one name; with keys of its own, their configuration, whole."""

    name: Annotated[str, Setting(REQUIRED, _name, "Name of a pool of sources.")]
    sources: Annotated[
        tuple[str, ...],
        Setting(REQUIRED, values.patterns, "The sources in it; * stands for anything, ? for one character."),
    ]


class Site(Scoped, frozen=True, kw_only=True):
    """Pools under one name; with keys of its own, the configuration of those that have none, whole."""

    name: Annotated[str, Setting(REQUIRED, _name, "Name of a site.")]
    pools: Annotated[tuple[str, ...], Setting(REQUIRED, values.names, "The pools in it.")]


class Archiving(Configuration, frozen=True, kw_only=True):
    """How to archive: the global scope, and the sites and pools that differ."""

    quota_warning: Annotated[
        int,
        Setting("20GiB", _quota, "A mailbox's archive that holds more is nearly full, and said to be."),
    ]
    quota_limit: Annotated[
        int,
        Setting("30GiB", _quota, "A mailbox's archive that would hold more takes nothing; what is for it waits."),
    ]
    site: Annotated[tuple[Site, ...], Setting([], Tables(Site), "")]
    pool: Annotated[tuple[Pool, ...], Setting([], Tables(Pool), "")]


class Policy(Struct, frozen=True, kw_only=True):
    """Who is archived locally, for one scope; the mailbox's own archive is as its holds say."""

    internal: Annotated[
        bool,
        Setting(
            False, values.boolean, "Archive conversations in which everybody has a mailbox here (ArchiveInternal)."
        ),
    ]
    external: Annotated[
        bool, Setting(False, values.boolean, "Archive those in which somebody has none (ArchiveExternal).")
    ]


class SitePolicy(Policy, frozen=True, kw_only=True):
    name: Annotated[str, Setting(REQUIRED, _name, "The site whose people this is for.")]


class UserPolicy(Policy, frozen=True, kw_only=True):
    address: Annotated[str, Setting(REQUIRED, values.address, "The mailbox this is for.")]


class Policies(Policy, frozen=True, kw_only=True):
    """Whom to archive: the global scope, and the sites and people that differ."""

    site: Annotated[tuple[SitePolicy, ...], Setting([], Tables(SitePolicy), "")]
    user: Annotated[tuple[UserPolicy, ...], Setting([], Tables(UserPolicy), "")]


class Notice(Struct, frozen=True):
    """What people are told who are archived."""

    subject: Annotated[str, Setting("Your conversations are archived", values.text, "Subject of the notice.")]
    text: Annotated[
        str,
        Setting("", values.prose, "What who is archived is told, once, in Conversation History; empty: nothing."),
    ]


# --- contradictions ----------------------------------------------------------------------------------------------


def contradictions(archiving: Archiving, policies: Policies) -> Iterator[Fault]:
    """What can't hold at once, with its dotted key."""
    pools, sites = archiving.pool, archiving.site
    yield from _twice("archiving.pool", "name", [pool.name for pool in pools])
    yield from _twice("archiving.site", "name", [site.name for site in sites])
    yield from _twice("policy.site", "name", [policy.name for policy in policies.site])
    yield from _twice("policy.user", "address", [policy.address for policy in policies.user])
    if archiving.quota_warning > archiving.quota_limit:
        warning = f"{archiving.quota_warning // 1024**2}MiB"
        yield "archiving.quota_warning", warning, "is over quota_limit: the warning would come too late"
    yield from _unnamed(archiving, policies)
    yield from _in_two_sites(sites)
    yield from _in_two_pools(pools)
    for table, scopes in (("pool", pools), ("site", sites)):
        yield from _half_said(f"archiving.{table}", scopes)


def _twice(table: str, key: str, names: Sequence[str]) -> Iterator[Fault]:
    for number, name in enumerate(names, 1):
        if name in names[: number - 1]:
            yield f"{table}[{number}].{key}", name, "has a table already"


def _unnamed(archiving: Archiving, policies: Policies) -> Iterator[Fault]:
    pools = {pool.name for pool in archiving.pool}
    for number, site in enumerate(archiving.site, 1):
        for place, name in enumerate(site.pools, 1):
            if name not in pools:
                yield f"archiving.site[{number}].pools[{place}]", name, "is no [[archiving.pool]]"
    sites = {site.name for site in archiving.site}
    for number, policy in enumerate(policies.site, 1):
        if policy.name not in sites:
            yield f"policy.site[{number}].name", policy.name, "is no [[archiving.site]]"


def _in_two_sites(sites: Sequence[Site]) -> Iterator[Fault]:
    owner: dict[str, str] = {}
    for number, site in enumerate(sites, 1):
        for place, name in enumerate(site.pools, 1):
            if owner.setdefault(name, site.name) != site.name:
                yield f"archiving.site[{number}].pools[{place}]", name, f"is in site {owner[name]} already"


def _in_two_pools(pools: Sequence[Pool]) -> Iterator[Fault]:
    """A source in two pools would have two configurations, and neither is the more specific."""
    said = [
        (f"archiving.pool[{number}].sources[{place}]", pool.name, pattern, re.split("[*?]", pattern, maxsplit=1)[0])
        for number, pool in enumerate(pools, 1)
        for place, pattern in enumerate(pool.sources, 1)
    ]
    for (_, one, pattern, head), (key, other, later, start) in combinations(said, 2):
        if one != other and (head.startswith(start) or start.startswith(head)) and meet(pattern, later):
            yield key, later, f"can be a source of pool {one} too ({pattern!a})"


def _half_said(table: str, scopes: Iterable[Scoped]) -> Iterator[Fault]:
    """The most specific scope wins whole: without this key it would quietly switch archiving off."""
    for number, scope in enumerate(scopes, 1):
        if scope.is_own and "archive" not in scope.written:
            written = ", ".join(sorted(scope.written - _NAMING))
            yield f"{table}[{number}].archive", "", f"is missing: a scope with keys of its own ({written}) stands alone"


@lru_cache(maxsize=100_000)
def meet(one: str, other: str) -> bool:
    """Whether some source fits both patterns."""
    if not one or not other:
        return not (one + other).strip("*")
    if one[0] == "*":
        return meet(one[1:], other) or meet(one, other[1:])
    if other[0] == "*":
        return meet(one, other[1:]) or meet(one[1:], other)
    return (one[0] == other[0] or "?" in (one[0], other[0])) and meet(one[1:], other[1:])


# --- one mailbox -------------------------------------------------------------------------------------------------


class Moving(Protocol):
    """What is said of a mailbox's archive and of its move to another store; None and "" where nothing is."""

    @property
    def exchange_archiving(self) -> str | None: ...
    @property
    def migration(self) -> str | None: ...
    @property
    def migration_ends(self) -> int | None: ...


def moving_faults(facts: Moving) -> Iterator[Fault]:
    """Two stores at once are for a while only, and not where the mailbox's own rule forbids one of them."""
    if facts.migration == "migrating" and facts.migration_ends is None:
        yield "migration_ends", "", "is missing: both stores at once is a state of migration, and must have an end"
    if facts.migration != "migrating" and facts.migration_ends is not None:
        yield "migration_ends", quantities.day(facts.migration_ends), 'needs migration = "migrating"'
    if (facts.exchange_archiving, facts.migration) in _FORBIDDEN:
        why = _FORBIDDEN[facts.exchange_archiving, facts.migration]
        yield (
            "migration",
            facts.migration or "",
            f'contradicts exchange_archiving = "{facts.exchange_archiving}": {why}',
        )


_FORBIDDEN: dict[tuple[str | None, str | None], str] = {
    ("local", "migrating"): "its own archive never gets anything",
    ("local", "mailbox"): "its own archive never gets anything",
    ("mailbox", "legacy"): "its own archive is to get everything",
}
