"""Invitations into rooms: by way of the room (XEP-0045, 7.8.2), or straight from one to another (XEP-0249). Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple
from xml.etree.ElementTree import Element

from archiver.importers.xmpp.stanza import MUC_USER, bare, words

_DIRECT = "{jabber:x:conference}x"


class Invitation(NamedTuple):
    """`by` is a full address: somebody's own, or an occupant's of the room."""

    room: str
    by: str
    whom: str
    reason: str | None


def invitations(stanza: Element, owner: str) -> list[Invitation]:
    """Empty where the message is none. `owner` is whose archive it stands in, "" where that isn't known."""
    marked = stanza.find(f"{MUC_USER}x")
    if marked is not None and marked.find(f"{MUC_USER}invite") is not None:
        return list(_mediated(stanza, marked.findall(f"{MUC_USER}invite"), owner))
    direct = stanza.find(_DIRECT)
    if direct is None or not bare(direct.get("jid")):
        return []
    by, whom = stanza.get("from") or owner, bare(stanza.get("to")) or owner
    reason = direct.get("reason") or words(stanza) or None
    return [Invitation(bare(direct.get("jid")), by, whom, reason)]


def _mediated(stanza: Element, invites: list[Element], owner: str) -> Iterator[Invitation]:
    """On its way to the room it names whom it is for, from there by whom it is."""
    for invite in invites:
        reason = (invite.findtext(f"{MUC_USER}reason") or "").strip() or words(stanza) or None
        if invite.get("to"):
            yield Invitation(bare(stanza.get("to")), stanza.get("from") or owner, bare(invite.get("to")), reason)
        else:
            by = invite.get("from") or stanza.get("from") or ""
            yield Invitation(bare(stanza.get("from")), by, bare(stanza.get("to")) or owner, reason)


def is_declined(stanza: Element) -> bool:
    return stanza.find(f"{MUC_USER}x/{MUC_USER}decline") is not None
