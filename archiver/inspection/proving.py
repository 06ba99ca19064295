"""An item against its own events; and copies that clients made of our items under names of their own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress

from archiver.inspection.case import Case, Doing, Proved, Told
from archiver.inspection.messages import header, headers_of
from archiver.inspection.verifying import Problem
from archiver.store.damage import Code
from archiver.store.survey import Lying

_MESSAGE_ID = re.compile(r"<([0-9a-f]{32})@conversation-archiver\.invalid>")


_A_SECOND = 1_000_000


class Proving:
    def __init__(self, case: Case) -> None:
        self._case = case

    def item(self, lying: Lying, content: bytes) -> Iterator[Problem | Told]:
        if len(set(lying.flags) - {"S"}):
            yield self._case.told(Doing.FLAGGED, lying, f"flags {lying.flags}")
        wanted = max((each.size for each in self._case.ledger.known(self._case.mailbox, lying.name)), default=0)
        if wanted and lying.size < wanted:
            yield self._case.trouble(Code.SHORTENED, lying, f"it has {lying.size} bytes of {wanted}")
            return
        proof = self._case.prove(content)
        if proof.renderer:
            yield self._case.told(Doing.RENDERER, lying, f"made by {proof.renderer}: its words can't be compared")
        if proof.code is not None:
            yield self._case.trouble(proof.code, lying, proof.found)
        elif proof.name != lying.name and not proof.renderer:
            yield self._case.trouble(Code.SWAPPED, lying, f"it is the item {proof.name}")
        elif self._case.journal is None:
            self._case.ledger.see_sound(self._case.mailbox, key_of(lying.name))
        elif proof.changed and abs(lying.modified // 1000 - proof.changed) >= _A_SECOND:
            found = "its date is not that of its last event"
            yield self._case.trouble(Code.MISDATED, lying, found, self._dated(lying, proof))

    def _dated(self, lying: Lying, proof: Proved) -> str:
        if self._case.mender is not None:
            with suppress(OSError):
                self._case.mender.give_date(self._case.parts(lying), lying.file, proof.changed)
                return "the date is set"
        return ""

    def other(self, lying: Lying) -> Iterator[Problem | Told]:
        """Under another's name: somebody's own mail, or one of our items that a client copied or moved."""
        found = _MESSAGE_ID.fullmatch(header(headers_of(self._case.survey.beginning(lying)), "Message-ID").strip())
        if found is None:
            return
        self._case.ledger.see_copy(self._case.mailbox, found[1], lying)
        try:
            content = self._case.survey.content(lying)
        except OSError:
            return
        proof = self._case.prove(content) if content is not None else None
        if proof is None:
            return
        if proof.renderer:
            yield self._case.told(Doing.RENDERER, lying, f"made by {proof.renderer}: its words can't be compared")
        code, why = proof.code, proof.found
        if code is None and not proof.renderer and found[1] != key_of(proof.name):
            code, why = Code.SWAPPED, f"it is the item {proof.name}"
        if self._case.journal is not None:
            if code is not None:
                yield self._case.told(Doing.ALTERED, lying, why)
        elif code is not None:
            damage = self._case.survey.damage(code, lying.folder, lying.name, why)
            self._case.ledger.see_altered(found[1], damage)
        else:
            self._case.ledger.see_sound(self._case.mailbox, found[1])


def key_of(name: str) -> str:
    """What stands in a base name of ours and in its Message-ID."""
    return name.partition(".K")[2].partition(".")[0]
