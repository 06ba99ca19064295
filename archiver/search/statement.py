"""A query as SQL over the index's tables. Pure: builds statements, runs none.

What of a query is words alone becomes one FTS5 expression, which leads; the rest are conditions on the documents that
it finds. The order of joins is fixed (CROSS JOIN): asked the other way round FTS5 looks up one document after another.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from os import fsencode
from typing import NamedTuple

from archiver.search.query import And, Field, HasFile, Not, OfKind, Or, Part, Since, Until, Words


class Order(StrEnum):
    NEWEST = "newest"
    RELEVANCE = "relevance"


class Statement(NamedTuple):
    """Asks for numbers of documents, `limit` of them from `offset` on: the two last parameters."""

    text: str
    parameters: tuple[object, ...]

    def page(self, limit: int, offset: int) -> tuple[object, ...]:
        return (*self.parameters, limit, offset)


_COLUMNS = {
    Field.ANY: "{subject people said files}",
    Field.FROM: "authors",
    Field.WITH: "people",
    Field.IN: "room",
    Field.SUBJECT: "subject",
    Field.TEXT: "said",
    Field.FILE: "files",
}
_IN_MAILBOX = (
    "EXISTS (SELECT 1 FROM copy WHERE copy.document = document.n"
    " AND copy.mailbox = (SELECT n FROM mailbox WHERE address = ?))"
)
# By what people look at first: a word in the subject weighs more than in a long talk.
_RANK = "bm25(words, 1.0, 4.0, 2.0, 1.0, 1.0, 2.0)"


def statement(part: Part, mailbox: str | None, order: Order) -> Statement:
    words, others = _divided(part)
    conditions = [_condition(each) for each in others]
    if mailbox is not None:
        conditions.append((_IN_MAILBOX, (fsencode(mailbox),)))
    if words is None:
        source, number = "document", "document.n"
    else:
        source, number = "words CROSS JOIN document ON document.n = words.rowid", "words.rowid"
        conditions.insert(0, ("words MATCH ?", (words,)))
    where = " AND ".join(text for text, _ in conditions) or "1"
    ranked = f"{_RANK}, " if order is Order.RELEVANCE and words is not None else ""
    return Statement(
        f"SELECT {number} FROM {source} WHERE {where} ORDER BY {ranked}{number} DESC LIMIT ? OFFSET ?",  # noqa: S608
        tuple(value for _, values in conditions for value in values),
    )


def _divided(part: Part) -> tuple[str | None, list[Part]]:
    """What FTS5 can be asked for in one expression, if anything, and the rest."""
    if (whole := _match(part)) is not None:
        return whole, []
    if not isinstance(part, And):
        return None, [part]
    leading = tuple(each for each in part.parts if _match(each) is not None)
    if not leading:
        return None, list(part.parts)
    denied = tuple(each for each in part.parts if isinstance(each, Not) and _match(each.part) is not None)
    return _match(And((*leading, *denied))), [each for each in part.parts if each not in (*leading, *denied)]


def _match(part: Part) -> str | None:
    """An FTS5 expression (https://www.sqlite.org/fts5.html, 3); None where something else is asked, or only denied."""
    match part:
        case Words(field=field, sought=sought):
            # No token has a quotation mark: they are letters, digits and what lies beyond ASCII.
            return f'({_COLUMNS[field]} : "{" ".join(sought.tokens)}"{" *" if sought.prefix else ""})'
        case Or(parts=parts):
            return _joined(" OR ", [_match(each) for each in parts])
        case And(parts=parts):
            wanted = _joined(" AND ", [_match(each) for each in parts if not isinstance(each, Not)])
            denied = [_match(each.part) for each in parts if isinstance(each, Not)]
            if wanted is None or None in denied:
                return None
            return "(" + " NOT ".join([wanted, *filter(None, denied)]) + ")"
    return None


def _joined(operator: str, parts: Sequence[str | None]) -> str | None:
    if not parts or None in parts:
        return None
    return "(" + operator.join(filter(None, parts)) + ")"


_Condition = tuple[str, tuple[object, ...]]


def _condition(part: Part) -> _Condition:
    words = _match(part)
    if words is not None:
        return "document.n IN (SELECT rowid FROM words WHERE words MATCH ?)", (words,)
    match part:
        case Since(time=time):
            return "document.last >= ?", (time,)
        case Until(time=time):
            return "document.first < ?", (time,)
        case OfKind(kind=kind):
            return "document.kind = ?", (kind,)
        case HasFile():
            return "document.has_file", ()
        case Not(part=denied):
            text, values = _condition(denied)
            return f"NOT ({text})", values
        case And(parts=parts):
            return _conditions(" AND ", parts)
        case Or(parts=parts):
            return _conditions(" OR ", parts)
    raise AssertionError(part)


def _conditions(operator: str, parts: Sequence[Part]) -> _Condition:
    made = [_condition(each) for each in parts]
    return (
        "(" + operator.join(text for text, _ in made) + ")",
        tuple(value for _, values in made for value in values),
    )
