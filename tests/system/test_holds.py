"""Under a hold, what its owner does over IMAP loses nothing: a real mail server over what the command files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from builders import say
from imapclient import IMAPClient
from servers.dovecot import Dovecot, dovecot, mail_directory

from archiver.events import Captured, ndjson
from archiver.spool import Spool
from system.archives import FOLDER, archiver, owned_by_mail_user

pytestmark = [pytest.mark.server, pytest.mark.slow]

ME, PEER = "alice@example.org", "bob@example.org"
WHO = ("--by", "Legal, J. Doe", "--reason", "case 7")


class Served:
    """The command, and a mail server over what it files."""

    def __init__(self, root: Path, server: Dovecot) -> None:
        self.root = root
        self.server = server
        self._files = 0

    def __call__(self, *arguments: str) -> str:
        return archiver(self.root, *arguments, config=self.root / "archiver.toml")

    def backfill(self, events: Sequence[Captured]) -> None:
        self._files += 1
        path = self.root / f"events-{self._files}.ndjson"
        path.write_bytes(ndjson(events))
        self("backfill", "events", str(path))

    def kept(self) -> list[str]:
        """Of which rooms the archive has items, whole and as their manifest says."""
        found = json.loads(self("inspect", "--verify", "--json"))
        assert [each for each in found if each["kind"] == "problem"] == []
        items = [path.read_text() for path in self.root.glob("archive/example.org/alice/.Recoverable*/cur/*")]
        mark = "X-Archiver-Conversation: "
        return sorted(line.removeprefix(mark) for item in items for line in item.split("\n") if mark in line)


@pytest.fixture
def served() -> Iterator[Served]:
    with mail_directory() as root:
        owned_by_mail_user(root)
        (root / "mail").mkdir(mode=0o755)
        with dovecot(root / "mail") as server:
            yield Served(root, server)


def talk(room: str, *texts: str, begin: float = 0) -> list[Captured]:
    people = [ME, PEER]
    return [
        say(people[n % 2], text, begin + n, id=f"{room}-{begin}-{n}", room=room, present=people)
        for n, text in enumerate(texts)
    ]


def delete_all(client: IMAPClient, folder: str) -> None:
    client.select_folder(folder)
    client.delete_messages(client.search())
    client.expunge()


def test_what_is_filed_under_a_hold_survives_its_owners_delete(served: Served) -> None:
    served.backfill(talk("before", "one", "two"))
    served("hold", "place", ME, *WHO)
    served.backfill(talk("during", "one", "two"))
    with served.server.login(ME) as client:
        client.select_folder(FOLDER)
        assert len(client.search()) == 2
        delete_all(client, FOLDER)
        assert client.search() == []
        assert all("Recoverable" not in name for _, _, name in client.list_folders())
    assert served.kept() == ["before", "during"]


def test_a_new_hold_finds_what_its_owner_moved_away(served: Served) -> None:
    served.backfill([*talk("moved", "one", "two"), *talk("copied", "one", "two"), *talk("kept", "one", "two")])
    with served.server.login(ME) as client:
        client.create_folder("Elsewhere")
        client.select_folder(FOLDER)
        client.move(client.search(["HEADER", "X-Archiver-Conversation", "moved"]), "Elsewhere")
        client.copy(client.search(["HEADER", "X-Archiver-Conversation", "copied"]), "Elsewhere")
        client.append("INBOX", b"Subject: private\r\nMessage-ID: <private@example.com>\r\n\r\nhello\r\n")
    assert "4 items that lay there already kept" in served("hold", "place", ME, *WHO)
    with served.server.login(ME) as client:
        delete_all(client, FOLDER)
        delete_all(client, "Elsewhere")
        client.delete_folder("Elsewhere")
    assert served.kept() == ["copied", "kept", "moved"], "a copy under the same name is the same"


def test_only_what_the_query_covers_is_kept_and_a_continuation_keeps_both_versions(served: Served) -> None:
    served.backfill(talk("else", "lunch?", "yes"))
    served("hold", "place", ME, "--query", '"project x" OR with:eve@example.org', *WHO)
    served.backfill(talk("secret", "Project X is late", "oh"))
    served.backfill(talk("secret", "and more", begin=60))
    with served.server.login(ME) as client:
        client.select_folder(FOLDER)
        assert len(client.search()) == 2, "her own folder has the newest version only"
        delete_all(client, FOLDER)
    assert served.kept() == ["secret", "secret"]


def test_the_daemons_round_takes_a_hold_that_another_user_placed(served: Served) -> None:
    served.backfill(talk("before", "one", "two"))
    with Spool.open(served.root) as spool:
        spool.place_hold(ME, by="legal", reason="case 7", now=0)
    assert served.kept() == []
    assert "not all kept yet" in served("hold", "list")
    served("run", "--once")
    assert served.kept() == ["before"]
    assert "not all kept yet" not in served("hold", "list")
