"""Mattermost's bulk export: real ones counted, members, threads, edits, files."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from contracts.importer import FIXTURES, RECEIVED, ImporterContract
from hypothesis import given
from hypothesis import strategies as st

from archiver.events import Captured, Rejected
from archiver.importers import IMPORTERS, Options, Reading
from archiver.importers.recognising import document_at

EXPORT = FIXTURES / "mattermost" / "export.json"
DIRECT = FIXTURES / "mattermost" / "direct"


class TestMattermost(ImporterContract):
    importer = IMPORTERS["mattermost"]
    samples = ((EXPORT, Options()), (DIRECT, Options(network="hogwarts")))


def read(path: Path) -> tuple[list[Captured], list[Rejected], Reading]:
    reading = Reading(RECEIVED)
    found = list(IMPORTERS["mattermost"].read(document_at(path), Options(), reading))
    captured = [each for each in found if isinstance(each, Captured)]
    return captured, [each for each in found if isinstance(each, Rejected)], reading


@pytest.mark.counted("mattermost")
@pytest.mark.parametrize("path", [EXPORT, DIRECT / "export.json"])
def test_every_post_of_a_real_export_is_there_once(path: Path) -> None:
    raw = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    roots = [each["post"] if each["type"] == "post" else each["direct_post"] for each in raw if "post" in each["type"]]
    posts = [post for root in roots for post in (root, *(root.get("replies") or ()))]
    captured, rejected, _ = read(path)
    types = Counter(each.event.type for each in captured)
    assert not rejected
    assert types["message.sent"] == len(posts)
    assert types["message.reacted"] == sum(len(post.get("reactions") or ()) for post in posts)
    texts = Counter(
        e.event.data.message.text for e in captured if e.event.type == "message.sent" and e.event.data.message
    )
    assert texts == Counter(post["message"] for post in posts)
    shared = [each for e in captured for each in e.event.data.attachments or ()]
    assert len(shared) == sum(len(post.get("attachments") or ()) for post in posts)
    assert all(each.sha256 for each in shared)


def export(tmp_path: Path, *posts: dict[str, Any]) -> Path:
    ann = {
        "username": "ann",
        "email": "ann@example.org",
        "first_name": "Ann",
        "teams": [{"name": "t", "channels": [{"name": "c"}]}],
    }
    head = [
        {"type": "version", "version": 1},
        {"type": "channel", "channel": {"team": "t", "name": "c", "display_name": "Café"}},
        {"type": "user", "user": ann},
    ]
    body = [
        {
            "type": "post",
            "post": {"team": "t", "channel": "c", "user": "ann", "message": f"m{n}", "create_at": 1_700_000_000_000}
            | each,
        }
        for n, each in enumerate(posts)
    ]
    path = tmp_path / "export.jsonl"
    path.write_text("".join(json.dumps(each, separators=(",", ":")) + "\n" for each in head + body))
    return path


def test_posts_of_one_millisecond_edits_and_threads(tmp_path: Path) -> None:
    path = export(
        tmp_path,
        {"edit_at": 1_700_000_009_000},
        {"replies": [{"user": "bob", "message": "r", "create_at": 1_700_000_001_000}]},
        {"attachments": [{"path": "../../../etc/passwd"}]},
    )
    captured, rejected, _ = read(path)
    assert not rejected
    first, edited, second, answer, third = (each.event for each in captured)
    assert len({each.event.id for each in captured}) == 5
    assert first.data.conversation.participants is not None and second.data.conversation.participants is None
    assert (first.data.conversation.topic, first.data.actor.address) == ("Café", "ann@example.org")  # type: ignore[union-attr]
    assert edited.type == "message.edited"
    assert answer.data.message is not None and answer.data.message.in_reply_to == second.data.message.id  # type: ignore[union-attr]
    assert third.data.attachments is not None and third.data.attachments[0].sha256 is None


def test_what_an_app_says_in_a_card_is_told(tmp_path: Path) -> None:
    card = {
        "pretext": "Deploy",
        "title": "#7",
        "title_link": "https://ci/7",
        "fields": [{"title": "Failed", "value": 3}],
    }
    path = export(
        tmp_path,
        {"message": "", "props": {"attachments": [card, {"fallback": "plain"}, 7]}},
        {"props": {"attachments": "odd", "from_webhook": "true"}},
        {"props": 7},
    )
    captured, rejected, _ = read(path)
    assert not rejected
    assert [each.event.data.message and each.event.data.message.text for each in captured] == [
        *("Deploy\n#7 (https://ci/7)\nFailed: 3\nplain", "m1", "m2")
    ]


def test_a_broken_line_is_rejected_alone(tmp_path: Path) -> None:
    path = export(tmp_path, {"create_at": "soon"}, {})
    path.write_bytes(path.read_bytes() + b"{broken\n")
    captured, rejected, _ = read(path)
    assert (len(captured), len(rejected)) == (1, 2)


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["user", "create_at", "message", "replies", "reactions", "attachments", "edit_at"]),
            st.none() | st.integers() | st.text(max_size=4) | st.lists(st.none(), max_size=2),
            max_size=5,
        ),
        max_size=3,
    )
)
def test_any_post_is_events_or_rejected(tmp_path_factory: pytest.TempPathFactory, posts: list[dict[str, Any]]) -> None:
    captured, rejected, _ = read(export(tmp_path_factory.getbasetemp(), *posts))
    assert len(captured) + len(rejected) >= len(posts)
