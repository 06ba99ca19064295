"""Slack exports: real ones counted by hand, people, threads, files, and what each kind of message becomes."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from contracts.importer import FIXTURES, RECEIVED, ImporterContract
from hypothesis import given
from hypothesis import strategies as st

from archiver.events import Captured, Data, Rejected
from archiver.importers import IMPORTERS, Options, Reading
from archiver.importers.recognising import chosen
from archiver.importers.slack.cards import DEPTH, shown
from archiver.importers.slack.mrkdwn import plain

SLACK = IMPORTERS["slack"]
PLAN8 = FIXTURES / "slack" / "plan8"
DUMP = FIXTURES / "copyleft" / "slack" / "slackdump"
UNICODE = FIXTURES / "slack" / "unicode.zip"


class TestSlack(ImporterContract):
    importer = SLACK
    samples = ((PLAN8, Options()), (UNICODE, Options(network="acme")), (DUMP, Options()))


def read(path: Path, options: Options | None = None) -> tuple[list[Captured], list[Rejected], Reading]:
    reading = Reading(RECEIVED)
    (document,) = chosen(SLACK, (path,))
    found = list(SLACK.read(document, options or Options(), reading))
    captured = [each for each in found if isinstance(each, Captured)]
    return captured, [each for each in found if isinstance(each, Rejected)], reading


def raw_messages(path: Path) -> list[dict[str, Any]]:
    return [each for day in path.glob("*/*.json") for each in json.loads(day.read_text())]


@pytest.mark.counted("slack")
@pytest.mark.parametrize("path", [PLAN8, DUMP])
def test_every_message_of_a_real_export_is_there_once(path: Path) -> None:
    captured, rejected, reading = read(path)
    raw = raw_messages(path)
    types = Counter(each.event.type for each in captured)
    subtypes = Counter(each.get("subtype") for each in raw)
    assert not rejected
    assert types["participant.joined"] == subtypes["channel_join"]
    silent = subtypes["channel_join"] + sum(reading.ignored.values())
    assert types["message.sent"] == len(raw) - silent
    assert types["message.edited"] == sum("edited" in each for each in raw)
    assert types["message.retracted"] == subtypes["tombstone"]
    said = [each for each in raw if each.get("subtype") in (None, "thread_broadcast", "file_share")]
    reactions = [user for each in said for reaction in each.get("reactions", ()) for user in reaction["users"]]
    assert types["message.reacted"] == len(reactions)
    shared = sum(len(each.event.data.attachments or ()) for each in captured)
    assert shared == sum(len(each.get("files", ["file"])) for each in raw if "files" in each or "file" in each)
    assert sorted(e.event.id.partition("/")[2] for e in captured if e.event.type == "message.sent") == sorted(
        each["ts"] for each in raw if each.get("subtype") not in ("channel_join", "pinned_item")
    )


def test_people_are_known_by_mail_address_and_named_as_slack_names_them() -> None:
    captured, _, _ = read(PLAN8)
    users = {each["id"]: each for each in json.loads((PLAN8 / "users.json").read_text())}
    raw = {each["ts"]: each for each in raw_messages(PLAN8)}
    for each in captured:
        if each.event.type == "message.sent" and each.event.data.actor is not None:
            user = users[raw[each.event.data.message.id]["user"]]  # type: ignore[union-attr]
            assert each.event.data.actor.address == user["profile"].get("email", user["id"])
            assert each.event.source == f"slack:{user['team_id']}"


def test_a_channel_in_another_script_keeps_its_name() -> None:
    captured, _, _ = read(UNICODE)
    assert "#チャネル" in {each.event.data.conversation.topic for each in captured}


def workspace(root: Path, messages: list[Any], *, direct: bool = False) -> Path:
    root.mkdir(exist_ok=True)
    users = [
        {"id": "U1", "team_id": "T1", "name": "ann", "profile": {"email": "ann@example.org", "display_name": "Ann"}},
        {"id": "U2", "team_id": "T1", "name": "bob", "real_name": "Bob B."},
        {"id": "B1", "team_id": "T1", "name": "robot", "is_bot": True},
    ]
    room = {"id": "C1", "members": ["U1", "U2"]} | ({} if direct else {"name": "general"})
    (root / "users.json").write_text(json.dumps(users))
    (root / ("dms.json" if direct else "channels.json")).write_text(json.dumps([room]))
    folder = root / ("C1" if direct else "general")
    folder.mkdir(exist_ok=True)
    (folder / "2024-01-02.json").write_text(json.dumps(messages))
    return root


def line(n: int, user: str = "U1", **more: Any) -> dict[str, Any]:
    return {"type": "message", "ts": f"170418000{n}.000100", "user": user, "text": f"m{n}", **more}


def data_of(path: Path) -> list[Data]:
    return [each.event.data for each in read(path)[0]]


def test_a_folder_whose_name_was_spoilt_is_found_and_one_of_no_channel_said(tmp_path: Path) -> None:
    """Unpacked as if the zip were DOS'; and a channel that no list has."""
    workspace(tmp_path, [line(1)])
    name = "チャネル"
    (tmp_path / "general").rename(tmp_path / name.encode().decode("cp437"))
    (tmp_path / "channels.json").write_text(json.dumps([{"id": "C1", "name": name, "members": ["U1"]}]))
    (tmp_path / "gone").mkdir()
    (tmp_path / "gone" / "2024-01-03.json").write_text("[]")
    captured, (stray,), _ = read(tmp_path)
    assert [each.event.data.conversation.topic for each in captured] == [f"#{name}"]
    assert stray.position == str(tmp_path / "gone" / "2024-01-03.json")
    assert (stray.content, stray.reason) == (b"[]", "no list of the export has a channel for this folder")


def test_members_who_are_not_seen_joining_were_there(tmp_path: Path) -> None:
    joined = line(2, "U2", subtype="channel_join")
    captured, _, _ = read(workspace(tmp_path, [line(1), joined]))
    assert [each.address for each in captured[0].event.data.conversation.participants or ()] == ["ann@example.org"]
    assert captured[1].event.data.conversation.participants is None
    assert captured[1].event.type == "participant.joined"


def test_a_direct_conversation_has_both_in_every_event(tmp_path: Path) -> None:
    for data in data_of(workspace(tmp_path, [line(1), line(2, "U2")], direct=True)):
        assert data.conversation.kind == "im" and data.conversation.topic is None
        assert [each.address for each in data.conversation.participants or ()] == ["ann@example.org", "U2"]


def test_threads_edits_reactions_and_deletions(tmp_path: Path) -> None:
    root = workspace(
        tmp_path,
        [
            line(1, thread_ts="1704180001.000100", reactions=[{"name": "+1", "users": ["U1", "U2"], "count": 3}]),
            line(2, "U2", thread_ts="1704180001.000100", edited={"user": "U1", "ts": "1704180009.000000"}),
            line(3, subtype="tombstone", hidden=True, user="USLACKBOT"),
        ],
    )
    captured, rejected, reading = read(root)
    assert not rejected
    kinds = [each.event.type.rpartition(".")[2] for each in captured]
    assert kinds == ["sent", "reacted", "reacted", "sent", "edited", "sent", "retracted"]
    assert captured[1].event.data.reaction == ":+1:"
    reply = captured[3].event.data.message
    assert reply is not None and reply.in_reply_to == reply.thread == "1704180001.000100"
    assert captured[4].event.data.actor == captured[0].event.data.actor
    assert dict(reading.marks) == {"reacted": 2}


def test_what_an_app_attaches_and_what_is_forwarded_is_told(tmp_path: Path) -> None:
    card = {"pretext": "Deploy", "title": "#7", "title_link": "https://ci.example.org/7", "text": "by <@U2> &amp; co"}
    card["fields"] = [{"title": "State", "value": "red"}, {"value": "alone"}, "odd"]  # type: ignore[assignment]
    preview = {"from_url": "https://example.org", "title": "Example", "text": "a page"}
    rich = [
        {"type": "text", "text": "a < b & "},
        {"type": "user", "user_id": "U2"},
        {"type": "link", "url": "https://x.org", "text": "x > y"},
        {"type": "emoji", "name": "wave"},
    ]
    section = {"type": "rich_text_section", "elements": rich}
    blocks = [
        {"type": "header", "text": {"type": "plain_text", "text": "Title"}},
        {
            "type": "section",
            "text": {"type": "mrkdwn", "text": "*b* <@U1>"},
            "fields": [{"type": "mrkdwn", "text": "f"}],
        },
        {"type": "context", "elements": [{"type": "mrkdwn", "text": "by <@U1>"}, {"type": "image", "alt_text": "pic"}]},
        {"type": "rich_text", "elements": [section, {"type": "rich_text_list", "elements": [section, section]}]},
        {"type": "divider"},
    ]
    wide = "a < b & @Bob B.x > y (https://x.org):wave:"
    cases = (
        (
            line(1, bot_id="B1", text="", attachments=[card, preview, 7]),
            "Deploy\n#7 (https://ci.example.org/7)\nby @Bob B. & co\nState: red\nalone",
        ),
        (line(2, bot_id="B1", text="see", attachments=[{"fallback": "plain"}]), "see\nplain"),
        (line(3, attachments=[preview, {"title": "no app's"}]), "m3"),
        (
            line(4, text="look", attachments=[{"is_share": True, "from_url": "https://s", "text": "what Bob said"}]),
            "look\n[forwarded] what Bob said",
        ),
        (line(5, text="", blocks=blocks), f"Title\n*b* @Ann\nf\nby @Annpic\n{wide}\n{wide}\n{wide}"),
        (line(6, text="said", blocks=blocks), "said"),
        (line(7, bot_id="B1", text="", attachments=[{"blocks": blocks[:1]}]), "Title"),
        (line(8, text="", blocks={"x": 1}, attachments="odd"), ""),
    )
    told = [data.message and data.message.text for data in data_of(workspace(tmp_path, [each for each, _ in cases]))]
    assert told == [text for _, text in cases]


def test_bots_are_nobody_and_the_unknown_keep_their_names(tmp_path: Path) -> None:
    bot = {"ts": "1704180001.000100", "subtype": "bot_message", "bot_id": "B9", "username": "CI", "text": "built"}
    _, _, reading = read(workspace(tmp_path, [bot, line(2, "B1"), line(3, "U9", user_profile={"name": "gone"})]))
    assert reading.nobody == {"B1", "B9"}
    names = [(data.actor.address, data.actor.name) for data in data_of(tmp_path) if data.actor]
    assert names == [("B9", "CI"), ("B1", "robot"), ("U9", "gone")]


def test_files_are_taken_where_they_were_fetched_and_named_where_not(tmp_path: Path) -> None:
    files = [
        {"id": "F1", "name": "a.txt", "mimetype": "text/plain", "size": 1},
        {"id": "F2", "name": "b.txt", "url_private": "https://files.slack.com/b", "size": 5},
        {"id": "F3", "mode": "tombstone"},
        {"id": "../../..", "name": "../users.json"},
    ]
    root = workspace(tmp_path, [line(1, files=files)])
    (root / "__uploads" / "F1").mkdir(parents=True)
    (root / "__uploads" / "F1" / "a.txt").write_text("a")
    ((captured,), _, _) = read(root)
    taken, named, gone, _ = captured.event.data.attachments or ()
    assert (taken.name, taken.size, len(captured.attached)) == ("a.txt", 1, 1)
    assert (named.url, named.sha256, gone.name) == ("https://files.slack.com/b", None, "a file (deleted)")


def test_what_is_damaged_is_rejected_alone(tmp_path: Path) -> None:
    root = workspace(tmp_path, [line(1), "no message", {"ts": "never", "text": "x"}, line(2)])
    (root / "general" / "2024-01-03.json").write_text("[{")
    (root / "groups.json").write_text('[{"name": "no id"}]')
    captured, rejected, _ = read(root)
    assert [each.event.data.message.text for each in captured if each.event.data.message] == ["m1", "m2"]
    assert [each.position.rpartition("/")[2] for each in rejected] == [
        "2024-01-02.json: message 2",
        "2024-01-02.json: message 3",
        "2024-01-03.json",
        "groups.json: entry 1",
    ]


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<@U1> and <@U9|nick>", "@Ann and @nick"),
        ("<#C1|general> <!here> <!subteam^S1|@team> <!date^1^{date}|today>", "#general @here @team today"),
        ("<https://a.org|site> <https://a.org> <mailto:a@b.c|a@b.c>", "site (https://a.org) https://a.org a@b.c"),
        ("a &lt;b&gt; &amp;amp; `c`", "a <b> &amp; `c`"),
    ],
)
def test_markup(markup: str, text: str) -> None:
    assert plain(markup, {"U1": "Ann"}.get) == text  # type: ignore[arg-type]


@given(st.text("<>@#!|&;^a\n", max_size=40))
def test_any_markup_is_text(text: str) -> None:
    assert isinstance(plain(text, lambda name: name), str)


KEYS = st.sampled_from(["ts", "user", "text", "files", "edited", "reactions", "subtype", "thread_ts"])
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=12,
)


@given(ANY)
def test_any_json_is_events_or_rejected(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    root = workspace(tmp_path_factory.getbasetemp() / "any", [value, line(1)])
    captured, rejected, reading = read(root)
    assert captured and len(captured) + len(rejected) + sum(reading.ignored.values()) >= 2


TREES = st.recursive(
    st.none() | st.text(max_size=3) | st.integers(),
    lambda some: (
        st.lists(some, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "text", "elements", "fields", "blocks", "title", "is_share"]), some)
    ),
)


@given(TREES, TREES, st.booleans())
def test_any_attachment_is_text(attachments: Any, blocks: Any, is_app: bool) -> None:
    assert isinstance(shown("", attachments, blocks, is_app=is_app), str)


def test_blocks_in_blocks_end_somewhere() -> None:
    block: dict[str, Any] = {"type": "mrkdwn", "text": "in"}
    for _ in range(5_000):
        block = {"type": "x", "text": "a", "elements": [block]}
    assert shown("", None, [block], is_app=True) == "a" * DEPTH


def test_whole_groups_and_days_in_blocks_are_told() -> None:
    parts = [
        {"type": "broadcast", "range": "here"},
        {"type": "text", "text": " until "},
        {"type": "date", "timestamp": 1720710212, "format": "{date}", "fallback": "July 11th"},
    ]
    said = shown(
        "", None, [{"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": parts}]}], is_app=True
    )
    assert said == "<!here> until July 11th"
