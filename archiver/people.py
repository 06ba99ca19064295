"""The people file: a CSV of whose mailbox each address of a source is, with what is known of that mailbox.

Reads rows from lines, and adds rows to be filled in to a text; the file itself is the caller's work.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from io import StringIO
from typing import Any

from msgspec import Struct

from archiver.addresses import folded, normal
from archiver.exceptions import ConfigError, UsageError

FACTS = ("version", "locale", "zone", "folder", "exchange_archiving", "migration", "migration_ends", "quota")
_COLUMNS = ("address", "mailbox", *FACTS)
_REMARKS = ("name", "messages")
"""Columns of the people file that only tell the reader who is meant."""
_ASKED = ("address", "mailbox", *_REMARKS)

NOBODY = "-"
"""In the people file, in place of a mailbox: a participant who has none, and it is known."""


class Person(Struct, frozen=True):
    """One row of the people file: a source's address, and whose mailbox it is; "" for nobody's."""

    address: str
    mailbox: str
    version: str | None = None
    locale: str | None = None
    zone: str | None = None
    folder: str | None = None
    exchange_archiving: str | None = None
    migration: str | None = None
    migration_ends: int | None = None
    quota: int | None = None


def read_people(
    lines: Iterable[str], name: str, readers: Mapping[str, Callable[[object], object]] | None = None
) -> tuple[Person, ...]:
    """Rows of a CSV with a header of `address,mailbox` and any facts of a mailbox; `name` is for messages.

    `readers` give, for a column, a function that returns the final value or raises ValueError saying why not. Every
    problem of the file is raised at once, with its line.
    """
    reader = csv.reader(_without_mark(lines), strict=True)
    problems: list[str] = []
    people: dict[int, Person] = {}
    try:
        header = [column.strip().lower() for column in next(reader, [])]
        problems += [f"{name}, line 1: {problem}" for problem in _header_problems(header)]
        for cells in reader if not problems else ():
            if any(cells):
                person, wrong = _person(header, cells, readers or {})
                problems += [f"{name}, line {reader.line_num}: {each}" for each in wrong]
                people |= {reader.line_num: person} if person else {}
    except (csv.Error, UnicodeDecodeError) as error:
        problems.append(f"{name}, line {reader.line_num}: {error}")
    problems += [f"{name}, {each}" for each in _contradictions(people)]
    if problems:
        raise ConfigError(problems, hint="mend the people file, or take [directory] file out", file=name)
    return tuple(people.values())


def _without_mark(lines: Iterable[str]) -> Iterable[str]:
    for number, line in enumerate(lines):
        yield line.removeprefix("\ufeff") if number == 0 else line


def _header_problems(header: list[str]) -> list[str]:
    problems = [f"{column!r} is missing from the header" for column in _COLUMNS[:2] if column not in header]
    problems += [
        f"{column!r} is no column; known are {', '.join(_COLUMNS)}"
        for column in header
        if column not in (*_COLUMNS, *_REMARKS)
    ]
    return problems + [f"{column!r} stands twice" for column in sorted(set(header)) if header.count(column) > 1]


def _person(
    header: list[str], cells: list[str], readers: Mapping[str, Callable[[object], object]]
) -> tuple[Person | None, list[str]]:
    if len(cells) > len(header):
        return None, [f"{len(cells)} cells under {len(header)} columns"]
    row = {column: cell.strip() for column, cell in zip(header, cells, strict=False)}
    facts: dict[str, Any] = {fact: row.get(fact) or None for fact in FACTS}
    said = row.get("mailbox", "")
    mailbox = "" if said == NOBODY else normal("", said)
    wrong = [] if row.get("address") else ["address: is empty"]
    if mailbox is None:
        wrong.append(
            f"mailbox = {said!a}: is not an address" if said else f"mailbox: is empty; write {NOBODY} for nobody"
        )
    for column, read in readers.items():
        try:
            facts[column] = read(row[column]) if row.get(column) else None
        except ValueError as error:
            wrong.append(f"{column} = {row[column]!a}: {error}")
    if mailbox is None or wrong:
        return None, wrong
    return Person(row["address"], mailbox, **facts), []


def _contradictions(people: Mapping[int, Person]) -> Iterator[str]:
    """One address in two mailboxes, one mailbox with two versions: which one counts must not be chance."""
    seen: dict[tuple[str, str], tuple[int, str]] = {}
    for line, person in people.items():
        said = {("address", _key(person.address)): person.mailbox}
        said |= {(fact, person.mailbox): value for fact in FACTS if person.mailbox and (value := getattr(person, fact))}
        for (column, key), value in said.items():
            first, before = seen.setdefault((column, key), (line, value))
            if before != value:
                yield f"line {line}: {column} of {key!a}: {value!a} here, {before!a} on line {first}"


# --- rows to be filled in ----------------------------------------------------------------------------------------


class Wanted(Struct, frozen=True):
    """Somebody whose mailbox is asked for: `address` as it stands alone, and what tells a reader who is meant."""

    address: str
    name: str
    messages: int


def completed(text: str, wanted: Iterable[Wanted], name: str) -> str:
    """A people file with a row for each who has none in it, what is there untouched; "" gives a new one.

    Raises `UsageError` where the text is no people file; `name` is for the message.
    """
    try:
        header, *rows = list(csv.reader(_without_mark(StringIO(text, newline="")), strict=True)) or [list(_ASKED)]
        columns = [column.strip().lower() for column in header]
        problem = next(iter(_header_problems(columns)), "")
    except csv.Error as error:
        columns, rows, problem = [], [], str(error)
    if problem:
        raise UsageError(f"{name} is there, and is no people file: {problem}", hint="name another one with --map")
    at = columns.index("address")
    there = {_key(row[at]) for row in rows if len(row) > at}
    missing = {key: each for each in wanted if (key := _key(each.address)) not in there}
    made, end = StringIO(), "\r\n" if "\r\n" in text else "\n"
    writer = csv.writer(made, lineterminator=end)
    if not text:
        writer.writerow(_ASKED)
    for each in missing.values():
        cells = {"address": each.address, "name": _remark(each.name), "messages": each.messages}
        writer.writerow([cells.get(column, "") for column in columns])
    return text + ("" if not text or text.endswith("\n") else end) + made.getvalue()


def _key(address: str) -> str:
    return normal("", address) or folded(address)


def _remark(text: str) -> str:
    """On one line, and for a spreadsheet program no formula; an address must stand as it is."""
    text = " ".join(text.split())
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
