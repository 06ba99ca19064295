"""What can be wrong with an archive: codes, and what a person can do about each. Holds no I/O and finds nothing."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Code(StrEnum):
    """Of items: CHANGED to DOUBLED; of the manifest: NO_MANIFEST to CUT."""

    CHANGED = "item-changed"
    SWAPPED = "item-swapped"
    MISSING = "item-missing"
    UNLISTED = "item-unlisted"
    DOUBLED = "item-doubled"
    NOT_REMOVED = "item-not-removed"
    NO_MANIFEST = "manifest-missing"
    NOT_ITS_OWN = "manifest-of-another"
    UNREADABLE = "line-unreadable"
    LINE_MISSING = "line-missing"
    LINE_MOVED = "line-moved"
    LINE_CHANGED = "line-changed"
    REWRITTEN = "manifest-rewritten"
    TORN = "manifest-torn"
    CUT = "manifest-cut"


_BACK = "put the {} back from a backup made before; who may write there is whom to ask"
_ITEM = _BACK.format("item")
_MANIFEST = _BACK.format("manifest")
_ADVICE = {
    Code.CHANGED: _ITEM,
    Code.SWAPPED: "give both items their own bytes again, from a backup or by exchanging the two files",
    Code.MISSING: _ITEM,
    Code.UNLISTED: "after a crash the archiver's next run finishes such a file; one that stays was put there by "
    "somebody: look at it, then take it out",
    Code.DOUBLED: "compare the two files, and take out the one that was put there by somebody",
    Code.NOT_REMOVED: "what removed it was interrupted: run the same command again",
    Code.NO_MANIFEST: _MANIFEST,
    Code.NOT_ITS_OWN: _MANIFEST,
    Code.UNREADABLE: _MANIFEST,
    Code.LINE_MISSING: _MANIFEST,
    Code.LINE_MOVED: _MANIFEST,
    Code.LINE_CHANGED: _MANIFEST,
    Code.REWRITTEN: _MANIFEST,
    Code.TORN: "a crash leaves this; what the line was for is filed again, and the torn end goes then",
    Code.CUT: _MANIFEST,
}


class Damage(Struct, frozen=True):
    """One thing found wrong: in whose archive, where exactly, and what it is."""

    code: Code
    mailbox: str
    place: str
    found: str

    @property
    def advice(self) -> str:
        return _ADVICE[self.code]
