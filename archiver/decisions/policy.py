"""Who is archived, where to, and why not: the rules by scope, and their answer for one conversation and one mailbox.

    configuration   how       pool > site > global      the most specific scope wins whole
    policy          who       user > site > global
    mailbox         where to  exchange_archiving, its holds, its migration, what its store can

Holds the order in which they are asked, and which events are archived at all. Pure: it reads records, and `now` is
passed in. Conversation History is not decided here: it is the gate's, with a switch of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

from msgspec import Struct

from archiver.decisions.gate import GLOBAL, MAILBOX, Feature, capable
from archiver.events import SECOND, Kind, any_of, moment
from archiver.types import ArchiveDecision, Archiving, Finding, Hold, Mailbox

_HOUR = 3600 * SECOND
_CACHED = 100_000


class Configuration(Struct, frozen=True):
    """How one scope archives, with the defaults of the original."""

    scope: str = GLOBAL
    archive: str = "none"
    to_mailbox: bool = False
    block_on_failure: bool = False
    failure_after: int = 900 * SECOND
    cache_purge_hours: int = 24
    purge: bool = False
    keep_days: int = 14
    purge_exported_only: bool = False
    purge_hour: int = 2

    @property
    def cache_interval(self) -> int:
        """How long what nobody has archived stays after that is known; in microseconds."""
        return self.cache_purge_hours * _HOUR


class Policy(Struct, frozen=True):
    """Whom one scope archives locally."""

    scope: str = GLOBAL
    internal: bool = False
    external: bool = False


class Pool(Struct, frozen=True):
    """Sources under one name: patterns in which * stands for anything and ? for one character."""

    name: str
    sources: tuple[str, ...]
    configuration: Configuration | None = None


class Site(Struct, frozen=True):
    name: str
    pools: tuple[str, ...]
    configuration: Configuration | None = None
    policy: Policy | None = None


class Rules:
    """All that is configured of archiving; knows for each source and person which scope rules."""

    def __init__(
        self,
        configuration: Configuration | None = None,
        policy: Policy | None = None,
        *,
        pools: Iterable[Pool] = (),
        sites: Iterable[Site] = (),
        users: Mapping[str, Policy] | None = None,
        pairing: str = "",
    ) -> None:
        """`users` by mailbox; `pairing` is the one that opens what a store can do only in a pairing."""
        self.everywhere = configuration or Configuration()
        self.everybody = policy or Policy()
        self.pools = tuple(pools)
        self.sites = tuple(sites)
        self.users = dict(users or {})
        self.pairing = pairing
        self._patterns = [(pool, any_of(pool.sources)) for pool in self.pools]
        self._home = {name: site for site in self.sites for name in site.pools}
        self._places: dict[str, tuple[Pool | None, Site | None]] = {}

    def place(self, source: str) -> tuple[Pool | None, Site | None]:
        """The pool that a source is in, and the site of that pool."""
        try:
            return self._places[source]
        except KeyError:
            if len(self._places) >= _CACHED:
                self._places.clear()
            found = self._places[source] = self._find(source)
            return found

    def configuration(self, source: str) -> Configuration:
        return self.configuration_at(*self.place(source))

    def configuration_at(self, pool: Pool | None, site: Site | None) -> Configuration:
        if pool is not None and pool.configuration is not None:
            return pool.configuration
        return site.configuration if site is not None and site.configuration is not None else self.everywhere

    def policy(self, mailbox: str, source: str) -> Policy:
        return self.policy_at(mailbox, self.place(source)[1])

    def policy_at(self, mailbox: str, site: Site | None) -> Policy:
        own = self.users.get(mailbox)
        if own is not None:
            return own
        return site.policy if site is not None and site.policy is not None else self.everybody

    def places(self) -> Iterator[tuple[Pool | None, Site | None]]:
        """Every pool with its site, and everywhere else."""
        yield from ((pool, self._home.get(pool.name)) for pool in self.pools)
        yield None, None

    def configurations(self) -> list[Configuration]:
        """One for each scope that has one, the most specific first."""
        own = [pool.configuration for pool in self.pools] + [site.configuration for site in self.sites]
        return [*(each for each in own if each is not None), self.everywhere]

    def policies(self) -> list[Policy]:
        own = [site.policy for site in self.sites if site.policy is not None]
        return [*self.users.values(), *own, self.everybody]

    def _find(self, source: str) -> tuple[Pool | None, Site | None]:
        pool = next((pool for pool, pattern in self._patterns if pattern.fullmatch(source)), None)
        return pool, self._home.get(pool.name) if pool else None


# --- which events ------------------------------------------------------------------------------------------------

_NEVER = frozenset({"annotation", "audio", "call", "screen", "speech", "video"})
"""First parts of event types that never are: media and what is drawn on shared content, and what tells of them."""


def is_archived(event_type: str) -> bool:
    """Whether an event is archived. Of a file that two people send each other only its description is: see `rendering`.

    A type we don't know is: the archive must not lack what the original had no name for.
    """
    return event_type.partition(".")[0] not in _NEVER


# --- one mailbox -------------------------------------------------------------------------------------------------


class Asked(Struct, frozen=True):
    """One conversation and one mailbox: `internal` where everybody in it has a mailbox here, `holds` that cover it.

    `kinds` are all that its events claim: one is enough to be archived as that, so that no event can take it away.
    """

    mailbox: Mailbox
    source: str
    kinds: frozenset[Kind]
    internal: bool
    holds: tuple[Hold, ...]
    now: int


def decide(asked: Asked, rules: Rules) -> ArchiveDecision:
    """Ask every rule that applies, in order."""
    mailbox = asked.mailbox
    return _decide(
        _Case(
            rules.configuration(asked.source),
            rules.policy(mailbox.address, asked.source),
            asked.kinds,
            asked.internal,
            mailbox.exchange_archiving,
            _standing(asked.holds),
            mailbox.version,
            rules.pairing,
            mailbox.migration,
            _ends(mailbox, asked.now),
        )
    )


def keeps_back(reason: str, mailbox: Mailbox, rules: Rules) -> bool:
    """Whether what a mailbox's own archive is withheld for stands under every scope: asking again is in vain."""
    if mailbox.exchange_archiving != "mailbox" and mailbox.migration != "migrating":
        return False
    able = capable(mailbox.version, Feature.ARCHIVE, rules.pairing)
    return all(
        any(not finding.allowed and finding.reason == reason for finding in (_is_to_mailbox(how), able))
        for how in rules.configurations()
    )


def _standing(holds: Sequence[Hold]) -> int:
    """The number of the first hold that isn't released; no clock is asked, since one that jumps back lifts no hold."""
    return min((hold.number for hold in holds if hold.released is None), default=0) if holds else 0


def is_overdue(mailbox: Mailbox, now: int) -> bool:
    """Whether it is in two stores after its migration should have ended."""
    return mailbox.migration == "migrating" and mailbox.migration_ends is not None and mailbox.migration_ends <= now


def _ends(mailbox: Mailbox, now: int) -> str:
    if mailbox.migration != "migrating" or mailbox.migration_ends is None:
        return ""
    day = moment(mailbox.migration_ends - 1).date().isoformat()
    return f"was to end on {day} and is overdue" if is_overdue(mailbox, now) else f"ends on {day}"


class _Case(Struct, frozen=True):
    """All that the answer depends on; equal cases have equal answers."""

    configuration: Configuration
    policy: Policy
    kinds: frozenset[Kind]
    internal: bool
    exchange_archiving: str
    hold: int
    version: str
    pairing: str
    migration: str
    ends: str


@lru_cache(maxsize=65_536)
def _decide(case: _Case) -> ArchiveDecision:
    findings: list[Finding] = []
    archiving, allowed = _ask(case, findings)
    return ArchiveDecision(archiving, allowed, _reason(archiving, findings, allowed=allowed), tuple(findings))


def _ask(case: _Case, findings: list[Finding]) -> tuple[Archiving, bool]:
    """Every rule that is asked leaves its finding; where to, and whether the mailbox's own archive can have it now."""
    findings.append(_is_switched_on(case))
    if not findings[-1].allowed:
        return Archiving.NONE, True
    findings.append(_MEANT[case.exchange_archiving])
    if not findings[-1].allowed:
        return Archiving.NONE, True
    if case.migration == "legacy":
        findings.append(_LEGACY)
        return _by_policy(case, findings), True
    archiving, allowed = _by_destination(case, findings)
    if case.migration == "migrating" and archiving is not Archiving.NONE:
        findings.append(
            Finding("migration", True, f"It is migrating, so that both stores get it; that {case.ends}.", MAILBOX)
        )
        return Archiving.BOTH, _can_have_it(case, findings)
    return archiving, allowed


def _by_destination(case: _Case, findings: list[Finding]) -> tuple[Archiving, bool]:
    """What a mailbox's own rule, else its holds, come to; what isn't for its own archive is policy's."""
    if case.exchange_archiving == "mailbox":
        return Archiving.MAILBOX, _can_have_it(case, findings)
    if case.exchange_archiving == "uninitialized":
        findings.append(_is_held(case))
        if findings[-1].allowed and _can_have_it(case, findings):
            return Archiving.MAILBOX, True
    return _by_policy(case, findings), True


def _reason(archiving: Archiving, findings: Sequence[Finding], *, allowed: bool) -> str:
    """What the finding that decided says."""
    said = {finding.check: finding for finding in findings}
    if not allowed:
        return next(said[check].reason for check in _OBSTACLES if not said[check].allowed)
    if archiving is Archiving.BOTH:
        return said["migration"].reason
    if archiving is Archiving.MAILBOX:
        return said["hold" if "hold" in said else "exchange_archiving"].reason
    return findings[-1].reason


# --- one rule ----------------------------------------------------------------------------------------------------

_OBSTACLES = ("to_mailbox", "capability")

_MEANT = {
    "uninitialized": Finding("exchange_archiving", True, "Its holds say where it is archived.", MAILBOX),
    "local": Finding("exchange_archiving", True, "It is always archived locally, never in its own archive.", MAILBOX),
    "mailbox": Finding("exchange_archiving", True, "It is always archived in its own archive, held or not.", MAILBOX),
    "none": Finding("exchange_archiving", False, "Nothing of it is archived, whatever policy and holds say.", MAILBOX),
}
_LEGACY = Finding("migration", True, "It is in the store it will move from, and so is archived locally.", MAILBOX)


def is_switched_on(how: Configuration, kind: Kind) -> bool:
    """Whether a configuration archives conversations of a kind at all."""
    return how.archive in _COVERING[kind]


def _ruling(how: Configuration, kinds: frozenset[Kind]) -> Kind:
    """The kind as which something is archived, else the one for which it isn't."""
    claimed = [kind for kind in _COVERING if kind in kinds]
    return next((kind for kind in claimed if is_switched_on(how, kind)), claimed[-1])


def _is_switched_on(case: _Case) -> Finding:
    how = case.configuration
    kind = _ruling(how, case.kinds)
    said = f'archive = "{how.archive}"'
    if is_switched_on(how, kind):
        return Finding("archive", True, f"{_CONVERSATIONS[kind]} are archived ({said}).", how.scope)
    return Finding("archive", False, f"{_CONVERSATIONS[kind]} are not archived ({said}).", how.scope)


_COVERING: dict[Kind, tuple[str, ...]] = {
    "im": ("im", "im+conference"),
    "group": ("im", "im+conference"),
    "conference": ("im+conference",),
}
_CONVERSATIONS: dict[Kind, str] = {
    "im": "IM conversations",
    "group": "Group conversations",
    "conference": "Web conferences",
}


def _is_held(case: _Case) -> Finding:
    if case.hold:
        return Finding("hold", True, f"Hold {case.hold} covers it.", f"hold {case.hold}")
    return Finding("hold", False, "No hold covers it.", MAILBOX)


def _can_have_it(case: _Case, findings: list[Finding]) -> bool:
    """Whether the mailbox's own archive can get it now; asked twice, it is said once."""
    asked = (_is_to_mailbox(case.configuration), capable(case.version, Feature.ARCHIVE, case.pairing))
    findings += [finding for finding in asked if finding not in findings]
    return all(finding.allowed for finding in asked)


def _is_to_mailbox(how: Configuration) -> Finding:
    if how.to_mailbox:
        return Finding("to_mailbox", True, "Mailboxes get their own archives (to_mailbox = true).", how.scope)
    return Finding("to_mailbox", False, "Mailboxes get no archives of their own (to_mailbox = false).", how.scope)


def _by_policy(case: _Case, findings: list[Finding]) -> Archiving:
    who = case.policy
    allowed = who.internal if case.internal else who.external
    name = "internal" if case.internal else "external"
    people = "everybody has a mailbox here" if case.internal else "somebody has no mailbox here"
    verdict = f"are archived ({name} = true)" if allowed else f"are not archived ({name} = false)"
    findings.append(Finding("policy", allowed, f"Conversations in which {people} {verdict}.", who.scope))
    return Archiving.LOCAL if allowed else Archiving.NONE


# --- the whole conversation --------------------------------------------------------------------------------------


def conversation_is_archived(decisions: Iterable[ArchiveDecision]) -> bool:
    """One participant who is archived is enough."""
    return any(decision.archiving is not Archiving.NONE for decision in decisions)
