"""Records as CSV that a spreadsheet only shows: RFC 4180, and nothing in it that it would calculate. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Iterator, Sequence

import msgspec

from archiver.events import moment
from archiver.logs import plain

_FORMULA = tuple("=+-@＝＋－＠")
"""What a spreadsheet would calculate, if a cell began so; in East Asian settings also in full width."""


def lines(
    record: type[msgspec.Struct], rows: Iterable[msgspec.Struct], *, times: Collection[str] = ()
) -> Iterator[str]:
    """A line of names, then one a row, without their ends; `times` are microseconds, written as RFC 3339."""
    names = record.__struct_fields__
    yield _line(names)
    for row in rows:
        yield _line(_cells(names, row, times))


def _cells(names: Sequence[str], row: msgspec.Struct, times: Collection[str]) -> Iterator[str]:
    for name in names:
        value = getattr(row, name)
        if isinstance(value, str):
            yield plain(f"'{value}" if value.lstrip().startswith(_FORMULA) else value)
        elif name in times and value is not None:
            yield f"{moment(value):%Y-%m-%dT%H:%M:%SZ}"
        else:
            yield "" if value is None else str(value).lower()


def _line(cells: Iterable[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue()
