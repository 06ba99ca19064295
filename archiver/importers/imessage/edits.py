"""What the parts of a message said before they were edited or unsent, out of its `message_summary_info`. Pure.

It is a binary property list. `otr` has by a part's number how long it was (`le`, in units of UTF-16); `ec` by the same
the texts of one that was edited, the first one first: `d` when each was written, in seconds since 2001, `t` the
archived text; `rp` the numbers of those unsent. The message's own text holds what is left of them, one behind the
other. Source: imessage-exporter, edited.rs.
"""

from __future__ import annotations

import plistlib
from typing import Any, NamedTuple

from archiver.importers.imessage.body import plain, text_of

LIMIT = 1024 * 1024
PARTS = 1_000
TOLD = 16 * 1024 * 1024
"""Characters that a history may take at most: every edit tells the whole text, and a property list may name one value
any number of times."""
_END = 1e12
"""Seconds: years that no calendar has. Compared, as no number is less than it that is none."""
_ENDS = ("\r", "\n")
"""What may part a text from what follows it."""


class Version(NamedTuple):
    """A text, and when it came to be so, in seconds since 2001."""

    at: float
    text: str


class History(NamedTuple):
    """The message's whole text, as it was `first` and after each edit; `unsent` has by its number the last text of each
    part that was unsent, "" where none is known. `left` says whether it had any other."""

    first: str
    edits: tuple[Version, ...]
    unsent: dict[int, str]
    left: bool

    @property
    def is_gone(self) -> bool:
        """Whether it was unsent whole, whatever the database still has of it."""
        return bool(self.unsent) and not self.left


def history_of(summary: object, text: str) -> History | None:
    """What happened to a message that says `text` now; None where that can't be told."""
    found = _read(summary)
    edited = {number: texts for number, texts in _numbered(found.get("ec")).items() if isinstance(texts, list)}
    if sum(map(len, edited.values())) * (len(text) + _size(summary)) > TOLD:
        return None
    edits = {number: _versions(texts) for number, texts in edited.items()}
    lengths = {number: _length(part) for number, part in _numbered(found.get("otr")).items()} or dict.fromkeys(edits, 0)
    taken = found["rp"] if isinstance(found.get("rp"), list) else []
    gone = {int(each) for each in taken if isinstance(each, int) and each in lengths}
    living = {number: length for number, length in sorted(lengths.items()) if number not in gone}
    known = {number: versions for number, versions in edits.items() if number in living}
    parts = _parts(text, living, known) if all(known.values()) else None
    if parts is None or not (known or gone):
        return None
    last = {number: plain(edits[number][-1].text) if edits.get(number) else "" for number in gone}
    first, later = _whole(parts, known)
    return History(first if living else _joined(last), tuple(later), last, bool(living))


def _parts(text: str, living: dict[int, int], edits: dict[int, list[Version]]) -> dict[int, str] | None:
    """What each part says now: as much of the text as it is long, or all of it where the others have none, such as a
    link's preview. None where it can't be told."""
    if len(living) <= 1:
        return {number: text or (edits[number][-1].text if number in edits else "") for number in living}
    alone = [number for number, texts in edits.items() if plain(texts[-1].text) == plain(text)]
    if alone:
        return {alone[0]: text}
    units, at, parts = text.encode("utf-16-le", "surrogatepass"), 0, {}
    for number, length in living.items():
        said = edits[number][-1].text.encode("utf-16-le", "surrogatepass") if number in edits else b""
        end = at + (len(said) if number in edits else 2 * length)
        if not units[at:end].startswith(said) or end > len(units):
            return None
        while number in edits and units[end : end + 2].decode("utf-16-le", "replace") in _ENDS:
            end += 2
        parts[number] = units[at:end].decode("utf-16-le", "replace")
        at = end
    return parts if at == len(units) else None


def _whole(parts: dict[int, str], edits: dict[int, list[Version]]) -> tuple[str, list[Version]]:
    """The message's text at first, and after each edit of a part; the last one is what it says now."""
    said = {number: edits[number][0].text if number in edits else text for number, text in parts.items()}
    first, told = _joined(said), []
    later = [(each.at, number, turn) for number in parts for turn, each in enumerate(edits.get(number, ())) if turn]
    for at, number, turn in sorted(later):
        said[number] = edits[number][turn].text if turn < len(edits[number]) - 1 else parts[number]
        told.append(Version(at, _joined(said)))
    return first, told


def _joined(parts: dict[int, str]) -> str:
    return "\n".join(filter(None, map(plain, parts.values())))


def _size(summary: object) -> int:
    return len(summary) if isinstance(summary, bytes) else 0


def _read(summary: object) -> dict[Any, Any]:
    if not isinstance(summary, bytes) or len(summary) > LIMIT:
        return {}
    try:
        found = plistlib.loads(summary, fmt=plistlib.FMT_BINARY)
    except Exception:  # the standard library raises whatever comes of damaged bytes
        return {}
    return found if isinstance(found, dict) else {}


def _numbered(parts: object) -> dict[int, Any]:
    """By the numbers of parts, which are texts as keys; none where there are too many to be meant."""
    if not isinstance(parts, dict) or len(parts) > PARTS:
        return {}
    return {
        int(key): value for key, value in parts.items() if isinstance(key, str) and key.isdecimal() and len(key) < 9
    }


def _length(part: object) -> int:
    length = part.get("le") if isinstance(part, dict) else None
    return length if isinstance(length, int) and 0 <= length <= LIMIT else 0


def _versions(texts: list[Any]) -> list[Version]:
    """None where one of them can't be read."""
    found = [_version(each) for each in texts]
    whole = [each for each in found if each is not None]
    return whole if len(whole) == len(found) else []


def _version(entry: object) -> Version | None:
    if not isinstance(entry, dict):
        return None
    at, body = entry.get("d"), entry.get("t")
    text = text_of(body) if isinstance(body, bytes) else None
    if not isinstance(at, int | float) or not abs(at) < _END or text is None:
        return None
    return Version(at, text)
