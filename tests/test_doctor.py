"""What doctor finds, on directories, ports and spools as they may be; and that it leaves no trace."""

from __future__ import annotations

import os
import socket
import sqlite3
from pathlib import Path

import pytest
from builders import say
from component_end import SECRET
from component_server import HOST, NAME, ComponentServer

from archiver import config as configuration
from archiver.doctor import Finding, Verdict, examine, machine, spooled
from archiver.exceptions import ConfigError
from archiver.spool import Spool

NOW = 1_400_000_000_000_000
OFF = {"smtp": {"enabled": False}}


def found(data: Path, raw: dict | None = None) -> dict[str, Finding]:
    return {each.check: each for each in examine(configuration.parse(raw or OFF), data, NOW)}


def listing(path: Path) -> list[str]:
    return sorted(str(each) for each in path.rglob("*"))


def spool_in(data: Path) -> None:
    with Spool.open(data) as spool:
        feed = spool.open_feed("import:x", "import", path="x.ndjson").number
        spool.append([say("alice@example.org", "hello", 0)], feed)
        spool.close_feed(feed, NOW)


def test_a_fresh_machine_is_well(tmp_path):
    findings = found(tmp_path / "data")
    assert all(each.verdict is not Verdict.BAD for each in findings.values()), findings
    assert listing(tmp_path) == []
    assert "will be made" in findings["data directory"].found


def test_everything_sound_is_ok_and_doctor_changes_nothing(tmp_path):
    data = tmp_path / "data"
    spool_in(data)
    (data / "mail").mkdir()
    before = listing(tmp_path), (data / "spool.db").read_bytes()
    findings = found(data)
    for check in ("data directory", "privacy", "mail root", "nameless files", "hard links", "spool", "events"):
        assert findings[check].verdict is Verdict.OK, findings[check]
    assert {path for path in listing(tmp_path) if "-wal" not in path and "-shm" not in path} == set(before[0])
    assert (data / "spool.db").read_bytes() == before[1]


def test_every_finding_but_ok_says_what_to_do(tmp_path):
    data = tmp_path / "data"
    data.write_text("no directory")
    for each in examine(configuration.parse({"store": {"version": "nonsense"}}), data, NOW):
        assert each.verdict is Verdict.OK or each.advice, each


def test_a_file_in_place_of_the_data_directory_is_bad(tmp_path):
    (tmp_path / "data").write_text("x")
    findings = found(tmp_path / "data")
    assert findings["data directory"].verdict is Verdict.BAD
    assert findings["mail root"].verdict is Verdict.BAD


def test_a_directory_open_to_others_is_told(tmp_path):
    (tmp_path / "data").mkdir(mode=0o755)
    (tmp_path / "data").chmod(0o755)
    assert found(tmp_path / "data")["privacy"].verdict is Verdict.WARN


def test_others_may_pass_through_the_directory_where_the_spool_is_closed_to_them(tmp_path):
    data = tmp_path / "data"
    Spool.open(data).close()
    data.chmod(0o711)
    assert found(data)["privacy"].verdict is Verdict.OK
    (data / "spool.db").chmod(0o644)
    finding = found(data)["privacy"]
    assert finding.verdict is Verdict.WARN and f"chmod o= {data}/spool.db*" in finding.advice


def test_a_directory_that_cannot_be_written_is_bad(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    monkeypatch.setattr(os, "access", lambda *_: False)
    findings = found(tmp_path / "data")
    assert findings["data directory"].verdict is findings["mail root"].verdict is Verdict.BAD


def test_problems_of_this_machine_come_together(tmp_path):
    raw = {"store": {"owner": "no-such-user"}, "directory": {"file": str(tmp_path / "no.csv")}}
    with pytest.raises(ConfigError) as caught:
        examine(configuration.parse(raw), tmp_path, NOW)
    assert len(caught.value.problems) == 2


def test_the_gate_says_what_it_keeps_back_and_from_whom(tmp_path):
    raw = {**OFF, "store": {"version": "nonsense"}}
    findings = found(tmp_path / "data", raw)
    assert findings["gate: im"].verdict is Verdict.WARN and "nonsense" in findings["gate: im"].found
    raw = {**OFF, "mailbox": [{"address": "old@example.org", "version": "8.3.83.6"}, {"address": "new@example.org"}]}
    findings = found(tmp_path / "data", raw)
    assert findings["gate: im"].verdict is Verdict.OK
    assert findings["gate: old@example.org"].verdict is Verdict.WARN
    assert "gate: new@example.org" not in findings


def test_without_nameless_files_or_hard_links_it_warns(tmp_path, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise OSError(95, "not supported")

    monkeypatch.setattr(os, "link", refuse)
    findings = found(tmp_path)
    assert findings["nameless files"].verdict is Verdict.OK
    assert findings["hard links"].verdict is Verdict.WARN
    monkeypatch.undo()
    opened = os.open
    monkeypatch.setattr(
        os, "open", lambda path, flags, *a, **k: refuse() if path == "." else opened(path, flags, *a, **k)
    )
    findings = found(tmp_path)
    assert findings["nameless files"].verdict is Verdict.WARN
    assert findings["hard links"].verdict is Verdict.OK
    assert listing(tmp_path) == []


@pytest.mark.parametrize("owner", ["", str(os.geteuid())])
def test_an_archive_of_the_mails_own_user_is_hidden_not_protected(tmp_path, owner):
    finding = found(tmp_path, {**OFF, "store": {"owner": owner}})["archive's user"]
    assert finding.verdict is Verdict.WARN and "hidden, not protected" in finding.found and "owner" in finding.advice


def test_an_archive_of_another_user_is_protected(tmp_path):
    assert found(tmp_path, {**OFF, "store": {"owner": "1"}})["archive's user"].verdict is Verdict.OK


@pytest.mark.parametrize("mode", [0o750, 0o701, 0o770])
def test_an_archive_that_others_can_enter_is_bad(tmp_path, mode):
    root = tmp_path / "archive"
    root.mkdir(mode=0o700)
    assert found(tmp_path)["archive's privacy"].verdict is Verdict.OK
    root.chmod(mode)
    finding = found(tmp_path)["archive's privacy"]
    assert finding.verdict is Verdict.BAD and f"{mode:04o}" in finding.found and "chmod 0700" in finding.advice


def test_little_room_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "_ROOM", 2**62)
    assert found(tmp_path)["room"].verdict is Verdict.WARN


def smtp(port: int, **more: object) -> dict:
    return {"smtp": {"listen": f"127.0.0.1:{port}", **more}}


def test_a_port_is_free_taken_or_our_daemons(tmp_path, free_port):
    assert found(tmp_path, smtp(free_port()))["smtp.listen"].verdict is Verdict.OK
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        finding = found(tmp_path, smtp(port))["smtp.listen"]
        assert finding.verdict is Verdict.BAD and "another program" in finding.found
        with Spool.open(tmp_path) as spool, spool.hold("daemon", "archiver run (process 1)"):
            finding = found(tmp_path, smtp(port))["smtp.listen"]
        assert finding.verdict is Verdict.OK and "process 1" in finding.found


def test_a_sip_sources_port_is_tried_for_datagrams_too(tmp_path, free_port):
    port = free_port()
    raw = {**OFF, "source": [{"type": "sip", "name": "x", "listen": f"127.0.0.1:{port}"}]}
    finding = found(tmp_path, raw)["source[1].listen"]
    assert finding.verdict is Verdict.OK and "UDP" in finding.found
    with socket.socket(type=socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", port))
        finding = found(tmp_path, raw)["source[1].listen"]
    assert finding.verdict is Verdict.BAD and "another program" in finding.found and "UDP" in finding.found


def test_an_address_that_is_not_ours_is_bad(tmp_path):
    assert found(tmp_path, {"smtp": {"listen": "192.0.2.1:2525"}})["smtp.listen"].verdict is Verdict.BAD


def test_a_socket_file_is_free_stale_taken_or_nothing_of_the_kind(data_dir, free_port):
    path = data_dir / "s"

    def verdict(where: Path) -> Verdict:
        return found(data_dir / "data", smtp(free_port(), lmtp=str(where)))["smtp.lmtp"].verdict

    assert verdict(path) is Verdict.OK
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        assert verdict(path) is Verdict.BAD
    assert verdict(path) is Verdict.OK  # nobody answers any more
    path.unlink()
    path.write_text("x")
    assert verdict(path) is Verdict.BAD
    assert verdict(data_dir / "nowhere" / "s") is Verdict.BAD


def test_a_damaged_spool_is_found(tmp_path):
    spool_in(tmp_path)
    path = tmp_path / "spool.db"
    content = bytearray(path.read_bytes())
    content[4096 * 3 : 4096 * 12] = os.urandom(4096 * 9)
    path.write_bytes(content)
    assert found(tmp_path)["spool"].verdict is Verdict.BAD


def test_what_is_no_spool_is_bad(tmp_path):
    (tmp_path / "spool.db").write_bytes(b"no database at all" * 1000)
    findings = list(examine(configuration.parse(OFF), tmp_path, NOW))
    assert any(each.verdict is Verdict.BAD for each in findings)


def test_the_check_of_the_file_is_short_while_somebody_works(tmp_path, monkeypatch):
    spool_in(tmp_path)
    with Spool.open(tmp_path) as spool:
        for room in range(300):
            feed = spool.open_feed("import:many", "import").number
            spool.append([say("a@x.org", "x" * 2_000, n, id=f"{room}-{n}", room=str(room)) for n in range(5)], feed)
        monkeypatch.setattr(spooled, "_CHECKED_FOR", 0.0)
        assert "whole" not in found(tmp_path)["spool"].found
        with spool.hold("daemon", "somebody"):
            assert "stop the daemon for the whole" in found(tmp_path)["spool"].found


def test_dead_imports_are_told_unless_one_may_be_running(tmp_path):
    with Spool.open(tmp_path) as spool:
        spool.open_feed("import:x", "import", path="x.ndjson")
        assert "--close-import import:x" in found(tmp_path)["dead import"].advice
        with spool.hold("backfill", "somebody"):
            assert "dead import" not in found(tmp_path)


def test_every_source_is_tried_whatever_is_wrong_with_another(tmp_path, free_port):
    (tmp_path / "token").write_text("a-secret-that-nobody-guesses")

    def source(name: str, host: str, file: str) -> dict:
        token = {"name": "gateway", "sources": ["*"], "file": str(tmp_path / file)}
        return {"type": "http", "name": name, "listen": f"{host}:{free_port()}", "token": [token]}

    findings = found(
        tmp_path, {**OFF, "source": [source("bad", "127.0.0.1", "none"), source("good", "0.0.0.0", "token")]}
    )
    assert findings["http:bad"].verdict is Verdict.BAD and findings["http:bad"].advice
    assert findings["http:good"].verdict is Verdict.OK and "/events" in findings["http:good"].found
    assert findings["http:good's privacy"].verdict is Verdict.WARN
    assert "http:bad's privacy" not in findings
    assert findings["source[1].listen"].verdict is Verdict.OK


def test_mail_that_anybody_can_hand_in_is_told(tmp_path, free_port):
    def verdicts(listen: str, **more) -> list[str]:
        table = {"type": "smtp", "name": "open", "listen": listen, **more}
        findings = found(tmp_path, {"smtp": {"listen": f"127.0.0.1:{free_port()}"}, "source": [table]})
        return [name for name, each in findings.items() if "strangers" in name and each.verdict is Verdict.WARN]

    anywhere = f"0.0.0.0:{free_port()}"
    assert verdicts(anywhere) == ["smtp:open's strangers"]
    assert verdicts(anywhere, clients=["192.0.2.0/24"]) == []
    assert verdicts(f"127.0.0.1:{free_port()}", lmtp=str(tmp_path / "lmtp")) == []
    raw = {"smtp": {"listen": anywhere}}
    assert "from anybody" in found(tmp_path, raw)["smtp:mail's strangers"].found


def test_a_secret_that_others_can_read_is_told(tmp_path, free_port):
    listen, file, key = f"127.0.0.1:{free_port()}", tmp_path / "secret", tmp_path / "key.pem"
    file.write_text("a-secret-that-nobody-guesses")
    named = [{"name": "sender", "file": str(file)}]
    sources = [
        {"type": "http", "name": "a", "listen": listen, "token": [named[0] | {"sources": ["*"]}]},
        {"type": "webhook", "name": "b", "product": "slack", "listen": f"127.0.0.1:{free_port()}", "secret": named},
        {"type": "sip", "name": "c", "listen": f"127.0.0.1:{free_port()}", "key": named},
        {"type": "smtp", "name": "d", "listen": f"127.0.0.1:{free_port()}", "login": named}
        | {"certificate": str(key), "key": str(key)},
    ]
    for mode, told in ((0o600, set()), (0o640, set()), (0o644, {"http:a", "webhook:b", "sip:c", "smtp:d"})):
        file.chmod(mode)
        findings = found(tmp_path, {**OFF, "source": sources})
        assert {name.partition("'")[0] for name in findings if name.endswith("'s secrets")} == told
    file.chmod(0o600)
    key.touch(0o604)
    assert "0604" in found(tmp_path, {**OFF, "source": sources})["smtp:d's secrets"].found


def test_a_component_is_tried_with_its_server(tmp_path):
    (tmp_path / "secret").write_text(SECRET)
    server = ComponentServer()
    table = {
        "type": "xmpp-component",
        "name": "plain",
        "server": f"127.0.0.1:{server.port}",
        "component": NAME,
        "hosts": [HOST],
        "secret": [{"name": "server", "file": str(tmp_path / "secret")}],
    }
    told = found(tmp_path, {**OFF, "source": [table]})
    assert told["xmpp-component:plain"].verdict is Verdict.OK and NAME in told["xmpp-component:plain"].found
    server.refusal = "not-authorized"
    told = found(tmp_path, {**OFF, "source": [table]})["xmpp-component:plain"]
    assert told.verdict is Verdict.BAD and "password" in told.advice
    server.close()
    told = found(tmp_path, {**OFF, "source": [table | {"server": f"localhost.localdomain:{server.port}"}]})
    assert told["xmpp-component:plain"].verdict is Verdict.BAD
    assert told["xmpp-component:plain's privacy"].verdict is Verdict.WARN


def test_a_hold_that_somebody_lifted_in_the_file_is_told(tmp_path):
    data = tmp_path / "data"
    spool_in(data)
    with Spool.open(data) as spool:
        spool.place_hold("alice@example.org", by="legal", reason="case 7", now=NOW)
    assert found(data)["audit log"].verdict is Verdict.OK
    with sqlite3.connect(data / "spool.db") as connection:
        connection.execute("UPDATE hold SET released = placed")
    told = found(data)["audit log"]
    assert told.verdict is Verdict.BAD
    assert "hold 1 on alice@example.org" in told.found


def test_a_policy_that_rules_nobody_is_told(tmp_path):
    raw = {
        **OFF,
        "directory": {"domains": ["example.org"], "people": {"bob_irc@libera": "bob@example.org"}},
        "policy": {"user": [{"address": "bob@example.org"}, {"address": "bob_irc@libera"}]},
    }
    told = [
        each.found for each in examine(configuration.parse(raw), tmp_path, NOW) if each.check == "policy, no mailbox"
    ]
    assert [found.split()[1] for found in told] == ["bob_irc@libera"]
