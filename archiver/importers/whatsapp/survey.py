"""A first look over an exported chat: the order of its dates, who writes, whether it is a group, what it is called."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from archiver.events import SECOND, moment
from archiver.importers.document import Document
from archiver.importers.protocol import Reading
from archiver.importers.text import Charset, text_lines
from archiver.importers.whatsapp.dates import Orders
from archiver.importers.whatsapp.line import MARKS, start
from archiver.importers.whatsapp.notices import QUOTES, notice
from archiver.importers.whatsapp.words import TITLE

DAY = 86_400 * SECOND
WRITTEN_BY_IT = "\u200e"
"""Begins what an iPhone wrote by itself, also where an author stands before it."""


class Survey(NamedTuple):
    """What a first reading of the whole file tells."""

    order: str
    in_doubt: bool
    authors: Counter[str]
    grouped: bool


def surveyed(document: Document, charset: Charset, reading: Reading) -> Survey | None:
    orders, authors, grouped, begun = Orders(moment(reading.received + DAY).date()), Counter[str](), False, False
    for line in text_lines(document, charset):
        found = start(line.text)
        if found is None:
            continue
        begun = True
        orders.add(found)
        author = author_of(found.text)
        if author is not None:
            authors[author[0]] += 1
        grouped = grouped or (author is None and notice(system_text(found.text)) is not None)
    if not begun:
        return None
    order, in_doubt = orders.decide()
    return Survey(order, in_doubt, authors, grouped)


def author_of(text: str) -> tuple[str, str] | None:
    """Name and what follows the colon; None for a line of the system: a title in it may hold a colon."""
    name, colon, rest = text.partition(": ")
    if any(quote in name for quote in QUOTES) and notice(bare(text)) is not None:
        return None
    if rest.lstrip(" ").startswith(WRITTEN_BY_IT) and notice(bare(rest)) is not None:
        return None
    if not colon:
        name, colon, rest = text.partition(":")
        if not colon or rest.strip(MARKS + "."):
            return None
    name = bare(name)
    return (name, rest) if name and len(name) <= 100 else None


def system_text(text: str) -> str:
    """On an iPhone the group's name stands before it, as if it were an author's."""
    _, _, rest = text.partition(": ")
    return bare(rest if rest.lstrip(" ").startswith(WRITTEN_BY_IT) else text)


def bare(text: str) -> str:
    return text.strip(MARKS + " \t\r\n")


def title_of(document: Document) -> str:
    """The chat's name: in the file's, or that of the folder or archive it lies in."""
    for name in (document.name, *reversed(document.folders)):
        match = TITLE.search(name)
        if match is not None:
            return match["name"]
    stem = document.name.rpartition(".")[0] or document.name
    return stem if stem != "_chat" else document.folder or stem
