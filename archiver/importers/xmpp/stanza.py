"""Looks into one stanza: pure, and safe whatever it holds."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from xml.etree.ElementTree import Element

from msgspec import Struct

from archiver.events import Attachment
from archiver.exceptions import EventError

_CORE = ("{jabber:client}", "", "{jabber:server}")
MUC_USER = "{http://jabber.org/protocol/muc#user}"
DELAY = "{urn:xmpp:delay}delay"
RETRACT = ("{urn:xmpp:message-retract:1}", "{urn:xmpp:message-retract:0}")
MODERATE = ("{urn:xmpp:message-moderate:1}", "{urn:xmpp:message-moderate:0}")
FASTEN = "{urn:xmpp:fasten:0}apply-to"
_ENCRYPTED = frozenset(
    (
        "{eu.siacs.conversations.axolotl}encrypted",
        "{urn:xmpp:omemo:1}encrypted",
        "{urn:xmpp:omemo:2}encrypted",
        "{urn:xmpp:openpgp:0}openpgp",
        "{jabber:x:encrypted}x",
    )
)
_METADATA = "{urn:xmpp:file:metadata:0}"
_SHARING = "{urn:xmpp:sfs:0}"


class Envelope(Struct, frozen=True):
    """One stanza and what its archive says of it.

    `identity` is the archive's own id of it, `owner` the bare JID whose archive it is, `room` the room's if it is one;
    `nick` and `real` who said it there, where the archive knows it beside the stanza.
    """

    stanza: Element
    at: datetime | None
    identity: str | None = None
    owner: str | None = None
    room: str | None = None
    nick: str | None = None
    real: str | None = None


def bare(jid: str | None) -> str:
    return (jid or "").partition("/")[0].lower()


def resource(jid: str | None) -> str:
    return (jid or "").partition("/")[2]


def domain(jid: str) -> str:
    return jid.partition("/")[0].rpartition("@")[2].lower()


def core(stanza: Element, name: str) -> Element | None:
    """A child of the stanza's own namespace: archives keep stanzas with it or without. One without a language first."""
    found = [child for space in _CORE for child in stanza.findall(space + name)]
    return next((each for each in found if language(each) is None), found[0] if found else None)


def kind(stanza: Element) -> str:
    """message, presence, iq, or another element's local name."""
    return str(stanza.tag).rpartition("}")[2]


def language(element: Element) -> str | None:
    return element.get("{http://www.w3.org/XML/1998/namespace}lang")


def either(stanza: Element, spaces: tuple[str, ...], name: str) -> Element | None:
    return next((found for space in spaces if (found := stanza.find(space + name)) is not None), None)


def origin(stanza: Element) -> str | None:
    """The id that the sender gave: XEP-0359's is made never to repeat, else the stanza's own."""
    given = stanza.find("{urn:xmpp:sid:0}origin-id")
    return (given.get("id") if given is not None else None) or stanza.get("id")


def stanza_id(stanza: Element, by: str) -> str | None:
    """What a room gave it (XEP-0359); nobody else's word is taken."""
    found = stanza.findall("{urn:xmpp:sid:0}stanza-id")
    return next((each.get("id") for each in found if bare(each.get("by")) == by), None)


def time_of(stamp: str) -> datetime:
    """Of XEP-0203, or of the older XEP-0091, which has no zone: UTC. Raises `EventError`."""
    try:
        read = datetime.fromisoformat(stamp.strip())
    except ValueError as fault:
        raise EventError(f"no time: {stamp[:80]!a}") from fault
    return read if read.tzinfo is not None else read.replace(tzinfo=UTC)


def delayed(element: Element) -> datetime | None:
    """Raises `EventError`."""
    for name in (DELAY, "{jabber:x:delay}x"):
        found = element.find(name)
        if found is not None and found.get("stamp"):
            return time_of(found.get("stamp") or "")
    return None


def is_encrypted(stanza: Element) -> bool:
    return any(child.tag in _ENCRYPTED for child in stanza)


def words(stanza: Element) -> str | None:
    """What was written, without the parts that only clients are shown which don't know better (XEP-0428)."""
    body = core(stanza, "body")
    if body is None:
        return None
    text = "".join(body.itertext())
    for start, end in sorted(_fallbacks(stanza, len(text)), reverse=True):
        text = text[:start] + text[end:]
    return text.strip("\n") if text != (body.text or "") else text


def _fallbacks(stanza: Element, length: int) -> Iterator[tuple[int, int]]:
    for fallback in stanza.findall("{urn:xmpp:fallback:0}fallback"):
        if fallback.get("for") != "urn:xmpp:reply:0":
            continue
        for part in fallback.findall("{urn:xmpp:fallback:0}body"):
            start, end = part.get("start", "0"), part.get("end", str(length))
            if len(start) + len(end) < 20 and start.isdecimal() and end.isdecimal() and int(start) < int(end):
                yield int(start), int(end)


def attachments(stanza: Element) -> tuple[Attachment, ...]:
    """Files by their addresses: XEP-0447 with what it says of them, else XEP-0066."""
    shared = [_shared(each) for each in stanza.findall(f"{_SHARING}file-sharing")]
    if shared:
        return tuple(shared)
    urls = (each.findtext("{jabber:x:oob}url") for each in stanza.findall("{jabber:x:oob}x"))
    return tuple(Attachment(name=_last(url), url=url) for url in urls if url)


def _shared(sharing: Element) -> Attachment:
    about = sharing.find(f"{_METADATA}file")
    urls = [each.get("target") for each in sharing.iter("{http://jabber.org/protocol/url-data}url-data")]
    size = about.findtext(f"{_METADATA}size", "") if about is not None else ""
    url = urls[0] if urls else None
    return Attachment(
        name=(about.findtext(f"{_METADATA}name") if about is not None else None) or _last(url),
        media_type=about.findtext(f"{_METADATA}media-type") if about is not None else None,
        size=int(size) if size.isascii() and size.isdecimal() and len(size) < 16 else None,
        url=url,
    )


def _last(url: str | None) -> str | None:
    return (url or "").partition("?")[0].rstrip("/").rpartition("/")[2] or None
