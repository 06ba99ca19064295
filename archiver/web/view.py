"""Records as pages: the templates, and how times, sizes and text from outside look in them. Holds no rule.

Whatever a template puts out is escaped, and cleaned of what reorders or hides text (`rendering.markup.plain`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from archiver.events import SECOND, moment
from archiver.inspection.item import ItemSummary
from archiver.rendering.markup import plain
from archiver.search import Marked
from archiver.web.asked import KINDS, Asked, item_url, mailbox_url, search_url
from archiver.web.catalogue import id_of
from archiver.web.facts import people_of

_FIRST, _LAST = -62_135_596_800 * SECOND, 253_402_300_799 * SECOND
"""The times that a calendar has, in microseconds."""
_NAMED = 4
"""People of one item, where there are many items."""


class View:
    """`asks` tells whether anybody has to enter, and so can leave."""

    def __init__(self, *, asks: bool, has_account: bool, size: Callable[[int], str]) -> None:
        self._environment = Environment(
            loader=PackageLoader("archiver.web"),
            autoescape=True,
            finalize=_clean,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals |= {
            "mailbox_url": mailbox_url,
            "folder_url": lambda mailbox, folder: mailbox_url(mailbox, Asked(folder=folder)),
            "item_url": item_url,
            "search_url": search_url,
            "id_of": id_of,
            "kinds": KINDS,
            "asks": asks,
            "has_account": has_account,
            "named": _NAMED,
        }
        self._environment.filters |= {
            "when": self.when,
            "day": self.day,
            "clock": self.clock,
            "size": size,
            "many": _many,
            "names": _names,
            "marked": _marked,
        }

    def page(self, request: Request, name: str, *, status: int = 200, **values: Any) -> Response:
        made = self._environment.get_template(name).render(path=request.url.path, **values)
        return HTMLResponse(made, status)

    @staticmethod
    def when(time: int) -> str:
        return f"{_moment(time):%Y-%m-%d %H:%M}"

    @staticmethod
    def day(time: int) -> str:
        return f"{_moment(time):%Y-%m-%d}"

    @staticmethod
    def clock(time: int) -> str:
        return f"{_moment(time):%H:%M}"


def _moment(time: int) -> Any:
    return moment(min(max(time, _FIRST), _LAST))


def _clean(value: Any) -> Any:
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _marked(text: Marked) -> Markup:
    """Escaped piece by piece: the marks alone are markup."""
    pieces, at = [], 0
    for start, end in (*text.marks, (len(text.text), len(text.text))):
        pieces.append(escape(plain(text.text[at:start])))
        if start < end:
            pieces.append(Markup("<mark>{}</mark>").format(plain(text.text[start:end])))
        at = end
    return Markup("").join(pieces)


def _names(item: ItemSummary) -> str:
    """The first of its people, as they are called."""
    return ", ".join(each.name or each.address for each in people_of(item.sender, item.recipients)[:_NAMED])


def _many(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"
