"""Microsoft Teams: a real administrator's export, answers of Graph, and what each kind of message becomes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from contracts.importer import FIXTURES, RECEIVED, ImporterContract
from hypothesis import given
from hypothesis import strategies as st

from archiver.events import Captured, Rejected
from archiver.importers import IMPORTERS, Options, Reading
from archiver.importers.recognising import document_at, recognise

TEAMS = IMPORTERS["teams"]
ADMIN = FIXTURES / "teams" / "admin-export"
(MESSAGES,) = ADMIN.glob("users/*/messages_*.json")
CHANNEL = Options(channel="19:c@thread.tacv2")
ANSWERS = tuple(
    FIXTURES / "teams" / "graph" / f"beta-{name}.json"
    for name in (
        *("channel-get-message-1", "channel-post-messagereply-1", "channel-post-messages-1", "channel-post-messages-2"),
        *("channel-post-messages-3", "channel-post-messages-4", "chatmessage-get-1", "chatmessage-list-1"),
        *("chatmessage-delta-3", "chatmessage-delta-4"),
    )
)
"""The other samples of the documentation have no message, or one id for two."""


class TestTeams(ImporterContract):
    importer = TEAMS
    samples = ((ADMIN, Options()), *((path, CHANNEL) for path in ANSWERS))


def read(path: Path, options: Options = CHANNEL) -> tuple[list[Captured], list[Rejected], Reading]:
    reading = Reading(RECEIVED)
    documents = recognise((path,)).found["teams"] if path.is_dir() else (document_at(path),)
    found = [each for document in documents for each in TEAMS.read(document, options, reading)]
    captured = [each for each in found if isinstance(each, Captured)]
    return captured, [each for each in found if isinstance(each, Rejected)], reading


@pytest.mark.counted("teams")
def test_a_real_export_is_read_whole_and_people_known_by_mail() -> None:
    raw = json.loads(MESSAGES.read_text("utf-8-sig"))
    said = [each for each in raw if each["MessageType"] == "message"]
    users = {
        each["Id"]: each["Mail"] for each in json.loads((ADMIN / "users" / "usersList.json").read_text("utf-8-sig"))
    }
    captured, rejected, reading = read(ADMIN)
    assert not rejected
    assert [each.event.data.message.id for each in captured if each.event.type == "message.sent"] == [
        each["Id"] for each in said
    ]  # type: ignore[union-attr]
    assert sum(reading.ignored.values()) == len(raw) - len(said)
    changes = [change for each in raw for change in each["MessageHistory"] or ()]
    reacted = [each.event.data.removed or False for each in captured if each.event.type == "message.reacted"]
    assert reacted == [change["Actions"] == "reactionRemoved" for change in changes], "none of them stands any more"
    known = {each.event.data.actor.address for each in captured if each.event.data.actor}
    assert known <= set(users.values()) | {each["From"]["User"]["Id"] for each in said}
    assert known & set(users.values())
    assert "🪪" in " ".join(each.event.data.message.text or "" for each in captured if each.event.data.message)


def test_the_list_of_people_holds_no_messages() -> None:
    """Whoever names the format has every file of a folder read."""
    captured, rejected, _ = read(ADMIN / "users" / "usersList.json")
    assert (captured, rejected) == ([], [])


def chat(tmp_path: Path, *messages: dict[str, Any]) -> Path:
    path = tmp_path / "m.json"
    made = [
        {
            "id": str(n),
            "createdDateTime": f"2024-01-01T00:00:{n:02}.5Z",
            "messageType": "message",
            "chatId": "19:g@thread.v2",
            "from": {"user": {"id": "u1", "displayName": "Ann"}},
            "body": {"contentType": "text", "content": f"m{n}"},
        }
        | each
        for n, each in enumerate(messages)
    ]
    path.write_text(json.dumps({"value": made}))
    return path


def test_edits_deletions_reactions_quotes_and_files(tmp_path: Path) -> None:
    path = chat(
        tmp_path,
        {"lastEditedDateTime": "2024-01-02T00:00:00Z"},
        {"deletedDateTime": "2024-01-02T00:00:00Z"},
        {
            "reactions": [
                {"reactionType": "like", "createdDateTime": "2024-01-03T00:00:00Z", "user": {"user": {"id": "u2"}}}
            ]
        },
        {"attachments": [{"id": "0", "contentType": "messageReference", "content": "{}"}]},
        {"attachments": [{"id": "f", "contentType": "reference", "name": "a.docx", "contentUrl": "https://x/a"}]},
        {
            "from": {"application": {"id": "bot", "displayName": "Bot"}},
            "attachments": [
                {
                    "contentType": "application/vnd.microsoft.card.hero",
                    "content": '{"title":"T","buttons":[{"title":"B"}]}',
                }
            ],
        },
        {
            "from": None,
            "messageType": "systemEventMessage",
            "eventDetail": {
                "@odata.type": "#microsoft.graph.membersAddedEventMessageDetail",
                "members": [{"id": "u3"}],
                "initiator": {"user": {"id": "u1"}},
            },
        },
        {
            "from": None,
            "messageType": "unknownFutureValue",
            "eventDetail": {"ChatRenamed": {"ChatDisplayName": "New"}, "CallEnded": None},
        },
        {
            "subject": "Subject",
            "replyToId": "0",
            "body": {"contentType": "html", "content": "<p>a<script>x</script></p>"},
        },
    )
    captured, rejected, reading = read(path)
    assert not rejected and not reading.ignored
    assert [each.event.type.partition(".")[2] for each in captured] == [
        *(
            "sent",
            "edited",
            "sent",
            "retracted",
            "sent",
            "reacted",
            "sent",
            "sent",
            "sent",
            "joined",
            "topic.changed",
            "sent",
        )
    ]
    messages = [each.event.data.message for each in captured]
    assert messages[2] is not None and messages[2].text == ""
    assert messages[6] is not None and messages[6].in_reply_to == "0"
    assert captured[7].event.data.attachments is not None
    assert messages[8] is not None and messages[8].text == "m5\nT\nB" and reading.nobody == {"bot"}
    assert captured[10].event.data.topic == "New"
    assert messages[11] is not None and messages[11].text == "Subject\na" and messages[11].thread == "0"


def test_a_reaction_that_stands_is_told_once_and_others_as_they_came_and_went(tmp_path: Path) -> None:
    def like(second: int) -> dict[str, Any]:
        who = {"user": {"id": "u2"}}
        return {"reactionType": "like", "createdDateTime": f"2024-01-03T00:00:{second:02}Z", "user": who}

    steps = (("reactionAdded", 1), ("reactionRemoved", 2), ("reactionAdded", 3))
    history = [{"actions": done, "reaction": like(second)} for done, second in steps]
    captured, _, _ = read(chat(tmp_path, {"reactions": [like(3)], "messageHistory": history}))
    told = [(each.event.time.second, bool(each.event.data.removed)) for each in captured[1:]]
    assert sorted(told) == [(1, False), (2, True), (3, False)]


def test_a_message_that_does_not_say_where_needs_a_channel(tmp_path: Path) -> None:
    path = chat(tmp_path, {"chatId": None}, {"channelIdentity": {"channelId": "19:x"}, "chatId": None})
    captured, rejected, _ = read(path, Options())
    assert [each.reason for each in rejected] == [
        "nothing says which chat or channel it stood in: say it with --channel"
    ]
    assert [each.event.data.conversation.id for each in captured] == ["19:x"]
    assert {each.event.data.conversation.id for each in read(path)[0]} == {"19:c@thread.tacv2", "19:x"}


def test_a_chat_of_two_has_both_and_a_meeting_is_a_conference(tmp_path: Path) -> None:
    path = chat(tmp_path, {"chatId": "19:u1_u2@unq.gbl.spaces"}, {"chatId": "19:meeting_x@thread.v2"})
    two, meeting = (each.event.data.conversation for each in read(path)[0])
    assert (two.kind, [each.address for each in two.participants or ()]) == ("im", ["u1", "u2"])
    assert meeting.kind == "conference"


KEYS = st.sampled_from(
    [
        "id",
        "Id",
        "createdDateTime",
        "messageType",
        "body",
        "content",
        "from",
        "user",
        "reactions",
        "attachments",
        "eventDetail",
        "chatId",
        "value",
    ]
)
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=12,
)


@given(st.lists(ANY, max_size=3) | ANY)
def test_any_json_is_events_or_rejected(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "teams.json"
    path.write_text(json.dumps(value))
    read(path)
