"""Who comes, goes, is renamed or removed, by presences that a room sends its occupants. Source: XEP-0045, 7 to 9."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from xml.etree.ElementTree import Element

from archiver.importers.xmpp.stanza import MUC_USER, bare, core, domain
from archiver.sources.xmpp.component.roster import Room
from archiver.sources.xmpp.record import Kind

_REMOVED = frozenset(("301", "307", "321", "322"))

Happening = tuple[Kind, dict[str, Any], int | None]
"""A record's kind, what it says beside the room, and the time of a message that it came before."""


def codes_of(stanza: Element) -> set[str | None]:
    return {each.get("code") for each in stanza.findall(f"{MUC_USER}x/{MUC_USER}status")}


def happenings(stanza: Element, room: Room, nick: str, session: str, hosts: frozenset[str]) -> Iterator[Happening]:
    """Each once, of the many copies there are. `session` got this one; only one's own presence says who one is."""
    x, codes = stanza.find(f"{MUC_USER}x"), codes_of(stanza)
    if x is None or not nick or stanza.get("type") not in (None, "unavailable"):
        return
    is_own = "110" in codes or room.is_self(nick, session)
    item = x.find(f"{MUC_USER}item")
    if stanza.get("type") is None:
        yield from _come(room, nick, session, _real(item), is_own, hosts)
    elif "303" in codes and item is not None and item.get("nick"):
        new = item.get("nick") or ""
        if (real := room.renames(nick, new)) is not None:
            yield "room-rename", {"nick": nick, "new_nick": new, "jid": real}, None
    elif (gone := room.goes(nick, session if is_own else None)) is not None:
        kind, about = _gone({"nick": nick, "jid": gone.real}, stanza, room, x, item, codes)
        yield kind, about, gone.before


def _come(
    room: Room, nick: str, session: str, real: str | None, is_own: bool, hosts: frozenset[str]
) -> Iterator[Happening]:
    if is_own:
        if room.comes(session, nick):
            yield "room-join", {"nick": nick, "jid": bare(session)}, None
        return
    if real is not None and nick not in room.people:
        room.people[nick] = real
        if domain(real) not in hosts:  # of one who is, their own copy tells
            yield "room-join", {"nick": nick, "jid": real}, None


def _gone(
    about: dict[str, Any], stanza: Element, room: Room, x: Element, item: Element | None, codes: set[str | None]
) -> tuple[Kind, dict[str, Any]]:
    status, ended = core(stanza, "status"), x.find(f"{MUC_USER}destroy")
    told = item if ended is None else ended
    reason = told.findtext(f"{MUC_USER}reason") if told is not None else None
    about |= {"reason": reason or (status.text if status is not None else None) or None}
    if not codes & _REMOVED:
        return "room-leave", about
    by = item.find(f"{MUC_USER}actor") if item is not None else None
    nick = (by.get("nick") or None) if by is not None else None
    return "room-kick", about | {"by_nick": nick, "by_jid": _real(by) or room.people.get(nick or "")}


def _real(said: Element | None) -> str | None:
    """Whom a room says somebody to be, to who may know it."""
    return bare(said.get("jid")) or None if said is not None else None
