"""Webhooks of products: the source contract, who is believed, and what each delivery means."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import time
import tracemalloc
from base64 import b64encode
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
from contracts.source import SourceContract, Spooled
from graph_builder import graph, notified
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from archiver.config import parse
from archiver.config.sources.posted import PRODUCTS
from archiver.daemon.sources import sources_of
from archiver.events import SECOND, Captured, Event, Participant, Rejected
from archiver.importers import IMPORTERS, Options, Reading
from archiver.importers.recognising import document_at
from archiver.importers.slack import message as slack_lines
from archiver.sources.credentials import Secret
from archiver.sources.http.replies import Refusal
from archiver.sources.listening import Address
from archiver.sources.webhooks.bigbluebutton import BigBlueButton
from archiver.sources.webhooks.mattermost import Mattermost
from archiver.sources.webhooks.product import Delivery
from archiver.sources.webhooks.rocketchat import RocketChat
from archiver.sources.webhooks.slack import Slack
from archiver.sources.webhooks.source import PATH, WebhookSource
from archiver.sources.webhooks.zulip import Zulip

FIXTURES = Path(__file__).parent.parent / "fixtures" / "webhooks"
SECRET = "a-secret-that-nobody-guesses"
OLD = "an-older-one-that-nobody-guesses"
AT = 1_700_000_200
"""Seconds: when deliveries come, a little after what they tell of."""

Headers = dict[str, str]


class Answer:
    def __init__(self, reply: http.client.HTTPResponse) -> None:
        self.status = reply.status
        self.headers = reply.headers
        self.body = reply.read()


def post(source: WebhookSource, body: bytes, headers: Headers, query: str = "") -> Answer:
    client = http.client.HTTPConnection("127.0.0.1", source.address.port, timeout=20)
    try:
        client.request("POST", PATH + query, body, headers)
        return Answer(client.getresponse())
    finally:
        client.close()


def keep(folder: Path) -> tuple[Secret, ...]:
    (folder / "new").write_text(SECRET + "\n")
    (folder / "old").write_text(OLD)
    return Secret("new", file=str(folder / "new")), Secret("old", file=str(folder / "old"))


class WebhookContract(SourceContract):
    """Subclasses give `product`, and `delivered` for a message of this text: body, headers and query."""

    product: Callable[..., Any]

    def make(self, tmp_path: Any) -> WebhookSource:
        return WebhookSource("test", Address(), self.product, keep(tmp_path), blocking=True)

    def make_taken(self, tmp_path: Any, source: Any) -> WebhookSource:
        return WebhookSource("other", Address(port=source.address.port), self.product, keep(tmp_path))

    def delivered(self, text: str) -> tuple[bytes, Headers, str]:
        raise NotImplementedError

    def send(self, source: Any, text: str) -> bool:
        return post(source, *self.delivered(text)).status == 200

    def test_what_nobody_signed_is_refused_counted_and_told_once(self, source: Any, spooled: Spooled) -> None:
        body, _, _ = self.delivered("private")
        with capture_logs() as logs:
            for _ in range(20):
                assert post(source, body, {}).status == 403
        assert spooled.records == [] and source.signs().refused == {"forged": 20}
        told = json.dumps(logs, default=str)
        assert (
            len([each for each in logs if each["event"] == "request_refused"]) == 1
            and "private" not in told
            and SECRET not in told
        )

    def test_what_was_changed_on_its_way_is_refused(self, source: Any, spooled: Spooled) -> None:
        body, headers, query = self.delivered("one")
        assert post(source, body.replace(b"one", b"two"), headers, query).status == 403
        assert post(source, body, headers, query).status == 200
        assert spooled.texts == ["one"]


def event_of(captured: Captured | Rejected) -> Event:
    assert isinstance(captured, Captured) and not captured.cleaned
    return captured.event


# --- Slack -------------------------------------------------------------------------------------------------------


def signed(body: bytes, at: float, secret: str = SECRET) -> Headers:
    signature = hmac.new(secret.encode(), b"v0:%d:%b" % (at, body), hashlib.sha256).hexdigest()
    return {"X-Slack-Request-Timestamp": str(int(at)), "X-Slack-Signature": f"v0={signature}"}


def small(headers: Headers) -> Headers:
    return {name.lower(): value for name, value in headers.items()}


def slack(name: str, network: str = "") -> list[Event]:
    body = (FIXTURES / "slack" / f"{name}.json").read_bytes()
    delivery = Delivery("", small(signed(body, AT)), body, AT * 1_000_000)
    product = Slack((SECRET.encode(),), network)
    assert product.admit(delivery) is None
    return [event_of(each) for each in product.read(delivery)]


class TestSlackSource(WebhookContract):
    product = Slack

    def delivered(self, text: str) -> tuple[bytes, Headers, str]:
        body = (FIXTURES / "slack" / "message.json").read_bytes().replace(b"Hello <@U2> &amp; all", text.encode())
        return body, signed(body, time.time()), ""

    def test_the_older_secret_is_good_too(self, source: Any, spooled: Spooled) -> None:
        body, _, _ = self.delivered("one")
        assert post(source, body, signed(body, time.time(), OLD)).status == 200

    @pytest.mark.parametrize("off", [-301, 302])
    def test_a_replay_is_refused(self, source: Any, spooled: Spooled, off: int) -> None:
        body, _, _ = self.delivered("one")
        assert post(source, body, signed(body, time.time() + off)).status == 403
        assert spooled.records == [] and source.signs().refused == {"replayed": 1}

    def test_the_challenge_is_answered_to_slack_only(self, source: Any, spooled: Spooled) -> None:
        body = (FIXTURES / "slack" / "challenge.json").read_bytes()
        assert post(source, body, {}).status == 403
        answer = post(source, body, signed(body, time.time()))
        assert (answer.status, answer.body) == (200, b"3eZbrw1aB")
        assert answer.headers["Content-Type"].startswith("text/plain")
        assert spooled.records == []

    @pytest.mark.parametrize(
        "body",
        [
            b"{broken",
            b"\xff",
            b'{"type":"event_callback","event":{"type":"message","ts":"yesterday","channel":"C1","text":"x"}}',
            b'{"type":"event_callback","event":{"type":"message","ts":"1.0","text":"no channel"}}',
            b"[" * 100_000,
        ],
    )
    def test_what_slack_signed_and_nobody_reads_is_kept_whole(self, source: Any, spooled: Spooled, body: bytes) -> None:
        assert post(source, body, signed(body, time.time())).status == 200
        (kept,) = spooled.records
        assert isinstance(kept, Rejected) and kept.content == body and kept.source

    def test_other_places_are_told_where_to_post(self, source: Any) -> None:
        client = http.client.HTTPConnection("127.0.0.1", source.address.port, timeout=20)
        client.request("GET", PATH)
        assert client.getresponse().status == 405


class TestSlack:
    def test_a_message(self) -> None:
        (event,) = slack("message")
        assert (event.source, event.id, event.type) == ("slack:T0001", "C024/1700000000.000100", "message.sent")
        assert event.data.actor and event.data.actor.address == "U1"
        assert event.data.message and event.data.message.text == "Hello @U2 & all"
        assert event.data.conversation.kind == "group"

    def test_an_edit_a_deletion_and_reactions_name_their_message(self) -> None:
        told = [each for name in ("changed", "deleted", "reacted", "reaction_removed") for each in slack(name)]
        assert [each.type for each in told] == ["message.edited", "message.retracted"] + ["message.reacted"] * 2
        assert {each.data.message.id for each in told if each.data.message} == {"1700000000.000100"}
        assert told[0].data.message and told[0].data.message.text == "Hello all"
        assert [each.data.removed for each in told[2:]] == [False, True]
        assert len({each.id for each in told}) == 4

    def test_what_nobody_did_or_is_told_twice_is_left(self) -> None:
        assert slack("unfolded") == slack("member_joined") == []
        assert [each.type for each in slack("joined")] == ["participant.joined"]

    def test_a_file_in_a_direct_message(self) -> None:
        (event,) = slack("file", "acme")
        assert (event.source, event.data.conversation.kind) == ("slack:acme", "im")
        assert event.data.attachments and event.data.attachments[0].name == "plan.pdf"
        assert event.data.message and event.data.message.thread == "1700000000.000100"

    def test_an_export_calls_them_by_the_same_ids(self) -> None:
        """The line that a later export has of the same message, edited and reacted to."""
        line = msgspec.convert(
            {
                "ts": "1700000000.000100",
                "user": "U1",
                "text": "Hello all",
                "edited": {"user": "U1", "ts": "1700000060.000000"},
                "reactions": [{"name": "thumbsup", "users": ["U2"]}],
            },
            slack_lines.Line,
        )
        live = [each for name in ("message", "changed", "reacted") for each in slack(name)]
        room = slack_lines.Room(
            "slack:T0001", "C024", live[0].data.conversation, lambda who, _: Participant(address=who), str
        )
        exported = list(slack_lines.events(line, room, ()) or ())
        assert [(each.source, each.id, each.type) for each in exported] == [
            (each.source, each.id, each.type) for each in live
        ]

    @given(st.binary(max_size=200), st.text(max_size=80), st.text(max_size=80))
    def test_nothing_unsigned_is_believed(self, body: bytes, stamp: str, signature: str) -> None:
        headers = {"x-slack-request-timestamp": stamp, "x-slack-signature": signature}
        with pytest.raises(Refusal):
            Slack((SECRET.encode(),)).admit(Delivery("", headers, body, AT * 1_000_000))


# --- BigBlueButton -----------------------------------------------------------------------------------------------

URL = "https://archive.example.org/webhook"
MEETING = (FIXTURES / "bigbluebutton" / "meeting.ndjson").read_text().splitlines()


RECORDING = """<recording meeting_id="abc-1700000000000" bbb-origin-server-name="bbb.example.org">
<meeting id="abc-1700000000000" externalId="weekly" name="Weekly round"/>
<event timestamp="1700000001001" module="PARTICIPANT" eventname="ParticipantJoinEvent">
<userId>w_1</userId><externalUserId>ann@a.example</externalUserId><name>Ann</name></event>
<event timestamp="1700000002004" module="CHAT" eventname="PublicChatEvent"><messageId>1700000002000-x1</messageId>
<senderId>w_1</senderId><sender>Ann</sender><message><![CDATA[hello]]></message></event>
</recording>"""


def callback(*events: str, domain: str = "bbb.example.org") -> bytes:
    return urlencode({"domain": domain, "event": f"[{','.join(events)}]", "timestamp": AT * 1000}).encode()


def checksum(body: bytes, algorithm: str = "sha256", url: str = URL, secret: str = SECRET) -> str:
    return "?checksum=" + hashlib.new(algorithm, url.encode() + body + secret.encode()).hexdigest()


class TestBigBlueButtonSource(WebhookContract):
    product = partial(BigBlueButton, url=URL)

    def delivered(self, text: str) -> tuple[bytes, Headers, str]:
        body = callback(MEETING[3].replace("hello", text))
        return body, {}, checksum(body)

    @pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha384", "sha512"])
    def test_a_server_chooses_how_it_signs(self, source: Any, spooled: Spooled, algorithm: str) -> None:
        body = callback(MEETING[3])
        assert post(source, body, {}, checksum(body, algorithm)).status == 200
        assert post(source, body, {}, checksum(body, algorithm, secret="wrong")).status == 403
        assert post(source, body, {}, checksum(body, algorithm, url=URL + "s")).status == 403
        assert spooled.texts == ["hello"]

    def test_the_secret_may_come_as_a_token(self, source: Any) -> None:
        body = callback(MEETING[3])
        assert post(source, body, {"Authorization": f"Bearer {SECRET}"}).status == 200
        assert post(source, body, {"Authorization": "Bearer "}).status == 403

    def test_odd_queries_are_forgeries(self, source: Any) -> None:
        for query in ("?" + "&".join(["a=b"] * 99), "?checksum=", "?checksum=" + "%C3%A9" * 64):
            assert post(source, callback(MEETING[3]), {}, query).status == 403

    def test_one_that_nobody_reads_takes_no_other_with_it(self, source: Any, spooled: Spooled) -> None:
        body = callback(MEETING[3], '{"data":7}', MEETING[3].replace('"ts":1700000002010', '"ts":99999999999999999'))
        assert post(source, body, {}, checksum(body)).status == 200
        assert spooled.texts == ["hello"]
        assert [each.source for each in spooled.records if isinstance(each, Rejected)] == ["bbb:bbb.example.org"] * 2

    @pytest.mark.parametrize("body", [b"", b"event=%ff", b"event={", b"nothing=1", b"&".join([b"a=b"] * 99)])
    def test_what_is_no_callback_is_kept_whole(self, source: Any, spooled: Spooled, body: bytes) -> None:
        assert post(source, body, {}, checksum(body)).status == 200
        (kept,) = spooled.records
        assert isinstance(kept, Rejected) and kept.content == body


class TestBigBlueButton:
    def meeting(self, network: str = "") -> list[Event]:
        body = callback(*MEETING)
        product = BigBlueButton((SECRET.encode(),), network, URL)
        return [event_of(each) for each in product.read(Delivery("", {}, body, AT * 1_000_000))]

    def test_a_meeting_from_its_start_to_its_end(self) -> None:
        told = self.meeting()
        assert [each.type for each in told] == [
            "conversation.started",
            "participant.joined",
            "message.sent",
            "poll.opened",
            "poll.voted",
            "screen.shared",
            "screen.unshared",
            "participant.left",
            "conversation.ended",
        ]
        assert {each.source for each in told} == {"bbb:bbb.example.org"}
        assert {(each.data.conversation.id, each.data.conversation.session) for each in told} == {
            ("weekly", "abc-1700000000000")
        }
        assert len({each.id for each in told}) == len(told)

    def test_who_writes_is_who_came(self) -> None:
        assert self.meeting()[2].data.actor == Participant(address="ann@a.example", name="Ann")

    def test_private_chat_and_who_voted_stay_so(self) -> None:
        told = self.meeting("Host.Example")
        assert "between us" not in repr(told) and told[0].source == "bbb:host.example"
        assert told[4].data.actor is None and told[4].data.poll and told[4].data.poll.choice == (1,)

    def test_the_same_again_is_the_same(self) -> None:
        assert self.meeting() == self.meeting()

    def test_a_message_is_the_same_in_its_recording(self, tmp_path: Path) -> None:
        """Which says a little later that it was said."""
        path = tmp_path / "events.xml"
        path.write_text(RECORDING)
        found = IMPORTERS["bigbluebutton"].read(document_at(path), Options(), Reading(AT * SECOND))
        (recorded,) = [event_of(each) for each in found if event_of(each).type == "message.sent"]
        (live,) = [each for each in self.meeting() if each.type == "message.sent"]
        assert _compared(live) == _compared(recorded)


def _compared(event: Event) -> tuple[object, ...]:
    """What decides whether two events of one identity are the same one."""
    data = event.data
    message = data.message and (data.message.id, data.message.text, data.message.html, data.message.to)
    session = data.conversation.session
    address = data.actor and data.actor.address
    return event.source, event.id, event.type, event.time, data.conversation.id, session, address, message


# --- Microsoft Graph ---------------------------------------------------------------------------------------------


class TestGraphSource(WebhookContract):
    def make(self, tmp_path: Any) -> WebhookSource:
        return WebhookSource("test", Address(), partial(graph, tmp_path), keep(tmp_path), blocking=True)

    def make_taken(self, tmp_path: Any, source: Any) -> WebhookSource:
        return WebhookSource("b", Address(port=source.address.port), partial(graph, tmp_path), keep(tmp_path))

    def delivered(self, text: str) -> tuple[bytes, Headers, str]:
        return notified(text), {}, ""

    def test_what_nobody_signed_is_refused_counted_and_told_once(self, source: Any, spooled: Spooled) -> None:
        for body in (notified().replace(SECRET.encode(), b"wrong"), b'{"value":[]}', b"{", b"[" * 100_000):
            assert post(source, body, {}).status == 403
        assert spooled.records == [] and source.signs().refused == {"forged": 4}

    def test_what_was_changed_on_its_way_is_refused(self, source: Any, spooled: Spooled) -> None:
        """Its clientState is right: it is kept for a person, and is no event."""
        told = json.loads(notified())
        told["value"][0]["encryptedContent"]["dataSignature"] = b64encode(bytes(32)).decode()
        assert post(source, json.dumps(told).encode(), {}).status == 200
        assert [type(each) for each in spooled.records] == [Rejected]

    def test_the_handshake_is_said_back(self, source: Any) -> None:
        answer = post(source, b"", {}, "?validationToken=a%20b%3C")
        assert (answer.status, answer.body) == (200, b"a b<")
        assert answer.headers["Content-Type"].startswith("text/plain")

    def test_a_message_and_its_change(self, source: Any, spooled: Spooled) -> None:
        changed = notified("hullo", "updated", lastEditedDateTime="2023-11-14T22:14:20Z")
        assert post(source, notified(), {}).status == post(source, changed, {}).status == 200
        told = [event_of(each) for each in spooled.records]
        assert [(each.source, each.id, each.type) for each in told] == [
            ("teams:teams", "19:abc@thread.v2/1700000000000", "message.sent"),
            ("teams:teams", "19:abc@thread.v2/1700000000000/edited", "message.edited"),
        ]

    @pytest.mark.parametrize(
        ("happened", "gaps"), [("reauthorizationRequired", 0), ("subscriptionRemoved", 1), ("missed", 1), ("new", 0)]
    )
    def test_what_is_told_of_the_subscription_is_logged_and_a_loss_counted(
        self, source: Any, spooled: Spooled, happened: str, gaps: int
    ) -> None:
        told = {"lifecycleEvent": happened, "subscriptionId": "s1", "clientState": SECRET, "tenantId": "t"}
        with capture_logs() as logs:
            assert post(source, json.dumps({"value": [told]}).encode(), {}).status == 200
        (said,) = [each for each in logs if each["event"] == "subscription_needs_care"]
        assert (said["what"], said["subscription"]) == (happened, "s1") and bool(said["next"]) == (happened != "new")
        assert spooled.records == [] and source.signs().gaps == gaps
        assert post(source, json.dumps({"value": [told | {"clientState": "x"}]}).encode(), {}).status == 403
        assert source.signs().gaps == gaps, "a stranger counts nothing"


# --- those with a token ------------------------------------------------------------------------------------------


def posted(kind: str, text: str = "hello", **more: Any) -> bytes:
    fields = json.loads((FIXTURES / kind / "post.json").read_text().replace("hello", text))
    return json.dumps(fields | more).encode()


class TokenContract(WebhookContract):
    def delivered(self, text: str) -> tuple[bytes, Headers, str]:
        return posted(self.product.kind, text), {}, ""  # type: ignore[attr-defined]

    def test_what_nobody_signed_is_refused_counted_and_told_once(self, source: Any, spooled: Spooled) -> None:
        kind = self.product.kind  # type: ignore[attr-defined]
        with capture_logs() as logs:
            for body in (
                posted(kind, token="wrong"),
                posted(kind, token=None),
                posted(kind, token=[SECRET]),
                b"",
                b"{",
            ):
                assert post(source, body, {}).status == 403
            assert post(source, b"[" * 100_000, {}).status == post(source, b'{"a":' * 100_000, {}).status == 403
        assert spooled.records == [] and source.signs().refused == {"forged": 7}
        assert len([each for each in logs if each["event"] == "request_refused"]) == 1

    def test_what_was_changed_on_its_way_is_refused(self, source: Any, spooled: Spooled) -> None:
        """A token can't tell; that of another is refused."""
        assert post(source, posted(self.product.kind, token=OLD), {}).status == 200  # type: ignore[attr-defined]
        assert post(source, posted(self.product.kind, token=OLD[1:]), {}).status == 403  # type: ignore[attr-defined]

    def test_what_cannot_be_read_is_kept_without_its_token(self, source: Any, spooled: Spooled) -> None:
        body = json.dumps({"token": SECRET, "text": "half"}).encode()
        assert post(source, body, {}).status == 200
        (kept,) = spooled.records
        assert isinstance(kept, Rejected) and b"half" in kept.content and SECRET.encode() not in kept.content


class TestMattermostSource(TokenContract):
    product = Mattermost

    def test_a_form_is_the_same(self, source: Any, spooled: Spooled) -> None:
        fields = json.loads(posted("mattermost"))
        assert post(source, urlencode(fields).encode(), {}).status == 200
        assert post(source, posted("mattermost", timestamp=1_700_000_000), {}).status == 200
        form, seconds = map(event_of, spooled.records)
        assert (form.source, form.id) == ("mattermost:mattermost", "c1/p1") == (seconds.source, seconds.id)
        assert form.data.message == seconds.data.message and seconds.time == form.time.replace(microsecond=0)


class TestRocketChatSource(TokenContract):
    product = RocketChat

    def test_a_message_and_its_edit(self, source: Any, spooled: Spooled) -> None:
        assert post(source, posted("rocketchat"), {}).status == 200
        assert post(source, posted("rocketchat", "hullo", isEdited=True), {}).status == 200
        told = [event_of(each) for each in spooled.records]
        assert [(each.id, each.type) for each in told] == [
            ("GENERAL/m1", "message.sent"),
            ("GENERAL/m1/edited", "message.edited"),
        ]


class TestZulipSource(TokenContract):
    product = Zulip

    def test_a_topic_and_people(self, source: Any, spooled: Spooled) -> None:
        answer = post(source, posted("zulip"), {})
        assert json.loads(answer.body) == {"response_not_required": True}
        message = json.loads(posted("zulip"))["message"]
        people = [{"id": 26, "email": "ann@a.example"}, {"id": 9, "email": "bob@b.example"}]
        assert post(source, posted("zulip", message=message | {"display_recipient": people}), {}).status == 200
        topic, direct = map(event_of, spooled.records)
        assert (topic.source, topic.id) == ("zulip:zulip", "5/lunch/112")
        assert (direct.id, direct.data.conversation.kind) == ("9 26/112", "im")


# --- strangers ---------------------------------------------------------------------------------------------------

LARGE = 4 << 20
"""Bytes that a delivery may have by default."""


@pytest.mark.parametrize("many", [b"{},", b"[],", b'{"clientState":"x"},', b'"",', b"1,", b'{"a":{}},'])
@pytest.mark.parametrize("product", PRODUCTS)
def test_what_a_stranger_sends_costs_little(product: str, many: bytes, tmp_path: Path) -> None:
    """Of millions of values nothing is made before it is known who sent them."""
    known = {"mattermost": Mattermost, "rocketchat": RocketChat, "zulip": Zulip, "slack": Slack}
    others = {"bigbluebutton": partial(BigBlueButton, url=URL), "graph": partial(graph, tmp_path)}
    made: Any = (known | others)[product]((SECRET.encode(),))
    body = b'{"token":"x","value":[' + many * (LARGE // len(many)) + b"1]}"
    tracemalloc.start()
    try:
        with pytest.raises(Refusal):
            made.admit(Delivery("", {}, body, 0))
        assert tracemalloc.get_traced_memory()[1] < 2 * LARGE
    finally:
        tracemalloc.stop()


# --- configuration -----------------------------------------------------------------------------------------------


def table(product: str, tmp_path: Path, **more: Any) -> dict[str, Any]:
    (tmp_path / "secret").write_text(SECRET)
    secret = {"name": "it", "file": str(tmp_path / "secret")}
    return (
        {
            "type": "webhook",
            "name": product,
            "product": product,
            "secret": [secret],
            "listen": "127.0.0.1:0",
            "url": URL,
        }
        | {"decryption_key": str(tmp_path / "graph.pem")}
        | more
    )


@pytest.mark.parametrize("product", PRODUCTS)
def test_what_is_configured_is_started(product: str, tmp_path: Path) -> None:
    graph(tmp_path, ())
    source = sources_of(parse({"source": [table(product, tmp_path)]}), tmp_path)[f"webhook:{product}"]()
    source.probe()
    source.start(Spooled())
    assert source.name == f"webhook:{product}" and source.describe().endswith(PATH)
    source.stop()
