"""Whether holds and exclusions stand as the audit log has them: who has the file could lift one, and log nothing.

Reads only; that the log itself is whole is `audit`'s to tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from msgspec import Struct, json, structs

from archiver.spool import audit
from archiver.spool.database import Connections
from archiver.spool.records import Audited
from archiver.types import Exclusion, Hold

# One statement, so that all three are of one moment.
_NOW = """SELECT (SELECT ifnull(max(n), 0) FROM audit),
    (SELECT json_group_array(json_array(n, mailbox, "by", reason, placed, released, "query")) FROM hold),
    (SELECT json_group_array(json_array(
        n, source, conversation, person, since, until, "by", reason, placed, 0)) FROM exclusion)"""

Name = tuple[str, int]
"""`hold` or `exclusion`, and its number."""


class Terms(Struct, frozen=True):
    """What both say of one: `of` is the mailbox, or what is left out; `until` its release, or its last moment."""

    of: str
    by: str
    reason: str
    placed: int
    since: int
    until: int | None
    query: str = ""


def check(connections: Connections) -> Iterator[str]:
    """What differs, one by one, in words."""
    with connections.reading() as connection:
        last, holds, exclusions = connection.execute(_NOW).fetchone()
    standing = {("hold", row[0]): _hold(Hold(*row)) for row in json.decode(holds)}
    standing |= {("exclusion", row[0]): _exclusion(Exclusion(*row)) for row in json.decode(exclusions)}
    told: dict[Name, Terms] = {}
    for entry in audit.entries(connections):
        if entry.number <= last:
            yield from _follow(told, entry)
    yield from _differing(told, standing)


def _hold(hold: Hold) -> Terms:
    return Terms(hold.mailbox, hold.by, hold.reason, hold.placed, hold.placed, hold.released, hold.query)


def _exclusion(each: Exclusion) -> Terms:
    return Terms(each.title, each.by, each.reason, each.placed, each.since, each.until)


def _follow(told: dict[Name, Terms], entry: Audited) -> Iterator[str]:
    which, _, act = entry.action.partition(" ")
    number = entry.details.get(which)
    if which not in ("hold", "exclusion") or not isinstance(number, int):
        return
    name = which, number
    if act in ("placed", "added"):
        if name in told:
            yield f"{which} {number} was {act} a second time by entry {entry.number}: the first was taken out before"
        told[name] = _placed(entry, entry.details)
    elif act in ("released", "ended") and name in told:
        told[name] = structs.replace(told[name], until=entry.at if act == "released" else entry.details.get("until"))


def _placed(entry: Audited, details: Mapping[str, Any]) -> Terms:
    since, until, query = details.get("since", entry.at), details.get("until"), details.get("query", "")
    return Terms(entry.subject, entry.by, entry.reason, entry.at, since, until, query)


def _differing(told: Mapping[Name, Terms], standing: Mapping[Name, Terms]) -> Iterator[str]:
    for which, number in sorted(told.keys() | standing.keys()):
        is_told, stands = told.get((which, number)), standing.get((which, number))
        name = f"{which} {number}"
        if stands is None and is_told is not None:
            yield f"{name} on {is_told.of}, placed by {is_told.by}, was taken out of the spool"
        elif is_told is None and stands is not None:
            yield f"{name} on {stands.of} stands in the spool, and no entry has it"
        elif is_told is not None and stands is not None and is_told != stands:
            yield f"{name} on {is_told.of} is not as the log has it: {', '.join(_changed(is_told, stands))}"


def _changed(told: Terms, stands: Terms) -> Iterable[str]:
    return [field for field in Terms.__struct_fields__ if getattr(told, field) != getattr(stands, field)]
