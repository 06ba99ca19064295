"""A real mail server reads what was filed; its users do as users do; a continuation leaves what it should."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC
from pathlib import Path

import pytest
from builders import BASE, HOUR, say
from imapclient import IMAPClient
from servers.dovecot import Dovecot, dovecot, mail_directory

from archiver.events import Captured, ndjson
from system.archives import FOLDER, archiver, owned_by_mail_user, parsed, text_of

pytestmark = [pytest.mark.server, pytest.mark.slow]

ME, PEER = "alice@example.org", "bob@example.org"
TALKS = {name: f"{name}@conference.example.org" for name in ("kept", "moved", "copied", "deleted", "flagged", "unread")}


class Served:
    """An archive in a directory, with a mail server over it."""

    def __init__(self, root: Path, server: Dovecot) -> None:
        self.root = root
        self.server = server
        self._files = 0

    def backfill(self, events: list[Captured]) -> None:
        self._files += 1
        path = self.root / f"events-{self._files}.ndjson"
        path.write_bytes(ndjson(events))
        archiver(self.root, "backfill", "events", str(path), config=self.root / "archiver.toml")


@pytest.fixture
def served() -> Iterator[Served]:
    with mail_directory() as root:
        owned_by_mail_user(root)
        (root / "mail").mkdir(mode=0o755)
        with dovecot(root / "mail") as server:
            yield Served(root, server)


def talk(room: str, begin: float, *texts: str) -> list[Captured]:
    people = [ME, PEER]
    return [
        say(people[n % 2], text, begin + n, id=f"{room}-{begin}-{n}", room=room, present=people)
        for n, text in enumerate(texts)
    ]


def uids(client: IMAPClient, room: str) -> list[int]:
    return client.search(["HEADER", "X-Archiver-Conversation", room])


def texts(client: IMAPClient, folder: str, room: str) -> list[str]:
    client.select_folder(folder, readonly=True)
    found = client.fetch(uids(client, room), ["BODY.PEEK[]"])
    return [text_of(parsed(found[uid][b"BODY[]"])) for uid in sorted(found)]


def test_folder_items_text_flags_dates_and_threads(served: Served) -> None:
    served.backfill(talk("one", 0, "hello", "hi") + talk("one", 2 * HOUR, "again", "yes") + talk("two", 0, "x", "y"))
    with served.server.login(ME) as client:
        assert FOLDER in [name for _, _, name in client.list_folders()]
        client.select_folder(FOLDER, readonly=True)
        everything = client.search()
        assert len(everything) == 3
        fetched = client.fetch(everything, ["FLAGS", "INTERNALDATE", "BODY.PEEK[]"])
        for data in fetched.values():
            assert rb"\Seen" in data[b"FLAGS"]
        dates = sorted(data[b"INTERNALDATE"].astimezone(UTC).timestamp() for data in fetched.values())
        assert dates == [BASE + 1, BASE + 1, BASE + 2 * HOUR + 1]
        assert sum("Alice: hello" in text_of(parsed(data[b"BODY[]"])) for data in fetched.values()) == 1
        threads = client.thread("REFS")
        assert sorted(len(flat(thread)) for thread in threads) == [1, 2]


def flat(thread: object) -> list[int]:
    if isinstance(thread, int):
        return [thread]
    return [uid for each in thread for uid in flat(each)]  # type: ignore[attr-defined]


def test_a_missed_conversation_is_unread(served: Served) -> None:
    served.backfill([say(PEER, "are you there?", 0, where="im", present=[ME, PEER])])
    with served.server.login(ME) as client:
        client.select_folder(FOLDER, readonly=True)
        (uid,) = client.search(["UNSEEN"])
        message = parsed(client.fetch([uid], ["BODY.PEEK[]"])[uid][b"BODY[]"])
    assert message["Subject"] == "Missed conversation with Bob"
    assert message["X-Archiver-Item-Class"] == "IPM.Note.Microsoft.Missed"


def test_what_users_did_with_their_items_is_respected_by_a_continuation(served: Served) -> None:
    begin = {room: talk(room, 0, f"{name} one", f"{name} two") for name, room in TALKS.items()}
    served.backfill([event for events in begin.values() for event in events])
    with served.server.login(ME) as client:
        client.create_folder("Elsewhere")
        client.select_folder(FOLDER)
        client.move(uids(client, TALKS["moved"]), "Elsewhere")
        client.copy(uids(client, TALKS["copied"]), "Elsewhere")
        client.delete_messages(uids(client, TALKS["deleted"]))
        client.expunge()
        client.add_flags(uids(client, TALKS["flagged"]), [rb"\Flagged", b"$Keyword"])
        client.remove_flags(uids(client, TALKS["unread"]), [rb"\Seen"])
    # Alice's own further words: they make nothing unread.
    more = {room: [say(ME, f"{name} three", 60, id=f"{room}-more", room=room)] for name, room in TALKS.items()}
    for _ in range(2):  # and a re-run changes nothing
        served.backfill([event for events in more.values() for event in events])
        assert_as_it_should_be(served)


def assert_as_it_should_be(served: Served) -> None:
    with served.server.login(ME) as client:
        for name in ("kept", "copied", "flagged", "unread"):
            (text,) = texts(client, FOLDER, TALKS[name])
            assert f"{name} one" in text and f"{name} three" in text, name
        for name in ("moved", "deleted"):
            (text,) = texts(client, FOLDER, TALKS[name])
            assert f"{name} three" in text and f"{name} one" not in text, name
        for name in ("moved", "copied"):
            (text,) = texts(client, "Elsewhere", TALKS[name])
            assert f"{name} one" in text and f"{name} three" not in text, name
        client.select_folder(FOLDER, readonly=True)
        flags = {name: set(client.get_flags(uids(client, room)).popitem()[1]) for name, room in TALKS.items()}
    assert {rb"\Flagged", b"$Keyword", rb"\Seen"} <= flags["flagged"]
    assert rb"\Seen" not in flags["unread"] and rb"\Seen" in flags["kept"]


def test_somebody_elses_words_make_the_continued_item_unread(served: Served) -> None:
    served.backfill(talk("room", 0, "one", "two"))
    served.backfill([say(PEER, "three", 60, id="later", room="room")])
    with served.server.login(ME) as client:
        client.select_folder(FOLDER, readonly=True)
        assert len(client.search()) == len(client.search(["UNSEEN"])) == 1
    with served.server.login(PEER) as client:
        client.select_folder(FOLDER, readonly=True)
        assert client.search(["UNSEEN"]) == []
