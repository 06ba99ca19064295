"""An item made again from its own events: what a client's copy may change, and what shared files come to."""

from __future__ import annotations

from hashlib import sha256

import pytest
from builders import say
from msgspec import json, structs
from test_conversation import cut
from test_rebuilding import looks_at

from archiver.conversations.rules import Rules
from archiver.events import Captured, Event
from archiver.filing.reproducing import prove
from archiver.filing.showing import Showing
from archiver.rendering import Limits
from archiver.store.damage import Code
from archiver.types import Item

SMALL, LARGE = b"\x89PNG small", b"x" * 5_000
CONTENTS = {sha256(content).hexdigest(): content for content in (SMALL, LARGE)}
LOST = sha256(b"lost").hexdigest()
LIMITS = Limits(file=1_000)


def sharing(number: int, *digests: str) -> Captured:
    captured = say("ab"[number % 2], f"text {number}", number, id=f"{number}")
    event = json.decode(captured.body)
    event["data"]["attachments"] = [
        {"name": f"{digest[:4]}.png", "media_type": "image/png", "sha256": digest} for digest in digests
    ]
    line = json.encode(event, order="sorted")
    return structs.replace(captured, event=json.decode(line, type=Event), body=line)


def item(*digests: str, limits: Limits = LIMITS) -> Item:
    (made,) = cut([sharing(0, *digests), say("b", "seen", 1, id="1")])
    return Showing(made, CONTENTS.get, Rules(), limits).item(looks_at(made)[0])


SETS = [(), (*CONTENTS,), (LOST,), (*CONTENTS, LOST)]


@pytest.mark.parametrize("digests", SETS, ids=map(str, range(len(SETS))))
def test_files_held_too_large_and_lost(digests: tuple[str, ...]) -> None:
    made = item(*digests)
    proof = prove(made.content, Rules(), LIMITS)
    assert (proof.code, proof.name, proof.changed) == (None, made.name, made.changed), "from itself alone"
    assert prove(made.content, Rules(), LIMITS, CONTENTS.get).code is None


def test_limits_that_were_others_when_it_was_made() -> None:
    assert prove(item(*CONTENTS, limits=Limits()).content, Rules(), LIMITS).code is None


def test_a_file_that_was_changed_is_noticed() -> None:
    content = item(*CONTENTS).content
    assert content.count(b"iVBORyBzbWFsbA==") + content.count(b"iVBOR") >= 1
    assert prove(content.replace(b"iVBOR", b"iVBOS"), Rules(), LIMITS).code is Code.CHANGED


@pytest.mark.parametrize(
    "copied",
    [
        lambda c: c.replace(b"\n", b"\r\n"),
        lambda c: b"X-TUID: abcdefghijkl\n" + c,
        lambda c: c.replace(b"\nSubject:", b"\nX-TUID: abcdefghijkl\nSubject:", 1).replace(b"\n", b"\r\n"),
    ],
)
def test_what_a_client_s_copy_changes_is_no_change(copied) -> None:
    assert prove(copied(item(*CONTENTS).content), Rules(), LIMITS).code is None


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff" * 9_999, b"Content-Type: multipart/mixed; boundary=x\n\n--x"])
def test_what_is_no_item_is_said_to_be_none(content: bytes) -> None:
    assert prove(content, Rules(), LIMITS).code is Code.EVENTS_MISSING
