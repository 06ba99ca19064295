"""Whole conversations for tests of the rendering layer: event files, made-up ones, and the looks of their owners."""

from __future__ import annotations

import email
from collections.abc import Callable, Iterable, Sequence
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

import msgspec
from builders import event
from hypothesis import strategies as st

from archiver.conversations.conversation import conversations
from archiver.conversations.rules import Rules
from archiver.conversations.survey import survey
from archiver.conversations.views import views
from archiver.decisions.archiving import complete_look
from archiver.decisions.policy import is_archived
from archiver.events import Captured, Event, microseconds
from archiver.filing.showing import Showing
from archiver.rendering import Limits
from archiver.types import Conversation, Item, Look, Role, Roster

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
RULES = Rules(idle=10**15, span=10**16)
"""Everything given is one conversation."""


def captured(line: bytes) -> Captured:
    decoded = msgspec.json.decode(line, type=Event)
    time = microseconds(decoded.time)
    body = msgspec.json.encode(msgspec.json.decode(line), order="sorted")
    return Captured(decoded, time, time, body)


def conversation(events: Iterable[Captured], roster: Roster | None = None, rules: Rules = RULES) -> Conversation:
    events = list(events)
    roster = roster or Roster()
    (made,) = conversations(iter(events), survey(lambda: iter(events), roster, rules), roster, rules)
    return made


def from_file(name: str) -> Conversation:
    lines = (FIXTURES / "events" / f"{name}.ndjson").read_bytes().splitlines()
    return conversation(captured(line) for line in lines)


def look_of(made: Conversation, owner: str, locale: str = "en", zone: str = "UTC", show: bool = False) -> Look:
    (view,) = (view for view in views(made, lambda address: address, RULES) if view.mailbox == owner)
    return Look(view.mask, view.role, view.side, locale, zone, show)


def whole(made: Conversation, locale: str = "en", zone: str = "UTC", show: bool = False) -> Look:
    return Look((1 << len(made.events)) - 1, Role.TOOK_PART, None, locale, zone, show)


def everything(made: Conversation, locale: str = "en", zone: str = "UTC") -> Look:
    """What the compliance archive gets."""
    look = complete_look(made, is_archived, locale, zone)
    assert look is not None
    return look


def render(
    made: Conversation, looks: Sequence[Look], attachment: Callable[[str], bytes | None], limits: Limits | None = None
) -> list[Item]:
    """One item a look, in their order."""
    showing = Showing(made, attachment, RULES, limits or Limits())
    return [showing.item(look) for look in looks]


def key(made: Conversation, look: Look) -> str:
    return render(made, [look], lambda digest: None)[0].key


def parsed(content: bytes) -> EmailMessage:
    message = email.message_from_bytes(content, policy=default)
    assert isinstance(message, EmailMessage)
    return message


def text_of(content: bytes) -> str:
    return _body(content, "plain")


def html_of(content: bytes) -> str:
    return _body(content, "html")


def _body(content: bytes, kind: str) -> str:
    (part,) = (p for p in parsed(content).walk() if p.get_content_type() == f"text/{kind}" and not p.get_filename())
    return str(part.get_content())


def defects(content: bytes) -> list[str]:
    """Everything the standard library's parser finds amiss, in structure and in header fields."""
    found = []
    for part in parsed(content).walk():
        found += [repr(defect) for defect in part.defects]
        if not part.is_multipart():
            part.get_payload(decode=True)
            found += [repr(defect) for defect in part.defects]
        for name, value in part.items():
            found += [f"{name}: {defect!r}" for defect in value.defects]
    return found


# Made-up conversations: anything Unicode can spell but what capture has already replaced.
anything = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60)
nasty = st.sampled_from(
    [
        "\r\nBcc: victim@example.org",
        "=?utf-8?b?Zm9v?=",
        "../../etc/passwd",
        "a" * 1200,
        '"<script>alert(1)</script>',
        "\u202egnp.exe",
        "é" * 90,
        "👩‍👩‍👧‍👦" * 12,
        "--=_x\n\n",
        "From me",
        ".",
        "a;b, c@d (e) <f>",
        "{0} {name} %s",
    ]
)
words = anything | nasty
addresses = st.sampled_from(["alice@example.org", "xmpp:bob@example.org/phone", "@carol:example.net", "dave"]) | words
address = addresses.filter(bool)


@st.composite
def made_up(draw: st.DrawFn, most: int = 12) -> Conversation:
    people = draw(st.lists(st.tuples(address, st.none() | words), min_size=1, max_size=4))
    kind = draw(st.sampled_from(["im", "group", "conference"]))
    topic = draw(st.none() | words)
    events = []
    for index in range(draw(st.integers(1, most))):
        who, name = draw(st.sampled_from(people))
        actor = {"address": who} if name is None else {"address": who, "name": name}
        if draw(st.integers(0, 9)) == 0:
            actor["hidden"] = True  # type: ignore[assignment]
        what = draw(st.sampled_from(["sent"] * 4 + ["edited", "retracted", "reacted", "joined", "left", "file", "odd"]))
        events.append(_event(draw, what, index, actor, kind, topic))
    return conversation(events)


def _event(draw: st.DrawFn, what: str, index: int, actor: dict[str, object], kind: str, topic: str | None) -> Captured:
    of = f"m{draw(st.integers(0, 5))}"
    data: dict[str, object] = {}
    message: dict[str, object] = {"id": f"m{index}" if what == "sent" else of}
    if what in ("sent", "edited"):
        message["text"] = f"needle{index}x " + draw(words)
        if draw(st.booleans()):
            message["in_reply_to"] = of
        if draw(st.integers(0, 4)) == 0:
            message["html"] = f"<b>needle{index}x</b> {draw(words)}"
    if what in ("sent", "edited", "retracted", "reacted"):
        data["message"] = message
        data["reaction"] = draw(words) if what == "reacted" else None
        kind_of = f"message.{what}"
    elif what == "file":
        kind_of = "file.shared"
        data["attachments"] = [{"name": draw(words), "sha256": "ab" * 32, "media_type": draw(words)}]
    else:
        kind_of = f"participant.{what}" if what in ("joined", "left") else draw(words.filter(bool))
    data = {name: value for name, value in data.items() if value is not None}
    at = index * draw(st.sampled_from([1, 50_000]))
    made = msgspec.json.decode(event(kind_of, at, id=f"e{index}", where=kind, topic=topic, **data).body)
    made["data"]["actor"] = actor
    return captured(msgspec.json.encode(made))
