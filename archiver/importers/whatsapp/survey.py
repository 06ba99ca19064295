"""A first look over an exported chat: the order of its dates, who writes, whether it is a group, what it is called."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from archiver.events import SECOND, Participant, moment
from archiver.importers.document import Document
from archiver.importers.protocol import Options, Reading
from archiver.importers.text import Charset, charset_of, text_lines
from archiver.importers.whatsapp import words
from archiver.importers.whatsapp.dates import Orders
from archiver.importers.whatsapp.line import MARKS, Start, start
from archiver.importers.whatsapp.notices import QUOTES, notice

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
        match = words.TITLE.search(name)
        if match is not None:
            return match["name"]
    stem = document.name.rpartition(".")[0] or document.name
    return stem if stem != "_chat" else document.folder or stem


def person_of(name: str) -> Participant:
    """A telephone number is written in many ways, and is one address."""
    name = bare(name).removeprefix("~").strip(MARKS + " \u00a0\u202f") or "?"
    number = re.sub(r"[\s()\-\u2011]", "", name)
    return Participant(address=number if re.fullmatch(r"\+\d{5,20}", number) else name, name=name)


def files_named(document: Document) -> Iterator[str]:
    """The names of files that a chat tells of, wherever they are."""
    for line in text_lines(document, charset_of(Options())):
        if b")" not in line.raw and b">" not in line.raw:  # what few lines have is told soon
            continue
        found = start(line.text)
        author = author_of(found.text) if found is not None else None
        text = bare(author[1] if author is not None else line.text)
        if match := words.ATTACHED.match(text) or words.FILE.match(text):
            yield match["file"]


def begun(head: bytes) -> Start | None:
    """The first line that isn't blank, if it begins a message with an author or is one of the system."""
    text = head.decode("utf-8", "replace")
    first = next((line for line in text.splitlines() if line.strip()), "")
    return start(first)
