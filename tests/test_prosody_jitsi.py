"""Conferences as Jitsi Meet holds them on a real Prosody: with clients that speak like its own. Jitsi Meet itself
isn't run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from servers.prosody import Prosody
from servers.xmpp import running
from xmpp_archiver import TOKEN, Archiver
from xmpp_clients import Person, body, people

from archiver.events import Event

pytestmark = [pytest.mark.server, pytest.mark.slow]

MUC = "conference.meet.localhost"
ROOM = f"standup@{MUC}"
HOSTS = f"""
VirtualHost "meet.localhost"
  authentication = "anonymous"
  modules_enabled = {{ "archiver" }}
VirtualHost "members.localhost"
  modules_enabled = {{ "archiver", "test_token" }}
VirtualHost "auth.meet.localhost"
  modules_enabled = {{ "archiver" }}
Component "{MUC}" "muc"
  modules_enabled = {{ "archiver" %s }}
  muc_room_locking = false muc_room_default_persistent = false muc_room_default_public_jids = false
"""
SERVICES = 'archiver_services = { "auth.meet.localhost" }'

# What Jitsi's token authentication leaves in the session of somebody with an account.
TOKENS = """
module:hook("resource-bind", function (event)
  local name = event.session.username;
  event.session.jitsi_meet_context_user = { id = name, name = name:upper(), email = name .. "@example.org" };
end);
"""
# What Jitsi's module for polls tells other modules: who asked is found by it, whatever the client says.
POLLS = """
local jid, json = require "util.jid", require "util.json";
module:hook("message/bare", function (event)
  local given = event.stanza:get_child_text("json-message", "http://jitsi.org/jitmeet");
  local data = given and json.decode(given);
  if not data or data.type ~= "polls" then return; end
  local room = prosody.hosts[module.host].modules.muc.get_room_from_jid(event.stanza.attr.to);
  local who = jid.resource(room:get_occupant_by_real_jid(event.stanza.attr.from).nick);
  local answers = {};
  if data.command == "new-poll" then
    for i, answer in ipairs(data.answers) do answers[i] = { key = i, name = answer.name }; end
    module:fire_event("poll-created", { event = event, room = room,
      poll = { pollId = data.pollId, senderId = who, question = data.question, answers = answers } });
  else
    for i, answer in ipairs(data.answers) do answers[i] = { key = i, value = answer, name = "" }; end
    module:fire_event("answer-poll", { event = event, room = room,
      pollId = data.pollId, voterId = who, answers = answers });
  end
  return true;
end, 10);
"""


@pytest.fixture
def archiver(tmp_path: Path) -> Iterator[Archiver]:
    end = Archiver(tmp_path)
    end.start()
    yield end
    end.stop()


@pytest.fixture(params=["", ', "polls"'], ids=["polls in the room", "polls by a module"])
def server(request: Any, tmp_path: Path, archiver: Archiver) -> Iterator[Prosody]:
    folder = tmp_path / "prosody"
    folder.mkdir()
    plugins = {"test_token": TOKENS, "polls": POLLS}
    settings = {"more": SERVICES, "components": HOSTS % request.param, "plugins": plugins}
    with running(Prosody(folder, archiver.port, TOKEN, **settings)) as server:
        yield server


def tell(person: Person, **message: Any) -> None:
    given = json.dumps(message).replace("&", "&amp;").replace("<", "&lt;")
    person.say(ROOM, f"<json-message xmlns='http://jitsi.org/jitmeet'>{given}</json-message>", "groupchat")


def short(event: Event) -> tuple[str, str | None]:
    return event.type, event.data.actor.name if event.data.actor else None


def test_a_meeting(server: Prosody, archiver: Archiver) -> None:
    with people(server.port) as them:
        focus = them.log_in("focus", host="auth.meet.localhost")
        focus.join(ROOM, "focus")
        guest = them.log_in("", host="meet.localhost")
        guest.join(ROOM, "a1b2c3d4", "Gast Eins")
        member = them.log_in("mia", host="members.localhost")
        member.join(ROOM, "e5f6a7b8", "Mia (mobile)")
        archiver.until(3, server)
        sent = guest.say(ROOM, body("hello"), "groupchat")
        archiver.until(4, server)
        react = "<reactions xmlns='urn:xmpp:reactions:0' id='{}'><reaction>{}</reaction></reactions>"
        member.say(ROOM, react.format(sent, "👍"), "groupchat")
        archiver.until(5, server)
        member.say(ROOM, react.format(sent, "🎉"), "groupchat")
        archiver.until(6, server)
        member.say(ROOM, body("hello yourself") + f"<reply to='{sent}'/>", "groupchat")
        archiver.until(7, server)
        member.say(f"{ROOM}/a1b2c3d4", body("only for you"))
        archiver.until(8, server)
        if "polls" in server.components.partition("Component")[2]:
            answers = [{"name": "yes"}, {"name": "no"}]
            tell(guest, type="polls", command="new-poll", pollId="p1", question="Lunch?", answers=answers)
            archiver.until(9, server)
            tell(member, type="polls", command="answer-poll", pollId="p1", answers=[True, False])
        else:
            tell(guest, type="new-poll", pollId="p1", senderId="x", question="Lunch?", answers=["yes", "no"])
            archiver.until(9, server)
            tell(member, type="answer-poll", pollId="p1", voterId="x", voterName="?", answers=[True, False])
        archiver.until(10, server)
        guest.leave(ROOM, "a1b2c3d4")
        archiver.until(11, server)
        member.drop()
        archiver.until(12, server)
        focus.leave(ROOM, "focus")
        told = archiver.until(13, server)
    guests, members = "Gast Eins", "Mia (mobile)"
    assert [short(each) for each in told] == [
        ("conversation.started", None),
        ("participant.joined", guests),
        ("participant.joined", members),
        ("message.sent", guests),
        ("message.reacted", members),
        ("message.reacted", members),
        ("message.sent", members),
        ("message.sent", members),
        ("poll.opened", guests),
        ("poll.voted", members),
        ("participant.left", guests),
        ("participant.left", members),
        ("conversation.ended", None),
    ]
    assert {each.data.conversation.kind for each in told} == {"conference"}
    (session,) = {each.data.conversation.session for each in told}
    assert session
    by_name = {each.data.actor.name: each.data.actor for each in told if each.data.actor}
    assert by_name[members].address == "mia@example.org", "as her token says"
    assert by_name[guests].address.endswith("@meet.localhost") and by_name[guests].hidden
    first, second, reply, whisper, poll, vote = told[4:10]
    assert first.data.message and first.data.message.id == sent and not second.data.removed
    assert reply.data.message and reply.data.message.in_reply_to == sent
    assert whisper.data.message and whisper.data.message.to
    assert [each.name for each in whisper.data.message.to] == [guests]
    assert poll.data.poll and vote.data.poll and poll.data.poll.id == vote.data.poll.id == "p1"
    assert (poll.data.poll.question, poll.data.poll.options) == ("Lunch?", ("yes", "no"))
    assert vote.data.poll.choice == ("yes",)


def test_two_meetings_in_one_room_are_two(server: Prosody, archiver: Archiver) -> None:
    for number in range(2):
        with people(server.port) as them:
            guest = them.log_in("", host="meet.localhost")
            guest.join(ROOM, "a1b2c3d4", "Gast")
            guest.say(ROOM, body(f"meeting {number}"), "groupchat")
            archiver.until(5 * number + 3, server)
            guest.leave(ROOM, "a1b2c3d4")
            archiver.until(5 * number + 5, server)
    sessions = [each.data.conversation.session for each in archiver.until(10, server)]
    assert len(set(sessions)) == 2 and len(set(sessions[:5])) == 1


def test_words_hide_behind_no_poll(tmp_path: Path, archiver: Archiver) -> None:
    folder = tmp_path / "prosody"
    folder.mkdir()
    with running(Prosody(folder, archiver.port, TOKEN, components=HOSTS % "", plugins={"test_token": ""})) as server:
        with people(server.port) as them:
            guest = them.log_in("", host="meet.localhost")
            guest.join(ROOM, "a1b2c3d4", "Gast")
            poll = json.dumps({"type": "new-poll", "pollId": "p", "question": "?", "answers": ["a", {"b": 1}, 3]})
            for inner in (poll, "[" * 50_000, "{", '{"type":"answer-poll","pollId":"p","answers":{"0":true}}'):
                space = "xmlns='http://jitsi.org/jitmeet'"
                guest.say(ROOM, f"{body('words')}<json-message {space}>{inner}</json-message>", "groupchat")
            guest.settle()
            told = archiver.until(7, server)
        assert [each.type for each in told].count("message.sent") == 4
        assert "not captured" not in server.logged()
