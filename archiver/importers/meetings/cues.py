"""WebVTT (W3C, "WebVTT: The Web Video Text Tracks Format", 4) -> its cues and notes, block by block. No meaning.

More lenient than the standard: hours without a leading zero and fractions of any length (Teams), a comma before the
fraction, times before the start.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import NamedTuple

from archiver.importers.document import Document
from archiver.importers.text import Charset, TextLine, charset_in, text_lines

BLOCK_LIMIT = 512 * 1024
ARROW = "-->"

_TIME = r"(-?)(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2})(?:[.,](\d{1,9}))?"
_TIMING = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}(?:\s.*)?")
_VOICE = re.compile(r"<v(?:\.[^\s>]{0,100})?[ \t]{1,20}([^>\n]{0,500})>")
_TAG = re.compile(r"</?(?:c|i|b|u|v|ruby|rt|lang)(?:[.\s][^>\n]{0,500})?>|<\d[\d:.]{0,20}>")


class Cue(NamedTuple):
    """`start` and `end` in milliseconds from the start of the recording."""

    start: int
    end: int
    text: str


class Block(NamedTuple):
    """What stood between empty lines: a cue, or a note (the header too), or what is neither, with a reason.

    `charset` is what it had to be read in, None for UTF-8.
    """

    number: int
    raw: bytes
    cue: Cue | None = None
    note: str = ""
    fault: str = ""
    charset: Charset | None = None


def blocks(document: Document, charset: Charset) -> Iterator[Block]:
    """The header first. `number` is the line a block begins at."""
    gathered: list[TextLine] = []
    first = size = 0
    fault = ""
    for line in text_lines(document, charset):
        starts = ARROW in line.text and any(ARROW in before.text for before in gathered)
        if gathered and (starts or not line.raw.strip()):
            yield _block(first, gathered, fault)
            gathered, size, fault = [], 0, ""
        if not line.raw.strip() and not line.fault:
            continue
        first = first if gathered else line.number
        size += len(line.raw)
        if size <= BLOCK_LIMIT:
            gathered.append(line)
        fault = fault or line.fault or ("" if size <= BLOCK_LIMIT else f"a cue of over {BLOCK_LIMIT:,} bytes")
    if gathered:
        yield _block(first, gathered, fault)


def _block(number: int, gathered: list[TextLine], fault: str) -> Block:
    raw = b"\n".join(line.raw for line in gathered)
    text = [line.text for line in gathered]
    if fault:
        return Block(number, raw, fault=fault)
    at = next((index for index, line in enumerate(text) if ARROW in line), None)
    if at is None:
        known = re.match(r"WEBVTT|NOTE|STYLE|REGION", text[0]) is not None
        return Block(number, raw, note="\n".join(text)) if known else Block(number, raw, fault="text without a time")
    timing = _TIMING.fullmatch(text[at])
    if timing is None or at > 1:
        return Block(number, raw, fault="a cue whose times can't be read")
    found = timing.groups()
    cue = Cue(_milliseconds(found[:5]), _milliseconds(found[5:]), "\n".join(text[at + 1 :]))
    return Block(number, raw, cue, charset=charset_in(gathered))


def _milliseconds(parts: tuple[str | None, ...]) -> int:
    sign, hours, minutes, seconds, fraction = parts
    whole = (int(hours or 0) * 60 + int(minutes or 0)) * 60 + int(seconds or 0)
    found = whole * 1000 + int(f"{fraction or ''}000"[:3])
    return -found if sign else found


def spoken(text: str) -> Iterator[tuple[str, str]]:
    """Who says what in a cue, by its voice tags; "" for nobody named."""
    name = ""
    position = 0
    for voice in _VOICE.finditer(text):
        yield from _said(name, text[position : voice.start()])
        name, position = html.unescape(voice[1]).strip(), voice.end()
    yield from _said(name, text[position:])


def _said(name: str, text: str) -> Iterator[tuple[str, str]]:
    plain = html.unescape(_TAG.sub("", text)).strip()
    if plain:
        yield name, plain
