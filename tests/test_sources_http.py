"""Events over HTTP: the source contract, what is answered to whom, and what bad clients can't do."""

from __future__ import annotations

import gzip
import http.client
import json
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trustme
import zstandard
from contracts.source import SourceContract, Spooled, eventually
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from structlog.testing import capture_logs
from tls_strangers import ALWAYS, ASKED, Stranger
from tls_strangers import files as tls_files

from archiver.events import Captured, Outcome, Rejected
from archiver.exceptions import EnvironmentFault, TryLater, UsageError
from archiver.sources import handshake, serving
from archiver.sources.cloudevents import BATCH, LINES, ONE
from archiver.sources.credentials import digest_of
from archiver.sources.http import receiving, reception
from archiver.sources.http.receiving import Limits
from archiver.sources.http.senders import Known, Sender, Senders
from archiver.sources.http.source import HttpSource, Token
from archiver.sources.listening import Address
from archiver.sources.tls import Tls

SECRET = "a-secret-that-nobody-guesses"
OTHER = "another-secret-nobody-guesses"
TOKENS = (
    Token("gateway", sources=("test:*",), sha256=digest_of(SECRET).hex()),
    Token("prosody", sources=("xmpp:chat.example.org",), sha256=digest_of(OTHER).hex()),
)


def event(text: str = "hello", *, id: str = "", source: str = "test:one", **more: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "source": source,
        "id": id or text,
        "type": "message.sent",
        "time": "2012-10-12T00:00:00Z",
        "data": {
            "conversation": {"id": "room", "kind": "group"},
            "actor": {"address": "ann@a.example"},
            "message": {"id": id or text, "text": text},
        },
    } | more


class Answer:
    def __init__(self, reply: http.client.HTTPResponse) -> None:
        self.status = reply.status
        self.headers = reply.headers
        self.body = reply.read()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def outcomes(self) -> list[str]:
        return [each["outcome"] for each in self.json["results"]]


def ask(source: HttpSource, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
    client = http.client.HTTPConnection("127.0.0.1", source.address.port, timeout=20)
    try:
        client.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        return Answer(client.getresponse())
    finally:
        client.close()


def post(source: HttpSource, body: Any, media_type: str = ONE, *, token: str = SECRET, **headers: str) -> Answer:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return ask(source, "POST", "/events", content, Content_Type=media_type, Authorization=f"Bearer {token}", **headers)


class TestContract(SourceContract):
    def make(self, tmp_path: Any) -> HttpSource:
        return HttpSource("test", Address(), TOKENS)

    def make_taken(self, tmp_path: Any, source: Any) -> HttpSource:
        return HttpSource("other", Address(port=source.address.port), TOKENS)

    def send(self, source: Any, text: str) -> bool:
        return post(source, event(text)).status == 200


class TestContractOnASocketFile(SourceContract):
    def make(self, tmp_path: Any) -> HttpSource:
        return HttpSource("test", Address(path=tmp_path / "http"), TOKENS)

    def make_taken(self, tmp_path: Any, source: Any) -> HttpSource:
        return HttpSource("other", Address(path=tmp_path / "http"), TOKENS)

    def send(self, source: Any, text: str) -> bool:
        client = http.client.HTTPConnection("localhost")
        client.sock = socket.socket(socket.AF_UNIX)
        client.sock.settimeout(20)
        client.sock.connect(str(source.address.path))
        headers = {"Content-Type": ONE, "Authorization": f"Bearer {SECRET}"}
        client.request("POST", "/events", json.dumps(event(text)), headers)
        status = client.getresponse().status
        client.close()
        return status == 200

    def test_the_file_goes_with_the_source(self, source: Any, spooled: Spooled) -> None:
        assert source.address.path.stat().st_mode & 0o777 == 0o660
        source.stop()
        assert not source.address.path.exists()


Start = Callable[..., HttpSource]


@pytest.fixture
def spooled() -> Spooled:
    return Spooled()


@pytest.fixture
def start(spooled: Spooled) -> Iterator[Start]:
    running: list[HttpSource] = []

    def begin(accept: Any = None, *, tokens: tuple[Token, ...] = TOKENS, **settings: Any) -> HttpSource:
        source = HttpSource("test", Address(), tokens, **settings)
        source.start(accept or spooled)
        running.append(source)
        return source

    yield begin
    spooled.gate.set()
    for source in running:
        source.stop()


class TestTaking:
    def test_one_event(self, start: Start, spooled: Spooled) -> None:
        answer = post(start(), event("hello"))
        assert answer.status == 200
        assert answer.json == {
            "outcomes": {"accepted": 1},
            "results": [{"outcome": "accepted", "source": "test:one", "id": "hello"}],
        }
        assert spooled.texts == ["hello"]

    @pytest.mark.parametrize("coding", ["", "identity", "gzip", "zstd"])
    def test_a_batch_and_lines_packed_or_not(self, start: Start, spooled: Spooled, coding: str) -> None:
        source = start()
        packed = {"gzip": gzip.compress, "zstd": zstandard.compress}.get(coding, bytes)
        headers = {"Content_Encoding": coding} if coding else {}
        whole = json.dumps([event("one"), event("two")]).encode()
        assert post(source, packed(whole), BATCH, **headers).outcomes == ["accepted"] * 2
        lines = b"".join(json.dumps(event(text)).encode() + b"\n" for text in ("three", "four"))
        assert post(source, packed(lines), LINES, **headers).outcomes == ["accepted"] * 2
        assert spooled.texts == ["one", "two", "three", "four"]

    def test_media_types_may_have_parameters(self, start: Start) -> None:
        assert post(start(), event(), f"{ONE.upper()}; charset=utf-8").status == 200

    def test_nothing_is_nothing(self, start: Start) -> None:
        source = start()
        assert post(source, [], BATCH).json == {"outcomes": {}, "results": []}
        assert post(source, b"", LINES).status == 200

    def test_what_is_no_event_is_quarantined_whole_and_the_rest_taken(self, start: Start, spooled: Spooled) -> None:
        broken = event("no time")
        del broken["time"]
        answer = post(start(), [event("one"), broken, 7, event("two")], BATCH)
        assert answer.status == 200
        assert answer.outcomes == ["accepted", "quarantined", "quarantined", "accepted"]
        assert "time" in answer.json["results"][1]["reason"]
        first, second = (each for each in spooled.records if isinstance(each, Rejected))
        assert json.loads(first.content) == broken and second.content == b"7"
        assert (first.position, first.source) == ("from gateway:2", "http:test")

    def test_a_single_one_that_is_no_event_too(self, start: Start, spooled: Spooled) -> None:
        assert post(start(), {"hello": "world"}).outcomes == ["quarantined"]
        assert len(spooled.records) == 1

    def test_what_is_mended_says_so(self, start: Start) -> None:
        (result,) = post(start(), event("nul \0 inside", id="n")).json["results"]
        assert result["reason"] == "NUL"

    def test_what_became_of_each_is_told(self, start: Start) -> None:
        told = [Outcome.DUPLICATE, Outcome.CONFLICT, Outcome.EXCLUDED, Outcome.CLEANED]
        answer = post(start(lambda batch: told), [event(str(n)) for n in range(4)], BATCH)
        assert answer.status == 200 and answer.outcomes == ["duplicate", "conflict", "excluded", "cleaned"]

    def test_in_critical_mode_only_what_is_blocked_comes_again(self, start: Start, spooled: Spooled) -> None:
        answer = post(start(blocking=True), [event("one"), event("blocked"), event("two")], BATCH)
        assert answer.status == 503 and int(answer.headers["Retry-After"]) > 0
        assert answer.outcomes == ["accepted", "blocked", "accepted"]
        assert answer.json["results"][1]["reason"]
        assert spooled.texts == ["one", "two"]

    def test_a_large_batch_comes_in_slices_each_told_in_its_place(self, start: Start) -> None:
        sizes: list[int] = []

        def accept(batch: Any) -> Any:
            sizes.append(len(batch))
            return [Outcome.DUPLICATE if each.event.id.endswith("7") else Outcome.ACCEPTED for each in batch]

        answer = post(start(accept), [event(str(n)) for n in range(1234)], BATCH)
        assert [each["id"] for each in answer.json["results"]] == [str(n) for n in range(1234)]
        assert all((each["outcome"] == "duplicate") == each["id"].endswith("7") for each in answer.json["results"])
        assert sizes == [500, 500, 234]

    def test_many_clients_share_commits(self, start: Start, spooled: Spooled) -> None:
        source = start()
        spooled.gate.clear()
        answers: list[int] = []
        texts = [f"text {number}" for number in range(40)]
        senders = [
            threading.Thread(target=lambda text=text: answers.append(post(source, event(text)).status))
            for text in texts
        ]
        for sender in senders:
            sender.start()
        assert spooled.entered.wait(10)
        assert answers == []
        spooled.gate.set()
        for sender in senders:
            sender.join(30)
        assert answers == [200] * 40 and sorted(spooled.texts) == sorted(texts)
        assert len(spooled.batches) < 40

    def test_a_full_spool_is_told_to_whoever_asks_whether_it_is_ready(self, start: Start, spooled: Spooled) -> None:
        source = start()
        assert ask(source, "GET", "/ready").status == 200
        spooled.fault = TryLater("the disk is full: /var/secret")
        answer = post(source, event())
        assert answer.status == 503 and answer.headers["Retry-After"] == "5"
        assert b"/var/secret" not in answer.body
        assert ask(source, "GET", "/ready").status == 503 and ask(source, "GET", "/health").status == 200
        spooled.fault = None
        assert post(source, event()).status == 200
        assert ask(source, "GET", "/ready").status == 200

    def test_it_is_ready_again_by_itself(self, start: Start, spooled: Spooled, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whoever isn't ready is sent nothing, and so would never find out that it is."""
        monkeypatch.setattr(reception, "UNREADY", 0.3)
        source = start()
        spooled.fault = TryLater("full")
        assert post(source, event()).status == 503 and ask(source, "GET", "/ready").status == 503
        time.sleep(0.4)
        assert ask(source, "GET", "/ready").status == 200

    def test_a_bug_is_no_answer_for_good_and_tells_nothing(self, start: Start, spooled: Spooled) -> None:
        spooled.fault = KeyError("a secret")
        answer = post(start(), event())
        assert answer.status == 503 and b"secret" not in answer.body


class TestWho:
    @pytest.mark.parametrize(
        "header",
        [
            "",
            "Bearer",
            "Bearer ",
            f"Basic {SECRET}",
            f"Bearer {SECRET}x",
            f"Bearer {SECRET[:-1]}",
            f"Bearer {SECRET},{OTHER}",
            f"Bearer {digest_of(SECRET).hex()}",
            "Bearer ü",
            "Bearer " + "x" * 10_000,
        ],
    )
    def test_who_is_not_known_is_not_listened_to(self, start: Start, spooled: Spooled, header: str) -> None:
        source = start()
        body = json.dumps(event()).encode()
        answer = ask(source, "POST", "/events", body, Content_Type=ONE, Authorization=header)
        assert answer.status == 401 and answer.headers["WWW-Authenticate"] == "Bearer"
        assert answer.json["title"] == "Unauthorized"
        assert source.signs().refused == {"not authorized": 1}
        assert spooled.records == []

    def test_the_schemes_name_is_written_as_one_likes(self, start: Start) -> None:
        body = json.dumps(event()).encode()
        header = f"bearer   {SECRET}"
        assert ask(start(), "POST", "/events", body, Content_Type=ONE, Authorization=header).status == 200

    def test_anothers_source_can_not_be_forged(self, start: Start, spooled: Spooled) -> None:
        """Not in one of many, and not in what can't be read; and nothing of such a request is taken."""
        source = start()
        forged = event("two", source="xmpp:chat.example.org")
        unreadable = json.dumps({"source": "xmpp:chat.example.org", "id": "x"}).encode()
        answers = [
            post(source, [event("one"), forged], BATCH),
            post(source, event("one"), token=OTHER),
            post(source, unreadable, LINES),
            post(source, event("one", source="http:test")),
        ]
        assert [answer.status for answer in answers] == [403] * 4
        assert "event 2" in answers[0].json["detail"]
        assert source.signs().refused == {"another's source": 4}
        assert spooled.records == []
        assert post(source, forged, token=OTHER).status == 200

    def test_a_sender_has_its_rate_and_others_go_on(self, start: Start) -> None:
        slow = Token("slow", sources=("test:*",), rate=1, sha256=digest_of(SECRET).hex())
        source = start(tokens=(slow, TOKENS[1]))
        assert post(source, [event(str(n)) for n in range(10)], BATCH).status == 200
        answer = post(source, event("more"))
        assert answer.status == 429 and 5 <= int(answer.headers["Retry-After"]) <= 11
        assert post(source, event(source="xmpp:chat.example.org"), token=OTHER).status == 200

    @given(st.integers(1, 50), st.lists(st.tuples(st.integers(0, 200), st.floats(0, 3)), max_size=30))
    def test_no_more_than_the_rate_and_one_request_over_it(self, rate: int, asked: list[tuple[int, float]]) -> None:
        now = 0.0
        known = Known(Sender("x", b"", ("*",), rate), lambda: now)
        taken = last = 0
        for events, pause in asked:
            now += pause
            if not known.wait():
                known.spend(events)
                taken, last = taken + events, events
        assert taken - last <= rate * (now + 1) + 1e-6

    @given(st.integers(1, 50), st.integers(1, 10_000))
    def test_who_waits_as_told_may_go_on(self, rate: int, events: int) -> None:
        now = 0.0
        known = Known(Sender("x", b"", ("*",), rate), lambda: now)
        known.spend(events)
        now += known.wait()
        now += 1e-9
        assert known.wait() == 0

    def test_a_token_comes_from_a_file_or_the_environment(
        self, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "token").write_text(SECRET + "\n")
        monkeypatch.setenv("GATEWAY_TOKEN", OTHER)
        tokens = (
            Token("file", sources=("test:a",), file=str(tmp_path / "token")),
            Token("env", sources=("test:b",), env="GATEWAY_TOKEN"),
        )
        source = start(tokens=tokens)
        assert post(source, event(source="test:a")).status == 200
        assert post(source, event(source="test:b"), token=OTHER).status == 200
        assert post(source, event(source="test:b")).status == 403

    @pytest.mark.parametrize("content", [None, "", "short", "\xff" * 30])
    def test_a_token_that_can_not_be_had_stops_the_start(self, tmp_path: Path, content: str | None) -> None:
        if content is not None:
            (tmp_path / "token").write_text(content, "latin-1")
        for token in (
            Token("x", sources=("*",), file=str(tmp_path / "token")),
            Token("x", sources=("*",), env="NO_SUCH_VARIABLE"),
        ):
            source = HttpSource("test", Address(), (token,))
            for attempt in (source.probe, lambda source=source: source.start(Spooled())):
                with pytest.raises(EnvironmentFault) as caught:
                    attempt()
                assert caught.value.hint
            assert not source.up
            source.stop()

    def test_two_with_one_token_stop_the_start(self, tmp_path: Path) -> None:
        """Whose sources its bearer may write nobody could know; the configuration can't see what a file holds."""
        (tmp_path / "token").write_text(SECRET)
        copy = Token("copy", sources=("test:b",), file=str(tmp_path / "token"))
        with pytest.raises(EnvironmentFault, match="gateway and copy have the same token"):
            HttpSource("test", Address(), (*TOKENS, copy)).probe()

    def test_every_token_is_looked_at_whoever_comes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """How long it takes says nothing of how near a guess is."""
        looked: list[bytes] = []

        def compare(ours: bytes, given: bytes) -> bool:
            looked.append(ours)
            return ours == given

        monkeypatch.setattr("archiver.sources.http.senders.hmac.compare_digest", compare)
        senders = Senders([Sender(str(n), digest_of(f"secret {n}" * 3), ("*",)) for n in range(5)], time.monotonic)
        found = senders.by_authorization("Bearer secret0")
        assert found is None and len(looked) == 5


class TestBounds:
    def test_too_large_is_refused_before_it_comes(self, start: Start) -> None:
        source = start(limits=Limits(body=1000))
        with socket.create_connection(("127.0.0.1", source.address.port), timeout=20) as raw:
            raw.sendall(head(10**12) + b"Expect: 100-continue\r\n\r\n")
            assert raw.recv(1000).startswith(b"HTTP/1.1 413 ")
        assert source.signs().refused == {"too large": 1}

    def test_too_large_is_refused_also_where_it_was_not_said(self, start: Start, spooled: Spooled) -> None:
        source = start(limits=Limits(body=1000))

        def endless() -> Iterator[bytes]:
            for _ in range(20):
                yield b" " * 100

        client = http.client.HTTPConnection("127.0.0.1", source.address.port, timeout=20)
        client.request("POST", "/events", endless(), {"Content-Type": ONE, "Authorization": f"Bearer {SECRET}"})
        assert client.getresponse().status == 413
        client.close()
        assert spooled.records == []

    @pytest.mark.parametrize("coding", ["gzip", "zstd"])
    def test_a_bomb_is_too_large(self, start: Start, spooled: Spooled, coding: str) -> None:
        packed = {"gzip": gzip.compress, "zstd": zstandard.compress}[coding](b" " * 5_000_000)
        assert len(packed) < 10_000
        source = start(limits=Limits(unpacked=1_000_000))
        assert post(source, packed, BATCH, Content_Encoding=coding).status == 413
        assert post(source, event()).status == 200
        assert len(spooled.records) == 1

    @pytest.mark.parametrize("coding", ["gzip", "zstd"])
    @pytest.mark.parametrize("cut", [0, 3, 20, -1])
    def test_what_is_damaged_is_refused(self, start: Start, spooled: Spooled, coding: str, cut: int) -> None:
        packed = {"gzip": gzip.compress, "zstd": zstandard.compress}[coding](json.dumps(event()).encode())
        answer = post(start(), packed[:cut], Content_Encoding=coding)
        assert answer.status == 400 and answer.json["reason"] == "damaged"
        assert spooled.records == []

    @pytest.mark.parametrize("coding", ["br", "gzip, gzip", "deflate", "zstd;q=1"])
    def test_other_codings_are_not_taken(self, start: Start, coding: str) -> None:
        answer = post(start(), event(), Content_Encoding=coding)
        assert answer.status == 415 and "zstd" in answer.headers["Accept-Encoding"]

    @pytest.mark.parametrize("media_type", ["", "application/json", "text/plain", "application/cloudevents+xml"])
    def test_other_media_types_are_not_taken(self, start: Start, media_type: str) -> None:
        assert post(start(), event(), media_type).status == 415

    @pytest.mark.parametrize(
        ("body", "media_type"),
        [
            (b"", ONE),
            (b"hello", ONE),
            (b"[]", ONE),
            (b"{", ONE),
            (b"{}", BATCH),
            (b"[{}", BATCH),
            (b"[" + b"{}," * 2_100_000 + b"{}]", BATCH),
            (b"[" * 100_000, BATCH),
            (b"[" * 100_000 + b"]" * 100_000, BATCH),
            (b'{"a":' * 100_000, ONE),
            (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, ONE),
        ],
    )
    def test_what_is_not_what_it_says_is_refused(
        self, start: Start, spooled: Spooled, body: bytes, media_type: str
    ) -> None:
        source = start()
        answer = post(source, body, media_type)
        assert answer.status == 400 and answer.json["reason"] == "not readable"
        assert source.signs().refused == {"not readable": 1}
        assert spooled.records == []

    def test_deep_json_in_a_line_is_quarantined_alone(self, start: Start, spooled: Spooled) -> None:
        deep = b'{"source":"test:one","data":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
        body = deep + b"\n" + json.dumps(event("sound")).encode()
        assert post(start(), body, LINES).outcomes == ["quarantined", "accepted"]
        assert spooled.texts == ["sound"]

    def test_too_many_events_are_too_large(self, start: Start, spooled: Spooled) -> None:
        source = start(limits=Limits(events=3))
        assert post(source, [event(str(n)) for n in range(4)], BATCH).status == 413
        assert spooled.records == []
        assert post(source, [event(str(n)) for n in range(3)], BATCH).status == 200

    def test_all_together_are_bounded_and_come_again(self, start: Start, spooled: Spooled) -> None:
        source = start(limits=Limits(memory=15_000))
        spooled.gate.clear()
        answers: list[int] = []
        first = threading.Thread(target=lambda: answers.append(post(source, event("x" * 9000, id="x")).status))
        first.start()
        assert spooled.entered.wait(10)
        answer = post(source, event("y" * 9000, id="y"))
        assert answer.status == 503 and answer.headers["Retry-After"]
        spooled.gate.set()
        first.join(20)
        assert answers == [200]
        assert post(source, event("y" * 9000, id="y")).status == 200

    def test_who_stalls_gives_way_to_who_has_more_to_bring(self, start: Start, spooled: Spooled) -> None:
        source = start(limits=Limits(memory=100_000))
        with stalling(source, 45_000) as longest, stalling(source, 46_000) as later:
            assert post(source, event("y" * 5_000)).status == 200
            assert longest.recv(1_000).startswith(b"HTTP/1.1 503 ")
            assert not is_readable(later)
        assert source.signs().refused["too much at once"] == 1

    def test_what_is_being_kept_gives_way_to_nobody(self, start: Start, spooled: Spooled) -> None:
        source = start(limits=Limits(memory=200_000))
        spooled.gate.clear()
        body = json.dumps(event("x" * 40_000)).encode()
        with socket.create_connection(("127.0.0.1", source.address.port), timeout=20) as kept:
            kept.sendall(head(len(body)) + b"\r\n" + body)
            assert spooled.entered.wait(10)
            with stalling(source, 40_000) as stalled, stalling(source, 41_000):
                assert stalled.recv(1_000).startswith(b"HTTP/1.1 503 ")
                spooled.gate.set()
                assert kept.recv(1_000).startswith(b"HTTP/1.1 200 ")

    def test_who_brings_one_slowly_stays_while_others_stall(self, start: Start, spooled: Spooled) -> None:
        source = start(limits=Limits(memory=200_000))
        body = json.dumps(event("x" * 40_000)).encode()
        with socket.create_connection(("127.0.0.1", source.address.port), timeout=20) as slow, ExitStack() as strangers:
            slow.sendall(head(len(body)) + b"\r\n" + body[:60_000])
            time.sleep(0.1)
            for number in range(10):
                strangers.enter_context(stalling(source, 20_000 + number))
            slow.sendall(body[60_000:])
            assert slow.recv(1_000).startswith(b"HTTP/1.1 200 ")

    def test_silence_within_a_body_is_given_up_however_much_came(
        self, start: Start, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(receiving, "FIRST_SECONDS", 0.2)
        source = start()
        with stalling(source, 1_000_000) as stalled:
            assert stalled.recv(1_000).startswith(b"HTTP/1.1 408 ")
        assert source.signs().refused == {"too slow": 1}

    def test_a_slow_body_is_given_up(self, start: Start, monkeypatch: pytest.MonkeyPatch, spooled: Spooled) -> None:
        monkeypatch.setattr(receiving, "FIRST_SECONDS", 0.2)
        source = start()
        with socket.create_connection(("127.0.0.1", source.address.port), timeout=20) as raw:
            raw.sendall(head(1000) + b"\r\n")
            began = time.monotonic()
            reply = b""
            while not reply and time.monotonic() < began + 10:
                raw.sendall(b"{")
                raw.settimeout(0.05)
                try:
                    reply = raw.recv(1000)
                except TimeoutError:
                    continue
            assert reply.startswith(b"HTTP/1.1 408 ") and b"connection: close" in reply.lower()
        assert post(source, event()).status == 200
        assert spooled.texts == ["hello"]

    def test_a_slow_head_is_given_up_and_so_is_silence(self, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(serving, "HEAD_SECONDS", 0.2)
        monkeypatch.setattr(serving, "IDLE_SECONDS", 0)
        source = start()
        for sent, answered in ((b"", b""), (b"POST /events HT", b"HTTP/1.1 408 ")):
            with socket.create_connection(("127.0.0.1", source.address.port), timeout=10) as raw:
                raw.sendall(sent)
                told = b""
                with suppress(ConnectionResetError):
                    while more := raw.recv(1_000):
                        told += more
                assert told.startswith(answered) and bool(told) == bool(answered)
        assert source.signs().refused == {"too slow": 1}
        assert post(source, event()).status == 200

    def test_a_head_without_end_does_not_fill_us(self, start: Start) -> None:
        source = start()
        with socket.create_connection(("127.0.0.1", source.address.port), timeout=20) as raw:
            raw.sendall(b"POST /events HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 100_000)
            assert raw.recv(1000).startswith(b"HTTP/1.1 400 ")

    def test_who_stalls_in_a_body_keeps_nobody_out(self, start: Start, spooled: Spooled) -> None:
        source = start(limits=Limits(connections=2))
        with ExitStack() as opened:
            busy = []
            for _ in range(2):
                busy.append(opened.enter_context(socket.create_connection(("127.0.0.1", source.address.port), 20)))
                busy[-1].sendall(head(1_000) + b"\r\n{")
                time.sleep(0.1)
            with socket.create_connection(("127.0.0.1", source.address.port), timeout=10) as third:
                assert busy[0].recv(1_000).startswith(b"HTTP/1.1 503 "), "whose body comes for longest makes room"
                assert busy[0].recv(1_000) == b""
                third.sendall(head(1_000) + b"\r\n{")
                time.sleep(0.1)
                assert post(source, event()).status == 200
                assert busy[1].recv(1_000).startswith(b"HTTP/1.1 503 ")
        assert spooled.texts == ["hello"]
        assert source.signs().refused["too many connections"] == 2

    def test_nor_who_sent_another_request_before_the_first_was_answered(self, start: Start, spooled: Spooled) -> None:
        source = start(limits=Limits(connections=1))
        spooled.gate.clear()
        body = json.dumps(event()).encode()
        request = head(len(body)) + b"\r\n" + body
        with socket.create_connection(("127.0.0.1", source.address.port), timeout=20) as first:
            first.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" + request)
            assert spooled.entered.wait(10)
            with socket.create_connection(("127.0.0.1", source.address.port), timeout=10) as second:
                assert second.recv(1_000).startswith(b"HTTP/1.1 503 ")
            spooled.gate.set()
            told = b""
            while b"outcomes" not in told:
                told += first.recv(1_000)
            assert told.count(b"HTTP/1.1 200 ") == 2
        assert source.signs().refused == {"too many connections": 1}

    def test_who_stalls_in_a_body_goes_before_who_brings_one_slowly(self, start: Start, spooled: Spooled) -> None:
        source = start(limits=Limits(connections=2))
        body = json.dumps(event("x" * 200_000)).encode()
        with socket.create_connection(("127.0.0.1", source.address.port), timeout=20) as slow:
            slow.sendall(head(len(body)) + b"\r\n" + body[:100_000])
            time.sleep(0.1)
            for _ in range(3):
                with socket.create_connection(("127.0.0.1", source.address.port), timeout=20) as stalled:
                    stalled.sendall(head(1_000) + b"\r\n{")
                    time.sleep(0.1)
                    with socket.create_connection(("127.0.0.1", source.address.port), timeout=20):
                        assert stalled.recv(1_000).startswith(b"HTTP/1.1 503 ")
                time.sleep(0.1)
            slow.sendall(body[100_000:])
            assert slow.recv(1_000).startswith(b"HTTP/1.1 200 ")
        assert source.signs().refused == {"too many connections": 3}, "each is counted once"

    def test_who_stalls_in_a_body_goes_before_who_has_just_come(self, start: Start, spooled: Spooled) -> None:
        source = start(limits=Limits(connections=2))
        body = json.dumps(event()).encode()
        with ExitStack() as opened:
            stalled = opened.enter_context(socket.create_connection(("127.0.0.1", source.address.port), 20))
            stalled.sendall(head(1_000) + b"\r\n{")
            time.sleep(0.1)
            come = opened.enter_context(socket.create_connection(("127.0.0.1", source.address.port), 20))
            time.sleep(0.1)
            opened.enter_context(socket.create_connection(("127.0.0.1", source.address.port), 20))
            assert stalled.recv(1_000).startswith(b"HTTP/1.1 503 ")
            come.sendall(head(len(body)) + b"\r\n" + body)
            assert come.recv(1_000).startswith(b"HTTP/1.1 200 ")

    def test_who_takes_in_no_reply_keeps_nobody_out(self, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(serving, "LEAVING_SECONDS", 0.2)
        source = start(limits=Limits(connections=1))
        with unread(source) as asking:
            assert eventually(lambda: post(source, event()).status == 200)  # first it is still being answered
            assert eventually(lambda: is_cut_off(asking))
        assert set(source.signs().refused) == {"too many connections"}

    def test_who_takes_in_no_reply_is_given_up(self, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(serving, "SEND_SECONDS", 0.2)
        source = start()
        with capture_logs() as told, unread(source) as asking:
            assert eventually(lambda: is_cut_off(asking))
        assert told == [] and source.signs().refused == {}

    def test_who_is_being_answered_is_not_sent_away(self, start: Start, spooled: Spooled) -> None:
        source = start(limits=Limits(connections=1))
        spooled.gate.clear()
        body = json.dumps(event()).encode()
        with socket.create_connection(("127.0.0.1", source.address.port), timeout=20) as first:
            first.sendall(head(len(body)) + b"\r\n" + body)
            assert spooled.entered.wait(10)
            with socket.create_connection(("127.0.0.1", source.address.port), timeout=10) as second:
                assert second.recv(1_000).startswith(b"HTTP/1.1 503 ")
            spooled.gate.set()
            assert first.recv(1_000).startswith(b"HTTP/1.1 200 ")
        assert source.signs().refused == {"too many connections": 1}

    def test_who_says_nothing_keeps_nobody_out(self, start: Start) -> None:
        source = start(limits=Limits(connections=3))
        silent = [socket.create_connection(("127.0.0.1", source.address.port), timeout=20) for _ in range(3)]
        silent[1].sendall(b"POST /events HT")
        time.sleep(0.1)
        for number in range(3):
            assert post(source, event(id=str(number))).status == 200
        assert silent[0].recv(1_000).startswith(b"HTTP/1.1 503 "), "who waits longest makes room"
        assert sum(source.signs().refused.values()) <= 3
        for each in silent:
            each.close()

    @pytest.mark.parametrize(
        "framing",
        [
            b"Content-Length: 5\r\nContent-Length: 6\r\n",
            b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            b"Transfer-Encoding: xchunked\r\n",
            b"Content-Length: +5\r\n",
            b"Content-Length : 5\r\n",
        ],
    )
    def test_a_request_whose_end_is_unclear_smuggles_nothing(
        self, start: Start, spooled: Spooled, framing: bytes
    ) -> None:
        source = start()
        inner = json.dumps(event()).encode()
        smuggled = head(len(inner)) + b"\r\n" + inner
        with socket.create_connection(("127.0.0.1", source.address.port), timeout=20) as raw:
            raw.sendall(b"POST /events HTTP/1.1\r\nHost: x\r\n" + framing + b"\r\n0\r\n\r\n" + smuggled)
            reply = b""
            with suppress(ConnectionResetError):
                while chunk := raw.recv(10_000):
                    reply += chunk
        assert reply.count(b"HTTP/1.1 200") == 0
        assert spooled.records == []

    @pytest.mark.parametrize("secret", [SECRET, "wrong"])
    @pytest.mark.parametrize("pause", [0.0, 0.2])
    def test_a_spoilt_body_is_refused_once_and_fills_no_log(
        self, start: Start, caplog: pytest.LogCaptureFixture, secret: str, pause: float
    ) -> None:
        source = start()
        chunked = (
            head(0)
            .replace(SECRET.encode(), secret.encode())
            .replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
        )
        with socket.create_connection(("127.0.0.1", source.address.port), timeout=20) as raw:
            raw.sendall(chunked + (b"\r\n" if pause else b""))
            time.sleep(pause)
            raw.sendall(b"zz\r\n" if pause else b"\r\nzz\r\n")
            told = b""
            with suppress(ConnectionResetError):
                while more := raw.recv(1_000):
                    told += more
        assert told.count(b"HTTP/1.1") == 1
        assert sum(source.signs().refused.values()) == 1 + (pause > 0 and secret == "wrong")
        assert [each for each in caplog.records if each.levelname == "ERROR"] == []

    @pytest.mark.parametrize("path", ["/", "/events/", "/../etc/passwd", "/events?x=1%00", "/metrics"])
    def test_there_is_nothing_else(self, start: Start, path: str) -> None:
        source = start()
        assert ask(source, "GET", path).status in (404, 405, 307)

    def test_other_methods_are_told_which(self, start: Start) -> None:
        answer = ask(start(), "PUT", "/events", b"x")
        assert answer.status == 405 and answer.headers["Allow"] == "POST"


def head(length: int) -> bytes:
    return (
        f"POST /events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {SECRET}\r\nContent-Type: {ONE}\r\n"
        f"Content-Length: {length}\r\n"
    ).encode()


@contextmanager
def unread(source: HttpSource) -> Iterator[socket.socket]:
    """One who asks on and on, and takes in no reply, until no more of its questions are taken in."""
    assert source._serving is not None
    source._serving._bound[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    with socket.socket() as asking:
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        asking.connect(("127.0.0.1", source.address.port))
        asking.settimeout(1.0)
        with suppress(OSError):
            while True:
                asking.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 50)
        yield asking


@contextmanager
def stalling(source: HttpSource, size: int) -> Iterator[socket.socket]:
    """One who brought so many bytes of a larger body, and then no more."""
    assert source._reception is not None
    memory = source._reception.memory
    with socket.create_connection(("127.0.0.1", source.address.port), timeout=20) as stalled:
        stalled.sendall(head(2 * size) + b"\r\n" + b"{" * size)
        eventually(lambda: is_readable(stalled) or size in [each.held for each in list(memory.shares)])
        yield stalled


def is_readable(client: socket.socket) -> bool:
    return bool(select.select([client], [], [], 0)[0])


def is_cut_off(asking: socket.socket) -> bool:
    poll = select.poll()
    poll.register(asking, 0)
    return bool(poll.poll(0))


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


class TestTls:
    def files(self, authority: trustme.CA, folder: Path, name: str = "localhost") -> tuple[Path, Path]:
        made = authority.issue_cert(name)
        made.private_key_pem.write_to_path(folder / "key.pem")
        certificate = folder / "certificate.pem"
        certificate.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
        return certificate, folder / "key.pem"

    def say(self, source: HttpSource, context: ssl.SSLContext) -> int:
        client = http.client.HTTPSConnection("localhost", source.address.port, timeout=20, context=context)
        client.sock = context.wrap_socket(
            socket.create_connection(("127.0.0.1", source.address.port), timeout=20), server_hostname="localhost"
        )
        body = json.dumps(event()).encode()
        client.request("POST", "/events", body, {"Content-Type": ONE, "Authorization": f"Bearer {SECRET}"})
        status = client.getresponse().status
        client.close()
        return status

    def connected(self, source: HttpSource) -> socket.socket:
        return socket.create_connection(("127.0.0.1", source.address.port), timeout=20)

    def trusting(self, authority: trustme.CA) -> ssl.SSLContext:
        context = ssl.create_default_context()
        authority.configure_trust(context)
        return context

    def test_over_tls(self, start: Start, authority: trustme.CA, tmp_path: Path) -> None:
        source = start(tls=Tls(*self.files(authority, tmp_path)))
        assert self.say(source, self.trusting(authority)) == 200
        assert source.describe().startswith("events on https://")
        with pytest.raises((OSError, http.client.HTTPException)):
            post(source, event())

    def test_only_who_has_a_certificate_too(
        self, start: Start, authority: trustme.CA, tmp_path: Path, spooled: Spooled
    ) -> None:
        certificate, key = self.files(authority, tmp_path)
        authority.cert_pem.write_to_path(tmp_path / "clients.pem")
        source = start(tls=Tls(certificate, key, tmp_path / "clients.pem"))
        with pytest.raises((OSError, http.client.HTTPException)):
            self.say(source, self.trusting(authority))
        stranger = self.trusting(authority)
        trustme.CA().issue_cert("gateway").configure_cert(stranger)
        with pytest.raises((OSError, http.client.HTTPException)):
            self.say(source, stranger)
        assert spooled.records == []
        known = self.trusting(authority)
        authority.issue_cert("gateway").configure_cert(known)
        assert self.say(source, known) == 200

    @pytest.mark.parametrize("stranger", (ASKED | ALWAYS).values(), ids=(ASKED | ALWAYS).keys())
    def test_who_fails_is_told_why_counted_and_told_of(
        self, start: Start, tmp_path: Path, spooled: Spooled, stranger: Stranger
    ) -> None:
        named = {key: Path(path) for key, path in tls_files(tmp_path).items()}
        source = start(tls=Tls(named["certificate"], named["key"], named["client_ca"]))
        with capture_logs() as logs:
            assert [stranger.meet(self.connected(source)) for _ in range(3)] == [stranger.told] * 3
            assert eventually(lambda: source.signs().refused == {stranger.counted: 3})
        (line,) = logs
        assert line["event"] == "request_refused" and line["reason"] == stranger.counted
        assert line["client"] == "127.0.0.1" and line["source"] == "http:test"

    def test_who_begins_and_goes_no_further_is_given_up(
        self, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And not counted where nothing at all was said, nor where the client went by itself."""
        monkeypatch.setattr(handshake, "SECONDS", 0.3)
        named = tls_files(tmp_path)
        source = start(tls=Tls(Path(named["certificate"]), Path(named["key"])))
        self.connected(source).close()
        with self.connected(source) as silent, self.connected(source) as slow, self.connected(source) as leaving:
            for each in (slow, leaving):
                each.sendall(b"\x16\3\1\2\0\1")  # the beginning of a ClientHello
            leaving.close()
            assert silent.recv(1) == slow.recv(1) == b""
        assert source.signs().refused == {"TLS: too slow": 1}

    def test_of_too_many_who_go_no_further_the_longest_give_way(
        self, start: Start, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(handshake, "PENDING", 3)
        source = start(tls=Tls(*self.files(authority, tmp_path)))
        with ExitStack() as opened:
            idle = [opened.enter_context(self.connected(source)) for _ in range(5)]
            with self.connected(source) as raw:
                self.trusting(authority).wrap_socket(raw, server_hostname="localhost").close()
            assert [each.recv(1) for each in idle[:3]] == [b""] * 3
            assert select.select(idle[3:], [], [], 0.1)[0] == []
        assert source.signs().refused == {"TLS: too many at once": 3}

    def test_a_renewed_certificate_is_taken_up_and_a_half_renewed_one_is_not(
        self, start: Start, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("archiver.sources.tls.AGAIN", 0.05)
        certificate, key = self.files(authority, tmp_path)
        source = start(tls=Tls(certificate, key))

        def shown() -> bytes:
            context = self.trusting(authority)
            with socket.create_connection(("127.0.0.1", source.address.port), timeout=20) as raw:
                return context.wrap_socket(raw, server_hostname="localhost").getpeercert(True) or b""

        first = shown()
        whole = certificate.read_bytes()
        certificate.write_bytes(authority.issue_cert("localhost").cert_chain_pems[0].bytes())
        time.sleep(0.3)
        assert shown() == first
        certificate.write_bytes(whole)
        self.files(authority, tmp_path)
        deadline = time.monotonic() + 10
        while shown() == first and time.monotonic() < deadline:
            time.sleep(0.05)
        assert shown() != first

    @pytest.mark.parametrize("broken", ["certificate", "key", "clients"])
    def test_files_that_can_not_be_used_stop_the_start(
        self, authority: trustme.CA, tmp_path: Path, broken: str
    ) -> None:
        certificate, key = self.files(authority, tmp_path)
        authority.cert_pem.write_to_path(tmp_path / "clients.pem")
        tls = Tls(certificate, key, tmp_path / "clients.pem")
        path = getattr(tls, broken)
        for content in (None, b"no certificate"):
            path.unlink() if content is None else path.write_bytes(content)
            source = HttpSource("test", Address(), TOKENS, tls=tls)
            with pytest.raises(EnvironmentFault) as caught:
                source.start(Spooled())
            assert caught.value.hint and not source.up
            source.stop()


class TestLife:
    def test_it_is_up_no_more_where_serving_breaks(self, start: Start) -> None:
        source = start()
        assert source._serving is not None
        source._serving._server.should_exit = True  # as if something in it had failed
        deadline = time.monotonic() + 10
        while source.up and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not source.up
        source.stop()

    def test_it_starts_once(self, start: Start, spooled: Spooled) -> None:
        source = start()
        with pytest.raises(UsageError):
            source.start(spooled)

    def test_a_request_coming_in_is_finished(self, start: Start, spooled: Spooled) -> None:
        source = start()
        body = json.dumps(event("last")).encode()
        with socket.create_connection(("127.0.0.1", source.address.port), timeout=20) as raw:
            raw.sendall(head(len(body)) + b"\r\n" + body[:10])
            time.sleep(0.1)
            stopping = threading.Thread(target=source.stop)
            stopping.start()
            time.sleep(0.2)
            raw.sendall(body[10:])
            assert raw.recv(1000).startswith(b"HTTP/1.1 200 ")
            stopping.join(10)
        assert spooled.texts == ["last"]
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", source.address.port), timeout=1)

    def test_one_that_never_ends_is_cut_off(self, start: Start, spooled: Spooled) -> None:
        source = start(drain=0.05)
        with socket.create_connection(("127.0.0.1", source.address.port), timeout=20) as raw:
            raw.sendall(head(1000) + b"\r\n{")
            time.sleep(0.1)
            began = time.monotonic()
            source.stop()
            assert time.monotonic() - began < 5
        assert spooled.records == []

    def test_no_log_has_a_token_or_what_was_said(
        self, start: Start, caplog: pytest.LogCaptureFixture, capsys: Any
    ) -> None:
        caplog.set_level("DEBUG")
        source = start()
        post(source, event("private"))
        post(source, event("private", source="xmpp:other"))
        post(source, b"{private", ONE)
        told = caplog.text + "".join(capsys.readouterr())
        assert "private" not in told and SECRET not in told and SECRET[:8] not in told

    def test_a_flood_of_refusals_does_not_flood_the_log(self, start: Start) -> None:
        source = start()
        with capture_logs() as logs:
            for _ in range(30):
                post(source, event(), token="wrong")
        assert source.signs().refused == {"not authorized": 30}
        assert len([each for each in logs if each["event"] == "request_refused"]) == 1

    def test_the_time_of_receipt_is_the_clocks(self, start: Start, spooled: Spooled) -> None:
        post(start(clock=lambda: 1_700_000_000_000_000), event())
        (only,) = spooled.records
        assert isinstance(only, Captured) and only.received == 1_700_000_000_000_000


def test_its_description_is_what_is_taken(start: Start) -> None:
    document = ask(start(limits=Limits(events=77)), "GET", "/openapi.json").json
    assert document["paths"]["/events"]["post"]["requestBody"]["content"][BATCH]["schema"]["maxItems"] == 77
    schema = {"$ref": "#/components/schemas/Event", "components": document["components"]}
    validator = Draft202012Validator(schema)
    assert validator.is_valid(event())
    assert not validator.is_valid(event(time="yesterday") | {"data": {}})
