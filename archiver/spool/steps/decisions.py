"""What was decided: holds, exclusions, the audit log, the heads of archives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import structs

from archiver.spool import audit, chains, exclusions, holds, migrating, places, registered, weeding
from archiver.spool.records import Audited, Checked, Entry
from archiver.spool.steps.opened import LEASE, Opened
from archiver.types import Exclusion, Head, Hold


class Decided(Opened):
    def place_hold(self, mailbox: str, *, by: str, reason: str, query: str = "", now: int) -> Hold:
        """On record together with its entry in the audit log."""
        return holds.place(self._connections, mailbox, by, reason, query, now)

    def release_hold(self, number: int, *, by: str, reason: str, now: int) -> Hold:
        return holds.release(self._connections, number, by, reason, now)

    def holds(self, mailbox: str | None = None) -> list[Hold]:
        """All there ever were, released ones too."""
        return holds.holds(self._connections, mailbox)

    def standing_holds(self, mailboxes: Iterable[str]) -> dict[str, tuple[Hold, ...]]:
        """The holds not released, of those mailboxes that have any."""
        return holds.standing(self._connections, mailboxes)

    def untaken_holds(self) -> list[Hold]:
        """Holds under which what their mailboxes hold already was not kept yet."""
        return holds.untaken(self._connections)

    def take_hold(self, number: int, now: int) -> None:
        """What lies in its mailbox is kept."""
        holds.take(self._connections, number, now)

    def migrations(self) -> dict[str, int]:
        """When the migrations that are known were to end, by mailbox."""
        return migrating.migrations(self._connections)

    def note_migrations(self, ends: Mapping[str, int]) -> None:
        """These are under way, and no others."""
        migrating.note(self._connections, ends)

    def add_exclusion(self, wanted: Exclusion, now: int) -> Exclusion:
        return exclusions.add(self._connections, wanted, now)

    def end_exclusion(self, number: int, until: int, *, by: str, reason: str, now: int) -> Exclusion:
        return exclusions.end(self._connections, number, until, by, reason, now)

    def filed_events(self, place: int) -> set[int]:
        """Numbers of a place's events that somebody's item has, had, or may be getting."""
        return weeding.filed(self._connections, place)

    def lease_place(self, place: int, now: int, *, lease: int = LEASE) -> bool:
        """Keep others from filing one place; False where somebody does just now."""
        return places.claim_place(self._connections, self.owner, place, now + lease)

    def is_filing(self) -> bool:
        """Whether anybody works on any place just now. If not, whoever files later sees all that is committed."""
        return places.is_any_leased(self._connections)

    def release_place(self, place: int) -> None:
        """Due again as before `lease_place`."""
        places.release_place(self._connections, self.owner, place)

    def drop_excluded(
        self, exclusion: Exclusion, place: int, numbers: Sequence[int], hold: int, person: str, reason: str, now: int
    ) -> None:
        """Drop these events of a leased place for good; `UsageError` where a hold newer than this one stands."""
        weeding.drop(self._connections, weeding.Order(exclusion, person, reason, hold), place, numbers, now)

    def exclusions(self) -> list[Exclusion]:
        """All there ever were, ended ones too."""
        return exclusions.exclusions(self._connections)

    def count_excluded(self, left_out: Mapping[int, int]) -> None:
        """How many events were left out, by the exclusion's number."""
        exclusions.count(self._connections, left_out)

    def audit(self, entry: Entry, now: int) -> Audited:
        return audit.add(self._connections, entry, now)

    def audits(self, *, after: int = 0) -> Iterator[Audited]:
        return audit.entries(self._connections, after)

    def check_audit(self) -> Checked:
        """Whether the log is whole, and holds and exclusions stand as it has them."""
        checked = audit.check(self._connections)
        return structs.replace(checked, damage=(*checked.damage, *registered.check(self._connections)))

    def note_heads(self, heads: Mapping[str, Head]) -> None:
        """The manifests of these mailboxes' archives have grown."""
        chains.note(self._connections, heads)

    def heads(self, mailboxes: Iterable[str] | None = None) -> dict[str, Head]:
        """Where the manifests ended when that was last noted; of all archives, or of these mailboxes'."""
        return chains.heads(self._connections, mailboxes)

    def audit_heads(self, now: int) -> int:
        """Once a day, heads that are new go into the audit log too; how many."""
        return chains.tell(self._connections, now)

    def audited_heads(self) -> dict[str, Head]:
        """Where the manifests ended by the audit log."""
        return chains.told(self._connections)
