"""One mailbox or one item by what somebody calls it: whole, or by a beginning that no other has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from email.parser import BytesHeaderParser
from shlex import quote
from urllib.parse import unquote

from archiver.exceptions import ItemError, UsageError
from archiver.inspection.item import ItemSummary, item_of
from archiver.inspection.listing import HEADER, Numbered, numbered
from archiver.store.protocol import Folders, Where

_DIGITS = 20
_NAMED = 5
"""Of those that a name might mean, so many are told."""


def mailbox_of(store: Folders, wanted: str) -> str:
    """The mailbox of this address, or the only one that begins so; as it was given where there is none."""
    try:
        if list(store.folders(wanted)):
            return wanted
    except ItemError:
        pass
    return beginning_so(store.mailboxes(), wanted)


def beginning_so(mailboxes: Iterable[str], wanted: str) -> str:
    """The only one of these that begins so; as it was given where there is none."""
    fitting = [each for each in mailboxes if wanted and each.startswith(wanted.casefold())]
    if wanted in fitting:
        return wanted
    if len(fitting) > 1:
        raise UsageError(f"{len(fitting)} mailboxes begin with {wanted}: {_few(fitting)}", hint="write more of it")
    return fitting[0] if fitting else wanted


def find(store: Folders, mailbox: str, wanted: str) -> ItemSummary:
    """One item by its number, or by its name, key, Message-ID or conversation: whole, or a beginning of it."""
    fitting, _ = _fitting(store, mailbox, wanted)
    if len(fitting) > 1:
        raise _ambiguous(mailbox, wanted, fitting)
    return _read(store, fitting[0])


def find_all(store: Folders, mailbox: str, wanted: str) -> list[Where]:
    """As `find`; of a conversation that has several items all of them."""
    fitting, is_whole = _fitting(store, mailbox, wanted)
    if len(fitting) > 1 and not is_whole:
        raise _ambiguous(mailbox, wanted, fitting)
    return [each.where for each in fitting]


def _fitting(store: Folders, mailbox: str, wanted: str) -> tuple[list[Numbered], bool]:
    """At least one; and whether they are called exactly so, or only begin so."""
    found = numbered(store, mailbox)
    if (number := _number(wanted)) and number <= len(found):
        return [found[len(found) - number]], True
    bare = wanted.strip("<>")
    key = bare.partition("@")[0]
    fitting, is_whole = [each for each in found if {bare, key} & set(_names(each))], True
    if not fitting and bare:
        fitting, is_whole = _called(_identified(store, found), bare)
    if not fitting:
        raise UsageError(f"{mailbox} has no item {wanted}", hint=_listing(mailbox))
    return fitting, is_whole


def _number(wanted: str) -> int:
    """0 where it is none that an item could have; Python reads none of thousands of digits."""
    return int(wanted) if wanted.isdecimal() and len(wanted) < _DIGITS else 0


def _ambiguous(mailbox: str, wanted: str, fitting: list[Numbered]) -> UsageError:
    return UsageError(
        f"{len(fitting)} items are called {wanted}, or begin so: {_few([str(each.number) for each in fitting])}",
        hint=f"write more of it, or the number: {_listing(mailbox)}",
    )


def _listing(mailbox: str) -> str:
    return f"`archiver inspect {quote(mailbox)}` lists its items"


def _few(names: list[str]) -> str:
    return ", ".join(names[:_NAMED]) + (" and others" if len(names) > _NAMED else "")


def _read(store: Folders, each: Numbered) -> ItemSummary:
    (read,) = store.read_all([each.where])
    if read is None:
        raise UsageError(f"item {each.number} of {each.where.mailbox} has gone meanwhile", hint="list them again")
    return item_of(each.number, each.where, *read)


def _names(each: Numbered) -> tuple[str, str]:
    """What it is called in its folder: whole, and by the key that its Message-ID has too."""
    return each.where.name, each.where.name.partition(".K")[2]


def _identified(store: Folders, found: list[Numbered]) -> Iterator[tuple[Numbered, tuple[str, ...]]]:
    parse = BytesHeaderParser().parsebytes
    reading = store.read_all((each.where for each in found), HEADER)
    for each, read in zip(found, reading, strict=True):
        if read:
            message = parse(read[1])
            names = [str(message.get(field, "")) for field in ("Message-ID", "X-Archiver-Conversation")]
            yield each, (*_names(each), names[0].strip().strip("<>"), unquote(names[1]))


def _called(called: Iterable[tuple[Numbered, tuple[str, ...]]], wanted: str) -> tuple[list[Numbered], bool]:
    """Those of exactly this name, else those of which one begins so; and whether it is exactly so."""
    beginning = [(each, names) for each, names in called if any(name.startswith(wanted) for name in names)]
    whole = [each for each, names in beginning if wanted in names]
    return whole or [each for each, _ in beginning], bool(whole)
