"""Lines as panes show them: pieces of text, each with a role that the style sheet gives a colour. Pure.

Text from outside becomes a piece in `safe` alone, so that nothing in it is a control sequence; and as pieces are never
parsed, nothing in it is markup either.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from msgspec import Struct
from rich.cells import cell_len, get_character_cell_size, set_cell_size

from archiver.logs import plain
from archiver.search import Marked

SPEAKERS = 5
"""Colours of people."""
ROLES = ("quiet", "strong", "found", "alert", *(f"speaker{number}" for number in range(SPEAKERS)))

_LONGEST = 2_000
"""Characters of a cell; a screen has fewer."""


class Piece(Struct, frozen=True):
    text: str
    role: str = ""


Line = tuple[Piece, ...]


def safe(text: str, role: str = "") -> Piece:
    """What is unsafe on a terminal is shown as an escape; any white space is as it was, but tabs and line ends."""
    return Piece(plain(text), role)


def cell(text: str, width: int, role: str = "", *, right: bool = False) -> Piece:
    """Of exactly this width on the screen; what is cut off is shown as an ellipsis."""
    shown = plain(" ".join(text[:_LONGEST].split()))
    before = " " * max(width - cell_len(shown), 0) if right else ""
    return Piece(before + _cut(shown, width - len(before)), role)


def _cut(text: str, width: int) -> str:
    """Cut or filled."""
    if cell_len(text) <= width:
        return set_cell_size(text, width)
    return set_cell_size(text, max(width - 1, 0)) + "…" * (width > 0)


def marked(text: Marked, role: str = "") -> Iterator[Piece]:
    """What was found in it stands out."""
    at = 0
    for start, end in (*text.marks, (len(text.text), len(text.text))):
        yield Piece(_spaced(text.text[at:start]), role)
        yield Piece(_spaced(text.text[start:end]), "found")
        at = end


def _spaced(text: str) -> str:
    return plain("".join(" " if character.isspace() else character for character in text))


def fitted(pieces: Iterable[Piece], width: int) -> Line:
    """The first pieces, cut or filled to this width."""
    found = []
    for piece in pieces:
        wide = cell_len(piece.text)
        if wide > width:
            found.append(Piece(_cut(piece.text, width), piece.role))
            return tuple(found)
        found.append(piece)
        width -= wide
    return (*found, Piece(" " * width))


def text_of(line: Line) -> str:
    return "".join(piece.text for piece in line)


def folded(line: Line, width: int, indent: int = 0) -> list[Line]:
    """As many lines as it needs, all but the first indented. No character is lost."""
    text = text_of(line)
    if len(text) <= width // 2 or cell_len(text) <= width:
        return [line]
    indent = indent if indent < width // 2 else 0
    ends = list(_ends(text, width, width - indent))
    return [((Piece(" " * indent),) if start else ()) + _slice(line, start, end) for start, end in pairwise([0, *ends])]


def _ends(text: str, first: int, width: int) -> Iterator[int]:
    """Where each line ends: after a space, if there is one in its later half; each but the last has a character."""
    start = 0
    room = first
    while start < len(text):
        reach = _reach(text, start, room)
        if reach < len(text):
            space = text.rfind(" ", start + (reach - start) // 2, reach)
            reach = space + 1 if space >= 0 else reach
        yield reach
        start, room = reach, width


def _reach(text: str, start: int, room: int) -> int:
    """How far a line of this width goes, one character at least."""
    part = text[start : start + room]
    if part.isascii():
        return start + len(part)
    end = start
    while end < len(text):
        room -= get_character_cell_size(text[end])
        if room < 0 and end > start:
            return end
        end += 1
    return end


def _slice(line: Line, start: int, end: int) -> Line:
    found, at = [], 0
    for piece in line:
        part = piece.text[max(start - at, 0) : max(end - at, 0)]
        if part:
            found.append(Piece(part, piece.role))
        at += len(piece.text)
    return tuple(found)


def joined(lines: Sequence[Line]) -> str:
    return "\n".join(map(text_of, lines))
