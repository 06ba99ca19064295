"""What a transcript says, as text and as HTML: every type of event, as far as its view shows it."""

from __future__ import annotations

import json
import time
from html.parser import HTMLParser

import pytest
from builders import edit, event, react, retract, say
from conversation_builder import (
    captured,
    conversation,
    from_file,
    html_of,
    look_of,
    made_up,
    render,
    text_of,
    whole,
    words,
)
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from archiver.rendering import wording
from archiver.rendering.entries import _HAPPENINGS, shortened
from archiver.rendering.markup import fragment, paragraph, plain
from archiver.rendering.transcript import _STYLE
from archiver.types import Conversation, Look, Role

ALICE, BOB, CAROL = "alice@example.org", "bob@example.org", "carol@example.org"


def rendered(made: Conversation, look: Look | None = None) -> bytes:
    (item,) = render(made, [look or whole(made)], lambda digest: None)
    return item.content


def told(*events, look: Look | None = None) -> list[str]:
    """The entries alone, without what stands above them."""
    return text_of(rendered(conversation(events), look)).partition(" ---\n")[2].splitlines()


def view(mask: int, show: bool = False) -> Look:
    return Look(mask, Role.TOOK_PART, None, "en", "UTC", show)


def test_messages_stand_at_their_second():
    assert told(say(ALICE, "hello", 0), say(BOB, "hi\nthere", 61)) == [
        "00:00:00 Alice: hello",
        "00:01:01 Bob: hi",
        "         there",
    ]


def test_text_cannot_pass_for_another_entry():
    lines = told(say(ALICE, "x\n00:00:01 Bob: I resign\r00:00:02 Bob: yes\u202800:00:03 Bob: so", 0))
    assert [line for line in lines if line.startswith("00:")] == ["00:00:00 Alice: x"]
    assert len(lines) == 4


def test_names_cannot_pass_for_another_entry():
    forged = json.loads(say(ALICE, "x", 0).body)
    forged["data"]["actor"]["name"] = "A\n00:00:01 Bob: I resign\u202e"
    assert told(captured(json.dumps(forged).encode())) == ["00:00:00 A 00:00:01 Bob: I resign: x"]


def test_actions():
    assert told(say(ALICE, "/me waves", 0), say(BOB, "/melon", 1)) == ["00:00:00 * Alice waves", "00:00:01 Bob: /melon"]


def test_edits_show_each_earlier_text_once():
    lines = told(
        say(ALICE, "first version", 0, id="m"),
        edit(ALICE, "m", "second version", 5),
        edit(BOB, "m", "third version", 9),
    )
    assert lines == [
        "00:00:00 Alice: third version",
        "    - edited 00:00:05 by Alice; before: first version",
        "    - edited 00:00:09 by Bob; before: second version",
    ]


def test_an_edit_back_says_no_text_twice():
    lines = told(say(ALICE, "the text", 0, id="m"), edit(ALICE, "m", "another", 5), edit(ALICE, "m", "the text", 9))
    assert "\n".join(lines).count("the text\n") == 1
    assert lines[1] == "    - edited 00:00:05 by Alice, the text as it stands above or below"
    assert lines[2] == "    - edited 00:00:09 by Alice; before: another"


def test_a_file_that_came_after_its_message_is_no_edit():
    linked = {"name": "a.txt", "url": "mxc://x/a"}
    came = linked | {"sha256": "0" * 64}
    lines = told(
        say("Alice", "here", 0, id="m", attachments=[linked]), edit("Alice", "m", "here", 0, attachments=[came])
    )
    assert lines == ["00:00:00 Alice: here", "    - file a.txt, its content is not at hand"]


def test_an_edit_on_another_day_names_it():
    lines = told(say(ALICE, "old", 0, id="m"), edit(ALICE, "m", "new", 100_000), say(BOB, "x", 1))
    assert lines[1] == "    - edited 2012-10-13 03:46:40 by Alice; before: old"
    assert not any("October 13" in line for line in lines)


def test_a_view_without_the_edit_has_the_text_as_it_was():
    events = [say(ALICE, "as it was", 0, id="m"), edit(ALICE, "m", "as it became", 5)]
    assert told(*events, look=view(0b01)) == ["00:00:00 Alice: as it was"]
    assert told(*events, look=view(0b10)) == [
        "00:00:05 Alice: as it became",
        "    - edits a message that is not shown here (m)",
    ]


def test_retractions():
    events = [
        say(ALICE, "the secret", 0, id="m"),
        edit(ALICE, "m", "no secret", 2),
        retract(BOB, "m", 5, reason="rude"),
    ]
    assert told(*events) == ["00:00:00 Alice: [message retracted]", "    - retracted 00:00:05 by Bob (reason: rude)"]
    assert told(*events, look=view(0b111, show=True)) == [
        "00:00:00 Alice: no secret",
        "    - edited 00:00:02 by Alice; before: the secret",
        "    - retracted 00:00:05 by Bob (reason: rude)",
    ]
    assert told(*events, look=view(0b100)) == [
        "00:00:05 * Bob retracted a message that is not shown here (m) (reason: rude)"
    ]
    assert told(*events, look=view(0b110))[0] == "00:00:02 Alice: [message retracted]"


def test_reactions_stand_under_their_message():
    events = [
        say(ALICE, "cake?", 0, id="m"),
        say(BOB, "yes", 1),
        react(BOB, "m", "👍", 2),
        react(CAROL, "m", "👍", 3),
        react(CAROL, "m", "👍", 4, removed=True),
        react(CAROL, "m", "🎂", 5),
    ]
    assert told(*events) == [
        "00:00:00 Alice: cake?",
        "    - 👍: Bob, Carol (taken back)",
        "    - 🎂: Carol",
        "00:00:01 Bob: yes",
    ]
    assert told(*events, look=view(0b10101)) == ["00:00:00 Alice: cake?", "    - 👍: Bob, Carol (taken back)"]
    assert told(*events, look=view(0b010100)) == [
        "00:00:02 * Bob reacted with 👍 to a message that is not shown here (m)",
        "00:00:04 * Carol took back 👍 from a message that is not shown here (m)",
    ]


def reply(actor: str, text: str, to: str, at: float):
    return event("message.sent", at, actor, message={"id": f"r{at}", "text": text, "in_reply_to": to})


def test_replies_quote_less_than_the_whole():
    parent = "Shall we move the release to Monday?"
    events = [say(ALICE, parent, 0, id="m"), reply(BOB, "No.", "m", 5), reply(CAROL, "?", "gone", 6)]
    assert told(*events) == [
        f"00:00:00 Alice: {parent}",
        "00:00:05 Bob: No.",
        "    - in reply to Alice, 00:00:00: “Shall we move the releas…”",
        "00:00:06 Carol: ?",
        "    - in reply to a message that is not shown here (gone)",
    ]
    assert told(*events, look=view(0b010))[1] == "    - in reply to a message that is not shown here (m)"
    gone = [*events, retract(ALICE, "m", 9)]
    assert told(*gone)[3] == "    - in reply to Alice, 00:00:00"


@given(words)
def test_quotes_are_never_the_whole_text(text):
    quote = shortened(text)
    assert not quote or (quote != text and len(quote) < len(" ".join(text.split())) and quote.endswith("…"))


@settings(max_examples=examples(50))
@given(made_up())
def test_every_visible_text_stands_exactly_once(made):
    """Told by markers in the texts, which quotes may repeat only with their ending."""
    text = text_of(rendered(made, whole(made, show=True)))
    for one in made.events:
        if one.event.type in ("message.sent", "message.edited"):
            assert one.event.data.message is not None
            said = plain(one.event.data.message.text or "").replace("\n", "\n" + " " * 9)
            same = [
                other
                for other in made.events
                if other is not one
                and other.event.data.message
                and other.event.data.message.text
                and plain(one.event.data.message.text or "") in plain(other.event.data.message.text)
            ]
            if not same:
                assert text.count(said) == 1


def test_whispers_say_to_whom():
    assert told(say(ALICE, "psst", 0, to=[BOB, CAROL])) == [
        "00:00:00 Alice, only to bob@example.org, carol@example.org: psst"
    ]


def test_comings_and_goings():
    assert told(
        event("participant.joined", 0, ALICE),
        event("participant.invited", 1, ALICE, subject={"address": BOB, "name": "Bob"}),
        event("participant.joined", 2, ALICE, subject={"address": CAROL, "name": "Carol"}),
        event("participant.renamed", 3, ALICE, subject={"address": "al@example.org", "name": "Al"}),
        event("participant.left", 4, "al@example.org", subject={"address": CAROL, "name": "Carol"}, reason="spam"),
        event("participant.left", 5, "al@example.org", reason="bye\nnow"),
        say(CAROL, "x", 6),
    )[:6] == [
        "00:00:00 * Alice joined",
        "00:00:01 * Bob was invited by Alice",
        "00:00:02 * Carol was added by Alice",
        "00:00:03 * Alice is now known as Al",
        "00:00:04 * Carol was removed by Al (reason: spam)",
        "00:00:05 * Al left (reason: bye now)",
    ]


@pytest.mark.parametrize(
    ("kind", "data", "line"),
    [
        ("conversation.started", {}, "Alice started the conversation"),
        ("call.started", {}, "Alice started a call"),
        ("call.ended", {}, "Alice ended the call"),
        ("screen.shared", {}, "Alice started to share the screen"),
        ("screen.unshared", {}, "Alice stopped sharing the screen"),
        ("slide.shown", {"title": "Page 1"}, "Alice showed a slide: Page 1"),
        ("whiteboard.saved", {"title": "w"}, "Alice saved the whiteboard: w"),
        ("hand.raised", {}, "Alice: unknown event hand.raised"),
        ("x\r\ny", {}, "Alice: unknown event x y"),
    ],
)
def test_what_else_happens(kind, data, line):
    assert told(event(kind, 0, ALICE, **data)) == [f"00:00:00 * {line}"]


def test_events_of_the_system_have_no_name():
    assert told(event("call.ended", 0), event("odd", 1)) == [
        "00:00:00 * The call ended",
        "00:00:01 * unknown event odd",
    ]


def test_topics_and_speech():
    topic = json.loads(event("conversation.topic.changed", 0, ALICE).body)
    topic["data"]["topic"] = "Plans"
    assert told(
        captured(json.dumps(topic).encode()),
        event("speech.transcribed", 1, ALICE, text="well\nthen", until="2012-10-12T00:00:05Z"),
    ) == ["00:00:00 * Alice changed the topic to: Plans", "00:00:01 Alice (speech): well", "         then"]


def test_polls_count_each_last_vote():
    text = text_of(rendered(from_file("poll")))
    assert text.partition(" ---\n")[2].splitlines() == [
        "09:00:00 * Alice opened a poll: Where do we eat?",
        "    - 1. Curry",
        "    - 2. Noodles: 1 (Bob)",
        "    - 3. Soup: 1 (Carol)",
        "09:00:10 * Bob voted “Curry”: Where do we eat?",
        "09:00:11 * Carol voted “Soup”: Where do we eat?",
        "09:00:15 * Bob voted “Noodles”: Where do we eat?",
        "09:01:00 * Alice closed the poll: Where do we eat?",
        "    - Noodles: 1",
        "    - Soup: 1",
    ]
    later = text_of(rendered(from_file("poll"), view(0b00010)))
    assert later.endswith("09:00:10 * Bob voted “0” in a poll not shown here\n")


SYSTEM = [
    event("message.sent", 0, id="m", message={"id": "m", "text": "one"}),
    event("message.edited", 1, message={"id": "m", "text": "two"}),
    event("message.edited", 2, message={"id": "m", "text": "one"}),
    event("message.edited", 3, message={"id": "m", "text": "two"}),
    event("message.retracted", 4, message={"id": "m"}),
    event("poll.opened", 5, poll={"id": "p", "options": ["A", "B"]}),
    event("poll.voted", 6, poll={"id": "p", "choice": 1}),
    event("poll.closed", 7, poll={"id": "p"}),
    event("conversation.topic.changed", 8, topic="tea"),
    event("speech.transcribed", 9, text="hello"),
]
ELSEWHERE = [
    event("message.retracted", 0, message={"id": "gone"}),
    event("message.reacted", 1, message={"id": "gone"}, reaction="+"),
    event("message.reacted", 2, message={"id": "gone"}, reaction="+", removed=True),
    event("poll.voted", 3, poll={"id": "gone", "choice": "A"}),
]


def test_what_nobody_did_is_told_without_a_person():
    show = view((1 << len(SYSTEM)) - 1, show=True)
    assert told(*SYSTEM, look=show) == [
        "00:00:00 system message: two",
        "    - edited 00:00:01; before: one",
        "    - edited 00:00:02, the text as it stands above or below",
        "    - edited 00:00:03, the text as it stands above or below",
        "    - retracted 00:00:04",
        "00:00:05 * A poll was opened",
        "    - 1. A",
        "    - 2. B: 1 (somebody)",
        "00:00:06 * A vote was cast for “B”",
        "00:00:07 * The poll was closed",
        "00:00:08 * The topic is now: tea",
        "00:00:09 speech: hello",
    ]
    assert told(*ELSEWHERE) == [
        "00:00:00 * A message that is not shown here was retracted (gone)",
        "00:00:01 * + was added to a message that is not shown here (gone)",
        "00:00:02 * + was taken back from a message that is not shown here (gone)",
        "00:00:03 * A vote was cast for “A” in a poll not shown here",
    ]


@pytest.mark.parametrize("locale", ["en", "zh_Hant"])
@pytest.mark.parametrize("kind", sorted(_HAPPENINGS))
def test_every_happening_without_an_actor_names_nobody(kind, locale):
    made = conversation([say(ALICE, "hi", 0), event(kind, 1, title="Plan", poll={"id": "p"})])
    line = text_of(rendered(made, whole(made, locale))).splitlines()[-1]
    assert wording.words(locale)("somebody") not in line
    assert wording.words(locale)(_HAPPENINGS[kind][0]) in line


def test_polls_without_questions_or_people_are_still_told():
    opened = event("poll.opened", 0, id="p", poll={"id": "p", "options": ["A", "B"]})
    vote = event("poll.voted", 1, BOB, poll={"id": "p", "choice": 1})
    assert told(opened, vote, event("poll.closed", 2, poll={"id": "p"})) == [
        "00:00:00 * A poll was opened",
        "    - 1. A",
        "    - 2. B: 1 (Bob)",
        "00:00:01 * Bob voted “B”",
        "00:00:02 * The poll was closed",
    ]
    asked = event("poll.opened", 0, poll={"id": "p", "question": "Tea?"})
    assert told(asked, event("poll.opened", 1, ALICE, poll={"id": "q"})) == [
        "00:00:00 * A poll was opened: Tea?",
        "00:00:01 * Alice opened a poll",
    ]


def test_a_replaced_time_is_shown_beside():
    body = json.loads(say(ALICE, "x", 0).body)
    body["archivertime"] = "2099-01-01T00:00:00Z"
    assert told(captured(json.dumps(body).encode()))[1] == "    - time given by the source: 2099-01-01T00:00:00Z"


# Above the entries


def test_people_with_times_counts_and_links():
    made = conversation(
        [
            event("participant.joined", 0, ALICE, source="xmpp:x"),
            event("participant.joined", 60, BOB, source="xmpp:x"),
            say(BOB, "hi", 61, source="xmpp:x"),
            say(BOB, "ho", 62, source="xmpp:x"),
            event("participant.left", 120, BOB, source="xmpp:x"),
            say(ALICE, "bye", 200, source="xmpp:x"),
        ]
    )
    text = text_of(rendered(made, look_of(made, ALICE)))
    assert "- Alice <xmpp:alice@example.org>: 00:00:00–00:03:20 (0:03:20), messages: 1\n" in text
    assert "- Bob <xmpp:bob@example.org>: 00:01:00–00:02:00 (0:01:00), messages: 2\n" in text
    clipped = text_of(rendered(made, look_of(made, BOB)))
    assert "- Alice <xmpp:alice@example.org>: 00:01:00–00:02:00 (0:01:00), messages: 0\n" in clipped


def test_who_came_twice_is_one_person():
    made = conversation(
        [
            say(ALICE, "hi", 0),
            event("participant.joined", 10, BOB),
            event("participant.left", 20, BOB),
            event("participant.joined", 30, BOB),
            say(ALICE, "again", 40),
        ]
    )
    assert "- Bob <mailto:bob@example.org>: 00:00:10–00:00:20, 00:00:30–00:00:40 (0:00:20), messages: 0" in text_of(
        rendered(made, look_of(made, ALICE))
    )


def test_a_late_edit_prolongs_nobody_s_stay():
    made = from_file("edit_and_retract")
    assert "- Bob <xmpp:bob@example.org>: 09:00:00–09:02:00 (0:02:00), messages: 1" in text_of(rendered(made))


def test_a_name_taken_later_is_unknown_before():
    made = conversation(
        [
            say(ALICE, "hi", 0),
            say(BOB, "ho", 1),
            event("participant.left", 2, BOB),
            event("participant.renamed", 3, ALICE, subject={"address": "al@example.org", "name": "Al"}),
            say("al@example.org", "x", 4),
        ]
    )
    assert b"al@example.org" not in rendered(made, look_of(made, BOB))
    assert b"al@example.org" in rendered(made, look_of(made, ALICE))


def test_days_and_offsets_break_the_entries():
    made = from_file("dst_night")
    breaks = [line for line in text_of(rendered(made, whole(made, zone="Europe/Berlin"))).splitlines() if "---" in line]
    assert breaks == [
        "--- Saturday, October 26, 2024 (UTC+02:00) ---",
        "--- Sunday, October 27, 2024 (UTC+02:00) ---",
        "--- Sunday, October 27, 2024 (UTC+01:00) ---",
    ]


# HTML


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))


ALLOWED = {"script", "style", "iframe", "object", "embed", "form", "input", "link", "base", "svg", "math"}


@settings(max_examples=examples(60))
@given(made_up(), words)
def test_html_holds_nothing_active_or_remote(made, extra):
    parser = Tags()
    html = html_of(rendered(made, whole(made, show=True)))
    head, style, rest = html.partition(_STYLE)
    assert style and "<style" not in head + rest
    parser.feed(head + rest + paragraph(extra) + (fragment(extra) or ""))
    for tag, attributes in parser.seen:
        assert tag not in ALLOWED
        assert not any(name.startswith("on") for name in attributes)
        assert tag != "img" or (attributes["src"] or "").startswith("cid:")
        assert "href" not in attributes or (attributes["href"] or "").split(":")[0].lower() in (
            *("http", "https", "mailto", "xmpp", "sip", "sips", "im"),
            "matrix",
        )


@pytest.mark.parametrize(
    ("dirty", "clean"),
    [
        ("<b>x</b><script>alert(1)</script>", "<b>x</b>"),
        ("<img src=x onerror=alert(1)>y", "y"),
        ('<a href="javascript:alert(1)">y</a>', '<a rel="noopener noreferrer nofollow">y</a>'),
        ('<a href="java&#x202e;script:alert(1)">y</a>', '<a rel="noopener noreferrer nofollow">y</a>'),
        ('<a href="java&#1;script:alert(1)">y</a>', '<a rel="noopener noreferrer nofollow">y</a>'),
        ('<a href="//example.org/x">y</a>', '<a rel="noopener noreferrer nofollow">y</a>'),
        ("<p style='background:url(//x)' class=a id=b>y</p>", "<p>y</p>"),
        ("<table><tr><td>y</td></tr></table></td></table>", "y"),
        ("<b>unclosed", "<b>unclosed</b>"),
        ("</td></tr></table></body>x", "x"),
        ("<!-- x -->", None),
        ("x&#x202e;y", "x\ufffdy"),
    ],
)
def test_html_from_outside(dirty, clean):
    assert fragment(dirty) == clean


@pytest.mark.parametrize(
    "hostile", ["<b>" * 20_000, "<p><b>" * 10_000, "<a href='x'>" * 5_000, "<" * 65_000, "&" * 65_000, "<b><p>" * 9_000]
)
def test_hostile_html_takes_no_time_to_speak_of(hostile):
    start = time.process_time()
    fragment(hostile)
    assert time.process_time() - start < 1


def test_html_too_long_gives_way_to_its_text():
    assert fragment("<b>x</b>" * 10_000) is None


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("see https://example.org/a?b=1&c=2.", ("https://example.org/a?b=1&amp;c=2", ".")),
        ("(https://example.org/a_(b))", ("https://example.org/a_(b)", ")")),
        ("https://example.org/x, or", ("https://example.org/x", ", or")),
        ("請看https://example.org/紀錄。", ("https://example.org/紀錄", "。")),
    ],
)
def test_urls_become_links(text, html):
    url, rest = html
    assert f'<a href="{url}" rel="noopener noreferrer nofollow">{url}</a>{rest}' in paragraph(text)


def test_what_is_no_url_stays_text():
    for text in ("javascript:alert(1)", "data:text/html,x", "12:30", "http://", "a:b", "file:///etc/passwd"):
        assert "<a" not in paragraph(text)


def test_spaces_and_lines_are_kept():
    assert paragraph("a  b\n\tc") == "a&nbsp; b<br>\n&nbsp; &nbsp; c"


@given(words)
def test_neutralised_text_has_only_two_controls(text):
    made = plain(text)
    assert all(c in "\n\t" or c.isprintable() or ord(c) > 0x9F for c in made)
    assert not set(made) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029")


def test_mixed_looks_of_one_conversation_keep_apart():
    made = from_file("reactions_and_replies")
    mask = st.integers(1, (1 << len(made.events)) - 1)

    @settings(max_examples=examples(60))
    @given(mask, mask)
    def alike(one, two):
        both = render(made, [view(one), view(two)], lambda digest: None)
        assert both[1] == render(made, [view(two)], lambda digest: None)[0]

    alike()


def test_people_who_share_a_name_count_each():
    made = [say(ALICE, "cake?", 0, id="m"), react("bob@a.example", "m", "👍", 1), react("bob@b.example", "m", "👍", 2)]
    assert told(*made)[1] == "    - 👍: Bob, Bob"
