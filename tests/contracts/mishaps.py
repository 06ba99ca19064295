"""What the archiver's module in an XMPP server must do when something fails: nothing missing, nothing twice."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import trustme
from contracts.module import ROOM, WithServer, ann_counts, together
from servers.xmpp import XmppServer, wait
from xmpp_archiver import TOKEN, Archiver
from xmpp_clients import People, body, people

from archiver.exceptions import TryLater
from archiver.sources.http.receiving import Limits
from archiver.sources.tls import Tls


@contextmanager
def busy(port: int, retry_after: int) -> Iterator[list[float]]:
    """An archiver that takes nothing, and says when to ask again. When it was asked."""
    asked: list[float] = []

    class Refusing(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(time.monotonic())
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(503)
            self.send_header("Retry-After", str(retry_after))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", port), Refusing) as listening:
        thread = threading.Thread(target=listening.serve_forever, daemon=True)
        thread.start()
        try:
            yield asked
        finally:
            listening.shutdown()
            thread.join()


class MishapContract(WithServer):
    """Of the daemon, the server, the network, the disk."""

    def test_a_listener_that_is_away_misses_nothing(
        self, server: XmppServer, archiver: Archiver, all_of_them: People
    ) -> None:
        ann, _ = together(all_of_them, "ann", "bob")
        archiver.until(2, server)
        archiver.stop()
        for number in range(500):
            ann.say(ROOM, body(f"{number:03d}"), "groupchat")
        time.sleep(1)
        archiver.start()
        told = archiver.until(502, server)
        texts = [each.data.message.text for each in told if each.data.message]
        assert texts == [f"{number:03d}" for number in range(500)], "in their order"

    def test_the_server_is_killed_and_nothing_is_missing(
        self, server: XmppServer, archiver: Archiver, all_of_them: People
    ) -> None:
        ann, bob = together(all_of_them, "ann", "bob")
        archiver.until(2, server)
        archiver.stop()
        for number in range(200):
            ann.say("bob@localhost", body(f"{number:03d}"))
        ann.say(ROOM, body("the last before"), "groupchat")
        wait(lambda: b"the last before" in b"".join(each.read_bytes() for each in server.queue.glob("*.ndjson")))
        server.kill()
        archiver.start()
        server.start()
        archiver.until(203, server)
        with people(server.port) as again:
            (carl,) = together(again, "carl")
            carl.say(ROOM, body("the first after"), "groupchat")
            archiver.until(205, server)
        assert archiver.texts() == sorted([f"{n:03d}" for n in range(200)] + ["the last before", "the first after"])
        came = next(each for each in archiver.events if each.data.actor and each.data.actor.address == "carl@localhost")
        here = came.data.conversation.participants
        assert here and [each.address for each in here] == ["carl@localhost"], "who was killed away is gone"
        assert bob

    def test_a_full_queue_stops_nobody_and_is_filled_later(self, tmp_path: Path, archiver: Archiver) -> None:
        archiver.stop()
        limited = self.running(tmp_path, archiver, options={"queue_size": 0.01})
        with limited as server, people(server.port) as them:
            ann = them.log_in("ann")
            for number in range(60):
                ann.say("bob@localhost", body(f"{number:02d}"))
            ann.settle()
            wait(lambda: "takes no more" in server.logged(), server.logged)
            archiver.start()
            wait(lambda: len(archiver.texts()) >= 60, server.logged, 90)
        assert archiver.texts() == [f"{number:02d}" for number in range(60)]

    def test_a_full_disk_loses_nothing_and_stops_nobody(self, tmp_path: Path, archiver: Archiver) -> None:
        """What doesn't fit is filled in from the server's archive, once there is room again; also what is said while
        that is being read already."""
        archiver.stop()
        with self.running(tmp_path, archiver, disk=64) as server, people(server.port) as them:
            ann, bob = them.log_in("ann"), them.log_in("bob")
            for number in range(100):
                ann.say("bob@localhost", body(f"{number:03d} " + "x" * 600))
            wait(lambda: "no space left on device" in server.logged().lower(), server.logged)
            wait(lambda: "Reading the archive" in server.logged(), server.logged)
            time.sleep(2)  # archives may know whole seconds only
            for number in range(100, 120):
                ann.say("bob@localhost", body(f"{number:03d} " + "x" * 600))
            bob.say("ann@localhost", body("chat goes on"))
            bob.settle()
            archiver.start()
            wait(lambda: len(archiver.texts()) >= 121, server.logged, 90)
            ann.say("bob@localhost", body("and so does the archiver"))
            wait(lambda: len(archiver.texts()) >= 122, server.logged)
        assert [each[:3] for each in archiver.texts()[:120]] == [f"{number:03d}" for number in range(120)]

    def test_segments_that_somebody_took_away_hide_no_others(self, tmp_path: Path, archiver: Archiver) -> None:
        """A new one must not be numbered like one that was taken."""
        archiver.stop()
        with self.running(tmp_path, archiver) as server:
            wait(lambda: "is handed to the archiver" in server.logged())
            server.kill()
            for each in server.queue.glob("*.ndjson"):
                each.unlink()
            (server.queue / "position").write_text("7 100\n")
            server.archive.unlink(missing_ok=True)
            server.start()
            ann_counts(server, 5)
            server.kill()
            server.archive.unlink(missing_ok=True)
            server.start()
            archiver.start()
            archiver.until(5, server)

    def test_a_record_that_is_refused_waits_for_room_to_be_set_aside(self, tmp_path: Path) -> None:
        small = Archiver(tmp_path, limits=Limits(body=20_000, unpacked=20_000))
        small.start()
        with self.running(tmp_path, small) as server, people(server.port) as them:
            refused = server.queue / "refused.ndjson"
            wait(lambda: "is handed to the archiver" in server.logged())
            refused.symlink_to("/dev/full")
            ann = them.log_in("ann")
            ann.say("bob@localhost", body("x" * 30_000))
            ann.say("bob@localhost", body("hello"))
            wait(lambda: "can't be kept in refused.ndjson" in server.logged(), server.logged)
            assert small.texts() == []
            refused.unlink()
            small.until(1, server)
            assert "x" * 30_000 in refused.read_text()
        assert small.texts() == ["hello"]
        small.stop()

    def test_a_machine_that_failed_took_the_end_of_the_queue(self, tmp_path: Path, archiver: Archiver) -> None:
        archiver.stop()
        with self.running(tmp_path, archiver) as server:
            ann_counts(server, 20)
            server.kill()
            (segment,) = (each for each in server.queue.glob("*.ndjson") if each.stat().st_size)
            os.truncate(segment, segment.stat().st_size // 2 - 7)
            archiver.start()
            server.start()
            archiver.until(20, server)
            assert "no whole record" in server.logged()
        assert archiver.texts() == [f"{number:02d}" for number in range(20)]

    def test_one_that_is_too_large_holds_nobody_back(self, tmp_path: Path) -> None:
        small = Archiver(tmp_path, limits=Limits(body=20_000, unpacked=20_000))
        small.start()
        with self.running(tmp_path, small) as server, people(server.port) as them:
            ann = them.log_in("ann")
            for number in range(100):
                ann.say("bob@localhost", body("x" * 30_000 if number == 50 else f"{number:03d}"))
            small.until(99, server)
            assert "x" * 30_000 in (server.queue / "refused.ndjson").read_text() and "refused.ndjson" in server.logged()
        assert small.texts() == [f"{number:03d}" for number in range(100) if number != 50]
        small.stop()

    def test_nobody_listens_in_by_a_certificate_of_their_own(self, tmp_path: Path) -> None:
        made = trustme.CA().issue_cert("archiver.example.org")
        (tmp_path / "cert.pem").write_bytes(made.cert_chain_pems[0].bytes())
        (tmp_path / "key.pem").write_bytes(made.private_key_pem.bytes())
        stranger = Archiver(tmp_path, tls=Tls(tmp_path / "cert.pem", tmp_path / "key.pem"))
        stranger.start()
        with self.running(tmp_path, stranger, scheme="https") as server, people(server.port) as them:
            them.log_in("ann").say("bob@localhost", body("hello"))
            wait(lambda: f"an authority that {self.server_type.name} trusts" in server.logged(), server.logged)
        assert stranger.events == []
        stranger.stop()

    def test_a_wrong_token_is_told_and_nothing_is_lost(self, tmp_path: Path, archiver: Archiver) -> None:
        with self.running(tmp_path, archiver, "wrong") as server, people(server.port) as them:
            them.log_in("ann").say("bob@localhost", body("hello"))
            wait(lambda: "knows no such token" in server.logged(), server.logged)
            (server.directory / "token").write_text(TOKEN)
            archiver.until(1, server)

    def test_who_says_later_is_asked_later(self, tmp_path: Path, archiver: Archiver) -> None:
        """RFC 9110, 10.2.3: also where that is longer than one would wait by oneself."""
        archiver.stop()
        later = busy(archiver.port, retry_after=4)
        with later as asked, self.running(tmp_path, archiver) as server, people(server.port) as them:
            them.log_in("ann").say("bob@localhost", body("hello"))
            wait(lambda: len(asked) > 2, server.logged)
        assert all(later - earlier >= 3.9 for earlier, later in pairwise(asked)), asked
        assert "503" in server.logged()

    def test_what_the_archiver_cannot_keep_now_it_gets_again(
        self, server: XmppServer, archiver: Archiver, all_of_them: People
    ) -> None:
        archiver.spooled.fault = TryLater("the disk is full")
        ann = all_of_them.log_in("ann")
        for number in range(50):
            ann.say("bob@localhost", body(f"{number:02d}"))
        wait(lambda: "doesn't take records (503" in server.logged(), server.logged)
        archiver.spooled.fault = None
        told = archiver.until(50, server)
        assert [each.data.message and each.data.message.text for each in told] == [f"{n:02d}" for n in range(50)]
