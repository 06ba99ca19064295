"""What somebody asks a page for, as its URL says it. Pure.

What makes no sense there (a page 0, a kind nobody knows) counts as not asked for: a URL is no place to be told off.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import get_args
from urllib.parse import quote, urlencode

from msgspec import Struct, structs

from archiver.events import Kind

KINDS = (*get_args(Kind), "mail")
LONGEST = 500
"""Characters of one thing asked for."""

_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")
_PAGE = re.compile(r"[1-9][0-9]{0,5}")


class Asked(Struct, frozen=True):
    """Which items. All that isn't empty must hold; `page` counts from 1. `sort` is "best", or empty for the newest."""

    q: str = ""
    folder: str = ""
    person: str = ""
    room: str = ""
    month: str = ""
    kind: str = ""
    sort: str = ""
    page: int = 1

    @property
    def filters(self) -> dict[str, str]:
        """What is set, by its name in the URL."""
        names = [name for name in self.__struct_fields__ if name not in ("page", "sort")]
        return {name: value for name in names if (value := getattr(self, name))}

    @property
    def reads(self) -> bool:
        """Whether names alone don't tell which items those are."""
        return bool(self.q or self.person or self.room or self.kind)

    def having(self, **changed: object) -> Asked:
        """The same with something else; from its first page on, if that isn't what changes."""
        return structs.replace(self, **{"page": 1, **changed})

    @property
    def query(self) -> str:
        """As it stands behind a path."""
        pairs: list[tuple[str, object]] = list(self.filters.items())
        if self.sort:
            pairs.append(("sort", self.sort))
        if self.page > 1:
            pairs.append(("page", self.page))
        return f"?{urlencode(pairs, errors='replace')}" if pairs else ""


def asked_of(parameters: Mapping[str, str]) -> Asked:
    def text(name: str) -> str:
        return parameters.get(name, "").strip()[:LONGEST]

    month, kind = text("month"), text("kind")
    return Asked(
        q=text("q"),
        folder=parameters.get("folder", "")[:LONGEST],
        person=text("person"),
        room=text("room"),
        month=month if _MONTH.fullmatch(month) else "",
        kind=kind if kind in KINDS else "",
        sort="best" if text("sort") == "best" else "",
        page=page_of(parameters),
    )


def page_of(parameters: Mapping[str, str]) -> int:
    page = parameters.get("page", "")
    return int(page) if _PAGE.fullmatch(page) else 1


def mailbox_url(mailbox: str, asked: Asked | None = None) -> str:
    return f"/mailbox/{quote(mailbox, safe='@', errors='replace')}{asked.query if asked else ''}"


def search_url(asked: Asked) -> str:
    return f"/search{asked.query}"


def item_url(mailbox: str, identity: str, below: str = "") -> str:
    """`below` is what of the item is meant: `frame`, `message.eml`, `picture/1`."""
    return f"{mailbox_url(mailbox)}/{identity}{f'/{below}' if below else ''}"


class Pages(Struct, frozen=True):
    """Which of how many pages this is, and which entries stand on it."""

    page: int
    last: int
    size: int
    total: int

    @property
    def start(self) -> int:
        return (self.page - 1) * self.size

    @property
    def end(self) -> int:
        return min(self.start + self.size, self.total)


def paging(page: int, size: int, total: int) -> Pages:
    """A page beyond the last is the last."""
    last = max(1, -(-total // size))
    return Pages(min(page, last), last, size, total)
