"""Items as bytes: read back by the standard library, always the same, and holding what they claim and no more."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
from datetime import datetime
from email.utils import parsedate_to_datetime

import msgspec
import pytest
from builders import BASE, edit, event, react, retract, say
from conversation_builder import (
    FIXTURES,
    RULES,
    captured,
    conversation,
    defects,
    from_file,
    html_of,
    key,
    look_of,
    made_up,
    parsed,
    render,
    text_of,
    whole,
)
from effort import examples
from golden import EXPECTED, GOLDEN, SAME_ZLIB, comparable, golden_item, golden_path
from hypothesis import given, settings
from hypothesis import strategies as st

from archiver.conversations.views import views
from archiver.events import SECOND, Event, moment
from archiver.exceptions import ItemError, UsageError
from archiver.filing.rebuilding import rebuild
from archiver.rendering import RENDERER, Limits, base_name, message_id
from archiver.rendering.evidence import ROSTER, events_of, lines_of
from archiver.types import Conversation, Look, Presence, Role, Roster

ALICE, BOB, CAROL = "alice@example.org", "bob@example.org", "carol@example.org"
IM = {"where": "im", "room": f"{ALICE} {BOB}", "present": [ALICE, BOB], "source": "xmpp:chat.example.org"}


def nothing(digest: str) -> bytes | None:
    return None


def one(made: Conversation, look: Look, **more) -> bytes:
    (item,) = render(made, [look], more.pop("attachment", nothing), **more)
    return item.content


def talk(*texts: str, **more) -> Conversation:
    return conversation(
        [say((ALICE, BOB)[n % 2], text, n, id=f"m{n}", **{**IM, **more}) for n, text in enumerate(texts)]
    )


# Golden items


@pytest.mark.parametrize(("name", "owner", "locale", "zone"), GOLDEN)
def test_golden_items(name, owner, locale, zone):
    expected = golden_path(name, owner).read_bytes()
    made = golden_item(name, owner, locale, zone).content
    assert comparable(made) == comparable(expected)
    assert made == expected or SAME_ZLIB not in expected
    assert not defects(made)


def test_no_golden_item_is_left_over():
    assert {path.name for path in EXPECTED.glob("*.eml")} == {golden_path(n, o).name for n, o, _, _ in GOLDEN}


# Whatever the input


@settings(max_examples=examples(70))
@given(made_up(), st.data())
def test_the_standard_parser_reads_every_item(made, data):
    look = Look(
        data.draw(st.integers(1, (1 << len(made.events)) - 1)),
        data.draw(st.sampled_from(Role)),
        data.draw(st.sampled_from([None, ALICE])),
        data.draw(st.sampled_from(["en", "zh-TW"])),
        data.draw(st.sampled_from(["UTC", "Europe/Berlin"])),
        data.draw(st.booleans()),
    )
    (item,) = render(made, [look], lambda digest: b"content")
    assert not defects(item.content)
    head = item.content.partition(b"\n\n")[0]
    assert head.isascii()
    assert max(map(len, item.content.split(b"\n"))) <= 998
    assert b"\r" not in item.content
    assert b"\0" not in item.content
    message = parsed(item.content)
    fixed = "Date From To Subject Message-ID References Thread-Topic Auto-Submitted MIME-Version Content-Type"
    assert {name for name in message if not name.startswith("X-Archiver-")} <= {
        *fixed.split(),
        "Content-Transfer-Encoding",
    }
    assert len(message.keys()) == len(set(message.keys()))
    assert str(message["Subject"]).replace(" ", "") == item.subject.replace(" ", "")
    assert text_of(item.content).rstrip("\n").isprintable() or "\n" in text_of(item.content)


@settings(max_examples=examples(70))
@given(made_up(), st.data())
def test_nothing_outside_the_view_is_in_its_item(made, data):
    mask = data.draw(st.integers(1, (1 << len(made.events)) - 1))
    content = one(made, Look(mask, Role.TOOK_PART, None, "en", "UTC", True))
    everything = text_of(content) + html_of(content) + b"\n".join(lines_of(content)).decode()
    for index, event_ in enumerate(made.events):
        held = f"needle{event_.event.id[1:]}x" in everything
        assert held == bool(mask >> index & 1 and event_.event.type in ("message.sent", "message.edited"))


@settings(max_examples=examples(50))
@given(made_up())
def test_retracted_content_is_nowhere(made):
    content = one(made, whole(made))
    everything = text_of(content) + html_of(content) + b"\n".join(lines_of(content)).decode()
    retracted = {c.event.data.message.id for c in made.events if c.event.type == "message.retracted"}
    for captured_ in made.events:
        if captured_.event.type in ("message.sent", "message.edited"):
            gone = captured_.event.data.message.id in retracted
            assert (f"needle{captured_.event.id[1:]}x" in everything) != gone


@settings(max_examples=examples(50))
@given(made_up(), st.data())
def test_the_items_of_one_run_are_those_of_many(made, data):
    """What looks share changes nothing; nor does being asked twice."""
    masks = data.draw(st.lists(st.integers(1, (1 << len(made.events)) - 1), min_size=2, max_size=4))
    looks = [Look(m, Role.TOOK_PART, None, "en", "UTC", bool(n % 2)) for n, m in enumerate(masks)]
    together = render(made, looks, nothing)
    assert together == [render(made, [look], nothing)[0] for look in looks]
    assert [item.key for item in together] == [key(made, look) for look in looks]


@settings(max_examples=examples(50))
@given(made_up(), st.data())
def test_the_view_is_rebuilt_from_the_item(made, data):
    mask = data.draw(st.integers(1, (1 << len(made.events)) - 1))
    lines = lines_of(one(made, Look(mask, Role.TOOK_PART, None, "en", "UTC", True)))
    if json.loads(lines[0])["type"] == ROSTER:
        lines = lines[1:]
    seen = [c for n, c in enumerate(made.events) if mask >> n & 1]
    if not any(b'"hidden"' in c.body for c in made.events):
        assert lines == [c.body for c in seen]
    assert [msgspec.json.decode(line, type=Event).id for line in lines] == [c.event.id for c in seen]


def test_naughty_strings_as_text_name_and_topic():
    naughty = json.loads((FIXTURES / "naughty" / "blns.json").read_text("utf-8"))
    naughty = [text.replace("\0", "\ufffd") for text in naughty]
    for start in range(0, len(naughty), 40):
        lot = naughty[start : start + 40]
        made = conversation(
            event("message.sent", n, text or "x", room="r", topic=text, message={"id": f"m{n}", "text": text})
            for n, text in enumerate(lot)
        )
        content = one(made, whole(made))
        assert not defects(content)
        assert "<script" not in html_of(content).lower()
        body = [json.loads(line)["data"]["message"]["text"] for line in lines_of(content)]
        assert body == lot


@pytest.mark.slow
def test_same_bytes_whatever_the_machine():
    """Another hash seed and another local zone, in another process, make the very same item."""
    program = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "from golden import GOLDEN, golden_item\n"
        "import hashlib\n"
        "print(hashlib.sha256(b''.join(golden_item(*one).content for one in GOLDEN)).hexdigest())"
    )
    here = hashlib.sha256(b"".join(golden_item(*one_).content for one_ in GOLDEN)).hexdigest()
    for seed, zone, locale in (("1", "Asia/Tokyo", "C"), ("2", "America/Lima", "de_DE.UTF-8")):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "TZ": zone, "LC_ALL": locale}
        run = subprocess.run(
            [sys.executable, "-c", program], cwd=FIXTURES.parent, env=environment, capture_output=True, check=True
        )
        assert run.stdout.decode().strip() == here


# Keys and names


def test_the_key_covers_what_a_rendering_depends_on():
    made = talk("one", "two")
    look = look_of(made, ALICE)
    others = [
        Look(1, look.role, look.side, "en", "UTC"),
        Look(look.mask, Role.MISSED, look.side, "en", "UTC"),
        Look(look.mask, look.role, BOB, "en", "UTC"),
        Look(look.mask, look.role, look.side, "zh_Hant", "UTC"),
        Look(look.mask, look.role, look.side, "en", "Asia/Taipei"),
        Look(look.mask, look.role, look.side, "en", "UTC", True),
    ]
    keys = [key(made, one_) for one_ in [look, *others]]
    assert len(set(keys)) == len(keys)
    assert key(made, look) == key(talk("one", "two"), look)
    assert key(made, look) != key(talk("one", "twi"), look)


def test_locales_that_render_alike_share_a_key():
    made = talk("one", "two")
    assert key(made, look_of(made, ALICE, "zh-TW")) == key(made, look_of(made, ALICE, "zh_Hant"))


def test_two_owners_who_saw_the_same_share_one_item():
    made = conversation([say(who, f"hello from {who}", 0, id=who) for who in (ALICE, BOB, CAROL)])
    rendered = render(made, [look_of(made, ALICE), look_of(made, ALICE)], nothing)
    assert rendered[0] == rendered[1]


def test_events_outside_the_view_leave_its_item_alone():
    shared = [say(ALICE, "hello all", 0, id="m0"), say(BOB, "hi", 1, id="m1"), say(CAROL, "hey", 2, id="m2")]
    whisper = say(ALICE, "psst", 3, id="m3", to=[BOB])
    with_, without = conversation([*shared, whisper]), conversation(shared)
    assert one(with_, look_of(with_, CAROL)) == one(without, look_of(without, CAROL))


def test_large_views_pack_alike_whatever_else_was_packed():
    made = conversation([say((ALICE, BOB)[n % 2], f"text {n} " * 5, n, id=f"m{n}") for n in range(700)])
    full = (1 << 700) - 1
    looks = [Look(m, Role.TOOK_PART, None, "en", "UTC") for m in (full, full & ~(1 << 350), full >> 200)]
    together = render(made, looks, nothing)
    for item, look in zip(together, looks, strict=True):
        assert item == render(made, [look], nothing)[0]
        assert lines_of(item.content)[-look.mask.bit_count() :] == [
            c.body for n, c in enumerate(made.events) if look.mask >> n & 1
        ]


def test_names_are_fit_for_a_maildir():
    made = talk("one", "two")
    (item,) = render(made, [look_of(made, ALICE)], nothing)
    assert item.name == base_name(item.key, made.events[0].time)
    assert re.fullmatch(r"[0-9]+\.K[0-9a-f]{32}\.conversation-archiver", item.name)
    assert item.message_id == message_id(item.key) == parsed(item.content)["Message-ID"]
    assert (item.date, item.changed, item.seen) == (BASE * SECOND, (BASE + 1) * SECOND, True)


# Headers


def test_one_to_one_names_the_other_side():
    made = talk("one", "two")
    to_alice, to_bob = (parsed(one(made, look_of(made, who))) for who in (ALICE, BOB))
    assert to_alice["Subject"] == "Conversation with Bob"
    assert to_bob["Subject"] == "Conversation with Alice"
    assert to_alice["From"] == to_bob["From"] == "Alice <alice@example.org>"
    assert to_alice["To"] == to_bob["To"] == "Bob <bob@example.org>"
    assert to_alice["References"] == to_bob["References"]
    assert to_alice["Date"].datetime == moment(BASE * SECOND)
    assert to_alice["X-Archiver-Item-Class"] == "IPM.Note.Microsoft.Conversation"
    assert " ".join(to_alice["X-Archiver-Renderer"].split()) == RENDERER


def test_missed_by_the_silent_side():
    made = conversation([say(ALICE, "hello?", 0, **IM)])
    (item,) = render(made, [look_of(made, BOB, "zh-TW")], nothing)
    assert item.subject == "與 Alice 的未接交談"
    assert not item.seen
    assert parsed(item.content)["X-Archiver-Item-Class"] == "IPM.Note.Microsoft.Missed"


def test_a_room_is_named_by_its_topic_else_by_its_people():
    with_topic = conversation([say(ALICE, "x", 0, topic="Plans\r\nBcc: x@y"), say(BOB, "y", 1)])
    assert parsed(one(with_topic, whole(with_topic)))["Subject"] == "Plans Bcc: x@y"
    assert "Bcc" not in parsed(one(with_topic, whole(with_topic)))
    names = [f"p{n}@example.org" for n in range(12)]
    many = conversation([say(name, "x", n) for n, name in enumerate(names)])
    assert str(parsed(one(many, whole(many)))["Subject"]) == "Conversation with P0, P1, P2, P3, P4, P5 and 6 others"
    assert len(parsed(one(many, whole(many)))["To"].addresses) == 11


def test_a_topic_set_while_away_is_unknown():
    changed = [
        event("conversation.topic.changed", at, ALICE, topic=topic) for at, topic in ((1, "first"), (9, "second"))
    ]
    made = conversation([say(ALICE, "x", 0), changed[0], say(BOB, "y", 2), changed[1], say(BOB, "z", 10)])
    assert "second" not in str(parsed(one(made, Look(0b00111, Role.TOOK_PART, None, "en", "UTC")))["Subject"])
    assert str(parsed(one(made, Look(0b00111, Role.TOOK_PART, None, "en", "UTC")))["Subject"]) == "first"
    assert b"second" not in b"\n".join(lines_of(one(made, Look(0b00101, Role.TOOK_PART, None, "en", "UTC"))))


def test_later_parts_are_numbered():
    made = talk("one", "two")
    second = msgspec.structs.replace(made, part=2)
    assert parsed(one(second, look_of(made, ALICE)))["Subject"] == "Conversation with Bob (part 2)"
    assert parsed(one(second, look_of(made, ALICE)))["Thread-Topic"] == "Conversation with Bob"
    assert key(made, look_of(made, ALICE)) != key(second, look_of(made, ALICE))


def test_threads_follow_people_in_one_to_one_and_the_place_elsewhere():
    def root(made):
        return parsed(one(made, whole(made)))["References"]

    by_jid = talk("one", "two")
    elsewhere = conversation(
        [
            say(
                "sip:ALICE@example.org",
                "x",
                0,
                where="im",
                room="other",
                source="sip:x",
                present=["sip:bob@example.org"],
            ),
            say("sip:bob@example.org", "y", 1, where="im", room="other", source="sip:x"),
        ]
    )
    assert root(by_jid) == root(elsewhere)
    rooms = [conversation([say(ALICE, "x", n, room=room)]) for n, room in enumerate(("a", "a", "b"))]
    assert root(rooms[0]) == root(rooms[1]) != root(rooms[2])


def test_dates_carry_the_look_s_zone():
    made = talk("one", "two")
    date = parsed(one(made, look_of(made, ALICE, zone="Asia/Taipei")))["Date"]
    assert str(date).endswith("+0800")
    assert parsedate_to_datetime(str(date)) == datetime.fromtimestamp(BASE, tz=parsedate_to_datetime(str(date)).tzinfo)


def test_an_unknown_zone_parks_the_conversation():
    made = talk("one", "two")
    with pytest.raises(ItemError, match="Mars"):
        one(made, look_of(made, ALICE, zone="Mars/Base"))


# Hidden people and retracted words


def hidden_room() -> Conversation:
    wolf = {"address": "vera@corp.example.org/desk", "name": "wolf", "hidden": True}
    nobody = {"address": "max@corp.example.org", "hidden": True}
    lines = [
        say(ALICE, "hello", 0),
        event(
            "message.sent",
            1,
            actor=None,
            message={"id": "m1", "text": "hi, I am wolf", "to": [nobody, {"address": ALICE}]},
        ),
    ]
    body = json.loads(lines[1].body)
    body["data"]["actor"] = wolf
    body["data"]["stanza"] = {"from": "vera@corp.example.org/desk", "id": "vera@corp.example.org/desk-1"}
    body["data"]["conversation"]["participants"] = [wolf, nobody, {"address": ALICE, "name": "Alice"}]
    return conversation([lines[0], captured(json.dumps(body).encode())])


@pytest.mark.parametrize("owner", [ALICE, "vera@corp.example.org/desk"])
def test_hidden_addresses_are_in_no_item_not_even_their_own(owner):
    made = hidden_room()
    content = one(made, look_of(made, owner))
    everything = content + b"\n".join(lines_of(content)) + text_of(content).encode() + html_of(content).encode()
    assert b"vera" not in everything
    assert b"max@corp" not in everything
    (sent,) = [line for line in events_of(content) if line["data"].get("message", {}).get("id") == "m1"]
    assert sent["data"]["actor"] == {"address": "hidden(1)", "hidden": True, "name": "wolf"}
    assert sent["data"]["stanza"] == {"from": "hidden(1)", "id": "hidden(1)-1"}
    assert sent["data"]["message"]["to"][0] == {"address": "hidden(2)", "hidden": True}
    assert "wolf, only to hidden (2), Alice: hi, I am wolf" in text_of(content)


def test_a_hidden_name_that_is_the_address_is_veiled():
    body = json.loads(say("vera@corp.example.org", "hi", 1).body)
    body["data"]["actor"] = {"address": "vera@corp.example.org", "name": "Vera (vera@corp.example.org)", "hidden": True}
    made = conversation([say(ALICE, "hello", 0), captured(json.dumps(body).encode())])
    content = one(made, whole(made))
    assert b"vera@" not in content + b"\n".join(lines_of(content))
    assert "Vera (hidden(1)): hi" in text_of(content)


@pytest.mark.parametrize(
    "spelt", ["VERA@Corp.Example.ORG", "xmpp:Vera@corp.example.org/desk", "Vera%40corp.example.org"]
)
def test_a_hidden_address_is_veiled_however_it_is_spelt(spelt):
    wolf = {"address": "vera@corp.example.org", "name": "wolf", "hidden": True}
    file = {"name": f"from {spelt}.txt", "url": f"https://example.org/{spelt}/file", "size": 3}
    body = json.loads(say(ALICE, "hello", 1, attachments=[file], by=spelt).body)
    body["data"]["message"]["in_reply_to"] = f"{spelt}-7"
    lines = [say(BOB, "hi", 0), captured(json.dumps(body).encode()), event("participant.left", 2, subject=wolf)]
    content = one(made := conversation(lines), whole(made))
    everything = content + b"\n".join(lines_of(content)) + text_of(content).encode() + html_of(content).encode()
    assert b"vera" not in everything.lower()


@pytest.mark.parametrize("nick", ["group", "message", "1.0", "00", "image", "sent", "type", "present", "test"])
def test_a_hidden_nick_breaks_no_event(nick):
    body = json.loads(say(nick, f"{nick} said", 1, history="present").body)
    body["data"]["actor"] = {"address": nick, "hidden": True}
    file = {"name": "p", "media_type": "image/png", "sha256": "a" * 64}
    made = conversation([say(ALICE, "hello", 0, attachments=[file]), captured(json.dumps(body).encode())])
    for line in lines_of(one(made, whole(made))):
        assert msgspec.json.decode(line, type=Event).type in ("message.sent", ROSTER)


def test_a_hidden_name_that_looks_like_an_address_forges_none():
    lines = [say(ALICE, "hello", 0)]
    body = json.loads(say("x@corp.example.org", "hi", 1).body)
    body["data"]["actor"] = {"address": "x@corp.example.org", "name": ALICE, "hidden": True}
    made = conversation([*lines, captured(json.dumps(body).encode())])
    (spec,) = (a.addr_spec for a in parsed(one(made, whole(made)))["To"].addresses)
    assert spec.endswith(".invalid")


def test_the_digest_stands_for_what_was_retracted():
    made = talk("secret words", "what?")
    made = conversation([*made.events, retract(ALICE, "m0", 5, **IM)])
    hidden, shown = events_of(one(made, whole(made))), events_of(one(made, whole(made, show=True)))
    told = next(line for line in hidden if line["id"] == "m0")
    assert told["data"]["message"]["text"] == "sha256:" + hashlib.sha256(b"secret words").hexdigest()
    assert told["archiverredacted"] == "retracted"
    assert msgspec.convert(told, Event).data.message is not None
    assert next(line for line in shown if line["id"] == "m0")["data"]["message"]["text"] == "secret words"


def test_what_other_events_repeat_of_a_retracted_message_goes_too():
    repeats = {"message": {"id": "m0", "text": "secret words", "html": "<b>secret words</b>", "raw": ["secret words"]}}
    made = conversation(
        [
            *talk("secret words", "what?").events,
            event("message.reacted", 3, BOB, reaction="+", **repeats, **IM),
            event("message.pinned", 4, BOB, **repeats, **IM),
            event("message.retracted", 5, ALICE, reason="mistake", **repeats, **IM),
        ]
    )
    item = one(made, whole(made))
    assert b"secret" not in b"\n".join(lines_of(item)) and "secret" not in text_of(item)
    assert "+: " in text_of(item) and "mistake" in text_of(item)
    again, look = rebuild(item, RULES)
    assert one(again, look) == item
    assert b"secret" in b"\n".join(lines_of(one(made, whole(made, show=True))))


def test_a_retraction_nobody_in_the_view_saw_hides_nothing():
    made = conversation([*talk("secret words", "what?").events, retract(ALICE, "m0", 5, **IM)])
    assert "secret words" in text_of(one(made, Look(0b011, Role.TOOK_PART, None, "en", "UTC")))


def test_retracted_files_are_not_attached():
    digest = hashlib.sha256(b"pixels").hexdigest()
    file = {"name": "secret.png", "media_type": "image/png", "sha256": digest, "size": 6}
    made = conversation(
        [
            say(ALICE, "look", 0, id="m0", attachments=[file], **IM),
            say(BOB, "?", 1, **IM),
            retract(ALICE, "m0", 2, **IM),
        ]
    )
    content = one(made, whole(made), attachment=lambda _: b"pixels")
    assert base64.b64encode(b"pixels") not in content
    assert b"secret.png" not in content + b"\n".join(lines_of(content)) + text_of(content).encode()
    assert digest.encode() in b"\n".join(lines_of(content))
    shown = one(made, whole(made, show=True), attachment=lambda _: b"pixels")
    assert base64.b64encode(b"pixels") in shown


# Roster


def test_the_first_line_says_who_was_there_before():
    roster = Roster((Presence((ALICE,), "Alice"), Presence(("wolf@x.example", "wolf2@x.example"), None)), "Old topic")
    made = conversation([say(BOB, "hello", 0), say(ALICE, "hi", 1)], roster)
    first = events_of(one(made, whole(made)))[0]
    assert first["type"] == ROSTER
    assert first["data"]["conversation"] == {
        "id": "room",
        "kind": "group",
        "participants": [{"address": ALICE, "name": "Alice"}, {"address": "wolf2@x.example"}],
        "topic": "Old topic",
    }
    assert msgspec.convert(first, Event).time == moment(made.events[0].time)


def test_a_late_joiner_s_roster_is_who_they_found():
    made = conversation(
        [say(ALICE, "hello", 0), say(BOB, "hi", 1), event("participant.joined", 2, CAROL), say(CAROL, "x", 3)]
    )
    first = events_of(one(made, look_of(made, CAROL)))
    assert {who["address"] for who in first[0]["data"]["conversation"]["participants"]} == {ALICE, BOB}


def test_no_roster_line_where_nobody_was_there():
    made = talk("one", "two")
    assert ROSTER not in {line["type"] for line in events_of(one(made, whole(made)))}


# Files


def with_files(*files: dict[str, object]) -> Conversation:
    return conversation([say(ALICE, "look", 0, attachments=list(files), **IM), say(BOB, "ok", 1, **IM)])


def test_pictures_are_shown_in_place_and_files_attached_once():
    content = {hashlib.sha256(data).hexdigest(): data for data in (b"\x89PNG", b"a,b")}
    png, csv = content
    files = [
        {"name": "p.png", "media_type": "image/png", "sha256": png},
        {"name": "t.csv", "media_type": "text/csv", "sha256": csv},
        {"name": "again.csv", "media_type": "text/csv", "sha256": csv},
    ]
    made = with_files(*files)
    item = one(made, whole(made), attachment=content.get)
    parts = {p.get_filename(): p for p in parsed(item).walk() if p.get_filename()}
    assert set(parts) == {"p.png", "t.csv", "conversation.ndjson.gz"}
    assert parts["p.png"].get_payload(decode=True) == b"\x89PNG"
    assert parts["p.png"]["Content-ID"] == f"<{png}@conversation-archiver.invalid>"
    assert f'src="cid:{png}@conversation-archiver.invalid"' in html_of(item)
    assert parts["t.csv"].get_payload(decode=True) == b"a,b"
    assert list(parsed(item).iter_attachments())[-1].get_filename() == "conversation.ndjson.gz"


def test_content_is_never_repeated_in_the_events():
    made = with_files({"name": "p.png", "content": base64.b64encode(b"payload" * 9).decode(), "path": "/home/me/p.png"})
    item = one(made, whole(made))
    assert b"cGF5bG9hZ" not in b"\n".join(lines_of(item))
    assert b"/home/me" not in b"\n".join(lines_of(item))


def test_over_the_limit_a_file_is_named_with_its_digest():
    big = {"name": "big.bin", "media_type": "application/zip", "sha256": "a" * 64, "size": 6}
    made = with_files(big)
    item = one(made, whole(made), attachment=lambda _: b"123456", limits=Limits(file=5))
    assert f"file big.bin (application/zip, 6 bytes), SHA-256 {'a' * 64}, kept by the archive" in text_of(item)
    assert base64.b64encode(b"123456") not in item
    lying = with_files({**big, "size": 1})
    assert base64.b64encode(b"123456") not in one(
        lying, whole(lying), attachment=lambda _: b"123456", limits=Limits(file=5)
    )


def test_files_beyond_the_room_of_an_item_are_kept_too():
    made = with_files(*({"name": f"{n}.bin", "sha256": f"{n}" * 64} for n in range(3)))
    item = one(made, whole(made), attachment=lambda d: d.encode(), limits=Limits(files=130))
    assert text_of(item).count("kept by the archive") == 1
    assert len(list(parsed(item).iter_attachments())) == 3


@pytest.mark.parametrize(
    "kind", ["message/rfc822", "multipart/mixed", "x\r\nBcc: y", "text/html; charset=x", "TEXT/Plain"]
)
def test_media_types_from_outside(kind):
    made = with_files({"name": "x", "media_type": kind, "sha256": "b" * 64})
    item = one(made, whole(made), attachment=lambda _: b"From: x\n\nhello")
    assert not defects(item)
    (file, _) = parsed(item).iter_attachments()
    assert file.get_content_type() in ("application/octet-stream", "text/html", "text/plain")
    assert file.get_content_disposition() == "attachment"
    assert file.get_payload(decode=True) == b"From: x\n\nhello"


def test_a_digest_from_outside_is_checked_before_use():
    made = with_files({"name": "x", "sha256": "../../x\r\nBcc: y"})

    def never(digest):
        raise AssertionError(digest)

    assert not defects(one(made, whole(made), attachment=never))


# Parts


@pytest.mark.parametrize(
    ("text", "encoding"),
    [("plain", "7bit"), ("ünïcode", "8bit"), ("long " * 400, "quoted-printable"), ("é" * 600, "quoted-printable")],
)
def test_texts_go_in_the_plainest_encoding(text, encoding):
    made = conversation([event("message.sent", 0, ALICE, message={"id": "m", "text": text})])
    item = one(made, whole(made))
    (part,) = (p for p in parsed(item).walk() if p.get_content_type() == "text/plain")
    if encoding != "7bit":
        assert part["Content-Transfer-Encoding"] == encoding
    assert text.strip() in part.get_content()


def test_items_without_events_or_damaged_are_the_reader_s_mistake():
    with pytest.raises(UsageError):
        lines_of(b"Subject: x\n\nhello\n")
    made = talk("one", "two")
    content = one(made, whole(made))
    at = content.index(b'filename="conversation.ndjson.gz"\n\n') + 60
    with pytest.raises(UsageError):
        lines_of(content[:at] + b"\n" + content[content.index(b"\n--=_", at) :])


def test_every_view_of_a_conversation_can_be_asked_for_at_once():
    made = conversation(
        [say(who, "hi", n) for n, who in enumerate((ALICE, BOB, CAROL))] + [react(BOB, "m-0-" + ALICE, "x", 5)]
    )
    looks = [Look(v.mask, v.role, v.side, "en", "UTC") for v in views(made, lambda a: a, RULES)]
    assert len({item.key for item in render(made, looks, nothing)}) == len({look.mask for look in looks})


def test_golden_conversations_cover_edits():
    made = from_file("edit_and_retract")
    assert {c.event.type for c in made.events} >= {"message.edited", "message.retracted"}
    assert edit(ALICE, "m", "x", 0).event.type == "message.edited"


def nameless(at: float, name: str | None, text: str):
    line = json.loads(say(ALICE, text, at).body)
    line["data"]["actor"] = {"address": ALICE} if name is None else {"address": ALICE, "name": name}
    return captured(json.dumps(line).encode())


def test_a_name_from_outside_the_view_is_unknown():
    """Where an event names nobody, a name borne where the owner couldn't see it is not borrowed."""
    shared = [nameless(0, None, "hello"), say(BOB, "hi", 1)]
    known, unknown = conversation([*shared, nameless(2, "Al", "later")]), conversation(shared)
    look = Look(0b011, Role.TOOK_PART, None, "en", "UTC")
    assert one(known, look) == one(unknown, look)
    assert "Al: hello" in text_of(one(known, whole(known)))


def test_a_topic_named_again_by_a_visible_event_is_known():
    events = [say(ALICE, "x", 0, topic="first"), say(ALICE, "y", 1, topic="second"), say(BOB, "z", 2, topic="second")]
    made = conversation(events)
    assert parsed(one(made, Look(0b101, Role.TOOK_PART, None, "en", "UTC")))["Subject"] == "second"
