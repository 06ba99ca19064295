"""What the Maildir store files, as a real mail server shows it; and what its users do, as the store then finds it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from contracts.store import ALICE, BOB, CHANGED, HISTORY, make_item
from imapclient import IMAPClient
from servers.dovecot import Dovecot, dovecot, mail_directory, mail_user

from archiver.store import MaildirStore, Put, Where

pytestmark = [pytest.mark.server, pytest.mark.slow]

ONE, TWO, THREE = make_item(1), make_item(2), make_item(3)
LOCAL = "交談歷程記錄"
TEMPLATE = "{data}/mail/{domain}/{local}"


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    with mail_directory() as directory:
        yield directory


@pytest.fixture(scope="module")
def store(data: Path) -> MaildirStore:
    """With the folder of the domain, which the server may not make: only the archiver writes above mailboxes."""
    made = MaildirStore(TEMPLATE, data=data, ownership=mail_user())
    made.put([Put("first@example.org", HISTORY, ONE)])
    return made


@pytest.fixture(scope="module")
def server(store: MaildirStore) -> Iterator[Dovecot]:
    with dovecot(store.root) as running:
        yield running
        assert not [line for line in running.log.splitlines() if "Error:" in line or "Fixed a duplicate" in line]


@pytest.fixture
def person(request: pytest.FixtureRequest) -> str:
    """A mailbox for each test: one server serves them all."""
    return f"{request.node.name.replace('_', '-')}@example.org"


def uid_of(client: IMAPClient, number: int) -> int:
    (uid,) = client.search(["HEADER", "Message-ID", make_item(number).message_id])
    return uid


def flags_of(client: IMAPClient, number: int) -> set[bytes]:
    """Without \\Recent, which is the session's, not the message's."""
    return set(client.get_flags([uid_of(client, number)]).popitem()[1]) - {rb"\Recent"}


def test_items_are_seen_with_flags_dates_and_text(store: MaildirStore, server: Dovecot, person: str) -> None:
    store.put([Put(person, HISTORY, ONE), Put(person, HISTORY, TWO, ""), Put(person, HISTORY, THREE, "FRS")])
    with server.login(person) as client:
        assert (HISTORY in {name for _, _, name in client.list_folders()}) and client.folder_exists(HISTORY)
        assert HISTORY in {name for _, _, name in client.list_sub_folders()}
        assert client.select_folder(HISTORY)[b"EXISTS"] == 3
        assert flags_of(client, 1) == {rb"\Seen"}
        assert flags_of(client, 2) == set()
        assert flags_of(client, 3) == {rb"\Seen", rb"\Flagged", rb"\Answered"}
        assert client.search(["UNSEEN"]) == [uid_of(client, 2)]
        fetched = client.fetch([uid_of(client, 1)], ["INTERNALDATE", "BODY.PEEK[]"]).popitem()[1]
        assert fetched[b"INTERNALDATE"] == datetime.fromtimestamp(CHANGED // 1_000_000, UTC)
        assert fetched[b"BODY[]"] == ONE.content.replace(b"\n", b"\r\n")
    found = store.locate(person, HISTORY, TWO.name)
    assert found and (found.flags, found.is_new) == ("", False), "the server has moved it to cur"


def test_an_open_session_sees_what_is_filed_meanwhile(store: MaildirStore, server: Dovecot, person: str) -> None:
    with server.login(person) as client:
        client.select_folder(HISTORY)
        store.put([Put(person, HISTORY, ONE), Put(person, LOCAL, TWO)])
        client.noop()
        assert flags_of(client, 1) == {rb"\Seen"}
        assert LOCAL in {name for _, _, name in client.list_folders()}


def test_a_hard_linked_item_is_expunged_in_one_mailbox_only(store: MaildirStore, server: Dovecot, person: str) -> None:
    other = "other-" + person
    store.put([Put(person, HISTORY, ONE), Put(other, HISTORY, ONE)])
    assert {path.stat().st_nlink for path in store.root.glob(f"*/*{person.split('@')[0]}/.Conv*/cur/*")} == {2}
    with server.login(person) as client:
        client.select_folder(HISTORY)
        client.delete_messages([uid_of(client, 1)])
        assert store.locate(person, HISTORY, ONE.name) is None, "trashed is deleted"
        assert store.put([Put(person, HISTORY, ONE)], careful=True) == [None]
        client.expunge()
        assert client.search() == []
    assert store.locate(person, HISTORY, ONE.name) is None
    with server.login(other) as client:
        client.select_folder(HISTORY)
        assert client.fetch([uid_of(client, 1)], ["BODY.PEEK[]"])
    assert store.locate(other, HISTORY, ONE.name)


@pytest.mark.parametrize("utf8", [False, True])
@pytest.mark.parametrize("folder", [LOCAL, "Gesprächsverlauf & mehr", "對話" * 100, f"{HISTORY}/2024"])
def test_folders_in_any_script(folder: str, utf8: bool) -> None:
    with mail_directory() as data:
        store = MaildirStore(TEMPLATE, data=data, ownership=mail_user(), encoding="utf-8" if utf8 else "utf-7")
        store.put([Put(ALICE, folder, ONE)])
        with dovecot(store.root, utf8=utf8) as server, server.login(ALICE) as client:
            (listed,) = set(store.folders(ALICE)) - {"INBOX"}
            assert listed in {name for _, _, name in client.list_folders()}
            assert client.select_folder(listed)[b"EXISTS"] == 1
            client.add_flags(client.search(), [rb"\Flagged"])
            found = store.locate(ALICE, folder, ONE.name)
            assert found and found.flags == "FS"


def test_flags_and_keywords_are_found_as_set(store: MaildirStore, server: Dovecot, person: str) -> None:
    store.put([Put(person, HISTORY, ONE)])
    with server.login(person) as client:
        client.select_folder(HISTORY)
        client.add_flags([uid_of(client, 1)], [rb"\Flagged", "$Important", "Work"])
        found = store.locate(person, HISTORY, ONE.name)
        assert found and (found.flags, found.seen) == ("FSab", True)
        client.remove_flags([uid_of(client, 1)], [rb"\Seen"])
        found = store.locate(person, HISTORY, ONE.name)
        assert found and (found.flags, found.seen) == ("Fab", False)


def test_a_replacement_takes_over_flags_and_keywords(store: MaildirStore, server: Dovecot, person: str) -> None:
    store.put([Put(person, HISTORY, ONE)])
    with server.login(person) as client:
        client.select_folder(HISTORY)
        client.add_flags([uid_of(client, 1)], [rb"\Flagged", "$Important"])
        found = store.locate(person, HISTORY, ONE.name)
        assert found
        store.put([Put(person, HISTORY, TWO, found.flags)])
        assert store.remove(person, HISTORY, ONE.name)
        client.noop()
        assert flags_of(client, 2) == {rb"\Seen", rb"\Flagged", b"$Important"}
        assert len(client.search()) == 1


def test_a_moved_item_is_gone_and_a_copy_changes_nothing(store: MaildirStore, server: Dovecot, person: str) -> None:
    store.put([Put(person, HISTORY, ONE), Put(person, HISTORY, TWO)])
    with server.login(person) as client:
        client.create_folder("Kept")
        client.select_folder(HISTORY)
        client.move([uid_of(client, 1)], "Kept")
        client.copy([uid_of(client, 2)], "Kept")
    assert store.locate(person, HISTORY, ONE.name) is None
    assert store.locate(person, HISTORY, TWO.name)
    assert sorted(store.read(person, "Kept", found.name) for found in store.items(person, "Kept")) == [
        ONE.content,
        TWO.content,
    ]


def test_after_a_move_there_and_back_careful_finds_it(store: MaildirStore, server: Dovecot, person: str) -> None:
    """It has a name of the server's making then; only the Message-ID tells."""
    store.put([Put(person, HISTORY, ONE), Put(person, HISTORY, TWO)])
    with server.login(person) as client:
        client.create_folder("Kept")
        client.select_folder(HISTORY)
        client.move([uid_of(client, 1)], "Kept")
        client.select_folder("Kept")
        client.move(client.search(), HISTORY)
        client.select_folder(HISTORY)
        client.append(HISTORY, THREE.content.replace(b"\n", b"\r\n"), [rb"\Seen"])
        assert store.locate(person, HISTORY, ONE.name) is None
        puts = [Put(person, HISTORY, item) for item in (ONE, TWO, THREE)]
        assert store.put(puts, careful=True) == [None] * 3
        client.noop()
        assert len(client.search()) == 3


def test_a_renamed_folder_is_left_alone_and_made_anew(store: MaildirStore, server: Dovecot, person: str) -> None:
    store.put([Put(person, HISTORY, ONE)])
    with server.login(person) as client:
        client.rename_folder(HISTORY, "Talks")
        assert store.locate(person, HISTORY, ONE.name) is None
        store.put([Put(person, HISTORY, TWO)])
        assert client.select_folder("Talks")[b"EXISTS"] == 1
        assert client.select_folder(HISTORY)[b"EXISTS"] == 1


def test_while_flags_change_nothing_is_filed_twice(store: MaildirStore, server: Dovecot, person: str) -> None:
    """Another process flags and unflags without pause while all is located and put with care."""
    items = [make_item(number) for number in range(100, 130)]
    puts = [Put(person, HISTORY, item) for item in items]
    store.put(puts)
    toggle = (
        "import imapclient, sys\n"
        "c = imapclient.IMAPClient('127.0.0.1', int(sys.argv[1]), ssl=False)\n"
        "c.login(sys.argv[2], 'secret'); c.select_folder('Conversation History'); print('on', flush=True)\n"
        "u = c.search()\n"
        "for _ in range(60): c.add_flags(u, [b'\\\\Flagged']); c.remove_flags(u, [b'\\\\Flagged'])\n"
    )
    client = subprocess.Popen(
        [sys.executable, "-c", toggle, str(server.port), person], stdout=subprocess.PIPE, env=dict(os.environ)
    )
    assert client.stdout and client.stdout.readline() == b"on\n"
    rounds = 0
    while client.poll() is None:
        assert all(store.locate_all([Where(person, HISTORY, item.name) for item in items]))
        assert store.put(puts, careful=True) == [None] * len(puts)
        rounds += 1
    client.stdout.close()
    assert client.returncode == 0 and rounds > 0
    assert [found.name for found in store.items(person, HISTORY)] == sorted(item.name for item in items)


def test_the_sample_configuration_reads_where_the_archiver_files() -> None:
    sample = Path(__file__).parent.parent / "scripts" / "dovecot" / "conversation-history.conf"
    binary = shutil.which("doveconf", path=f"{os.environ.get('PATH', '')}:/usr/bin:/usr/local/bin")
    assert binary, "dovecot is not installed: apt-get install dovecot-imapd"
    shown = subprocess.run([binary, "-n", "-c", str(sample)], capture_output=True, text=True, check=True).stdout
    for line in ("mailbox_list_index = no", 'mailbox "Conversation History" {', "auto = subscribe"):
        assert line in shown
    assert "special_use" not in shown
    assert TEMPLATE.format(data="home=/var/lib/archiver", domain="%Ld", local="%Ln") in shown


def test_people_are_found_by_the_name_they_log_in_with(store: MaildirStore, server: Dovecot) -> None:
    store.put([Put("Mixed.Case_Tag@Example.ORG", HISTORY, ONE), Put(BOB, HISTORY, ONE)])
    for login in ("mixed.case_tag@example.org", "MIXED.case_tag@EXAMPLE.org"):
        with server.login(login) as client:
            assert client.select_folder(HISTORY)[b"EXISTS"] == 1
