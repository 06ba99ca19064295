"""application/conference-info+xml (RFC 4575) -> who is in a conference, as its focus tells its subscribers.

Knows nothing of dialogs and events. DTDs and entities are refused, whatever is nested deep or named without end too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree.ElementTree import Element

from msgspec import Struct

from archiver.exceptions import EventError
from archiver.importers import xmlfile
from archiver.sources.sip.message import Party, address_of, name_of

MEDIA_TYPE = "application/conference-info+xml"

USERS = 5_000
"""Elements that are looked at; a HEP packet holds fewer."""

_SPACE = "{urn:ietf:params:xml:ns:conference-info}"
_THERE = {"connected", "on-hold", "muted-via-focus"}
"""RFC 4575, 5.7.2: of all statuses those of somebody who is in."""
_NUMBER = re.compile("[0-9]{1,10}")


class User(Struct, frozen=True):
    """`endpoints` are those named, and whether each is in; `whole`: there are no others. `name` is None where not told.

    `gone` is who is in no longer, by whichever endpoint.
    """

    address: str
    name: str | None = None
    endpoints: tuple[tuple[str, bool], ...] = ()
    whole: bool = True
    gone: bool = False


class Report(Struct, frozen=True):
    """One document. `whole`: nobody else is in; `over`: there is no such conference any more.

    `version` counts the documents of one subscription (RFC 4575, 4.3).
    """

    entity: Party
    version: int
    users: tuple[User, ...] = ()
    whole: bool = True
    over: bool = False
    topic: str | None = None


def read_report(content: bytes) -> Report:
    """Raises `EventError` with what is wrong."""
    try:
        top = xmlfile.element(content.decode("utf-8"))
    except (xmlfile.Broken, UnicodeDecodeError) as fault:
        raise EventError(f"a roster that can't be read: {fault}") from fault
    version = top.get("version", "")
    address, conference = address_of(top.get("entity", ""))
    if top.tag != f"{_SPACE}conference-info" or not _NUMBER.fullmatch(version) or not address:
        raise EventError("a roster without entity and version")
    users = top.find(f"{_SPACE}users")
    found = tuple(_users(users)) if users is not None else ()
    state = top.get("state", "full")
    return Report(
        entity=Party(address, None, "", conference),
        version=int(version),
        users=found,
        whole=users is not None and state == "full" and users.get("state", "full") == "full",
        over=state == "deleted",
        topic=_text(top, f"{_SPACE}conference-description/{_SPACE}subject"),
    )


def _users(users: Element) -> Iterator[User]:
    for number, each in enumerate(users.iterfind(f"{_SPACE}user")):
        if number == USERS:
            raise EventError(f"a roster of over {USERS:,} people")
        address, conference = address_of(each.get("entity", ""))
        if address and not conference:  # who has another kind of address can have no mailbox
            yield _user(each, address)


def _user(user: Element, address: str) -> User:
    endpoints = tuple(_endpoint(each, number) for number, each in enumerate(user.iterfind(f"{_SPACE}endpoint")))
    whole, gone = user.get("state", "full") == "full", user.get("state") == "deleted"
    return User(
        address=address,
        name=_text(user, f"{_SPACE}display-text"),
        endpoints=endpoints,
        whole=whole,
        gone=gone or (whole and bool(endpoints) and not any(there for _, there in endpoints)),
    )


def _endpoint(endpoint: Element, number: int) -> tuple[str, bool]:
    status = (endpoint.findtext(f"{_SPACE}status") or "connected").strip()
    there = endpoint.get("state", "full") != "deleted" and status in _THERE
    return endpoint.get("entity") or f"endpoint {number}", there


def _text(above: Element, path: str) -> str | None:
    found = above.findtext(path)
    return None if found is None else name_of(found)
