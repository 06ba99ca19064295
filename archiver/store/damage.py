"""What can be wrong with a store: codes, and what a person can do about each. Holds no I/O and finds nothing."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Code(StrEnum):
    """Of items: CHANGED to NOT_REMOVED; of an archive's manifest: NO_MANIFEST to CUT; of Conversation History's items:
    OUTDATED to EVENTS_CHANGED; of its Maildirs: MAILBOX to OWNER."""

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
    OUTDATED = "item-outdated"
    SHORTENED = "item-cut"
    WRONG_FOLDER = "item-in-wrong-folder"
    OF_ANOTHER = "item-of-another-mailbox"
    MISPLACED = "item-misplaced"
    MISNAMED = "item-misnamed"
    MISDATED = "item-misdated"
    NOT_A_FILE = "item-not-a-file"
    CLOSED = "item-unreadable"
    EVENTS_MISSING = "events-missing"
    EVENTS_UNREADABLE = "events-unreadable"
    EVENTS_CHANGED = "events-changed"
    MAILBOX = "mailbox-missing"
    HALF_MADE = "folder-half-made"
    BLOCKED = "folder-blocked"
    NO_NAME = "folder-without-name"
    LEFTOVER = "tmp-leftover"
    STUCK = "tmp-stuck"
    MODE = "mode-wrong"
    OWNER = "owner-wrong"


_REPAIR = "run `archiver inspect --verify --repair`"
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
    Code.OUTDATED: f"a newer item stands for it, or its time is over: {_REPAIR}, which takes it out",
    Code.SHORTENED: _ITEM,
    Code.WRONG_FOLDER: "move it back where it was filed, or leave it if that was meant",
    Code.OF_ANOTHER: "somebody may read here what isn't theirs: take it out, and ask who can write there",
    Code.MISPLACED: f"no mail client shows it there: {_REPAIR}, which moves it into `cur`",
    Code.MISNAMED: f"mail clients may not read its flags: {_REPAIR}, which gives it its own name",
    Code.MISDATED: f"{_REPAIR}, which sets the date again",
    Code.NOT_A_FILE: "look at what it is, and take it out; who may write there is whom to ask",
    Code.CLOSED: "run this as a user who may read it; if none may, the disk may be failing: see the system's log",
    Code.EVENTS_MISSING: _ITEM,
    Code.EVENTS_UNREADABLE: _ITEM,
    Code.EVENTS_CHANGED: _ITEM,
    Code.MAILBOX: f"if it was not removed on purpose, put it back from a backup, or {_REPAIR}, which files anew what "
    "the spool still has",
    Code.HALF_MADE: f"{_REPAIR}, which makes what is missing",
    Code.BLOCKED: "look at what stands there, take it away, and check again",
    Code.NO_NAME: "no mail client shows it: give it a name that the mail server's folder encoding knows",
    Code.LEFTOVER: f"a killed archiver left it: {_REPAIR}, or restart the daemon, which takes it away",
    Code.STUCK: "whoever began to write it never came to an end: look at it, then take it out",
    Code.MODE: f"{_REPAIR}, or give it the modes by hand",
    Code.OWNER: f"the mail server can't change it: {_REPAIR} as root, or give it to its owner by hand",
}


class Damage(Struct, frozen=True):
    """One thing found wrong: in whose mailbox or archive, where exactly, and what it is."""

    code: Code
    mailbox: str
    place: str
    found: str

    @property
    def advice(self) -> str:
        return _ADVICE[self.code]
