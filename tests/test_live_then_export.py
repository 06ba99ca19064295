"""What a webhook told as it happened, and the product's export tells again: nothing twice, and no conflict about who.

A webhook has ids and user names, an export mail addresses; `[directory]` says which belong together. Both are made from
the products' published formats, and go through a real spool.
"""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bson
import pytest
from builders import BASE, say
from click.testing import CliRunner
from graph_builder import FIXTURES, STATE, graph, notified

from archiver import config as configuration
from archiver.assembly import open_spool
from archiver.cli import main
from archiver.events import SECOND, Captured, Rejected, capture
from archiver.sources.webhooks.mattermost import Mattermost
from archiver.sources.webhooks.product import Delivery
from archiver.sources.webhooks.rocketchat import RocketChat
from archiver.sources.webhooks.slack import Slack

AT = 1_700_000_000
ANN, BOB = "ann@example.org", "bob@example.org"
Told = list[Captured | Rejected]


def delivered(product: Any, *bodies: dict[str, Any]) -> Told:
    deliveries = [Delivery("", {}, json.dumps(each).encode(), AT * SECOND) for each in bodies]
    return [piece for each in deliveries for piece in product((b"secret",)).read(each)]


# --- each product, live and as an export


def slack_live() -> Told:
    def told(**happened: Any) -> dict[str, Any]:
        return {"type": "event_callback", "team_id": "T1", "event": {"channel": "C1", **happened}}

    said = [
        told(type="message", user="U1", text="one", ts=f"{AT}.000100"),
        told(type="message", user="U2", text="two", ts=f"{AT + 1}.000100", thread_ts=f"{AT}.000100"),
        told(type="message", subtype="channel_join", user="U2", text="", ts=f"{AT - 9}.000100"),
    ]
    item = {"type": "message", "channel": "C1", "ts": f"{AT}.000100"}
    reacted = told(type="reaction_added", user="U2", reaction="+1", item=item, event_ts=f"{AT + 60}.000100")
    return delivered(Slack, *said, reacted)


def slack_export(folder: Path) -> Path:
    users = [
        {"id": id, "team_id": "T1", "name": name, "profile": {"email": f"{name}@example.org"}}
        for id, name in (("U1", "ann"), ("U2", "bob"))
    ]
    lines = [
        {"type": "message", "subtype": "channel_join", "user": "U2", "text": "", "ts": f"{AT - 9}.000100"},
        {"type": "message", "user": "U1", "text": "one", "ts": f"{AT}.000100"}
        | {"reactions": [{"name": "+1", "users": ["U2"], "count": 1}]},
        {"type": "message", "user": "U2", "text": "two", "ts": f"{AT + 1}.000100", "thread_ts": f"{AT}.000100"},
    ]
    (folder / "general").mkdir()
    (folder / "users.json").write_text(json.dumps(users))
    (folder / "channels.json").write_text(json.dumps([{"id": "C1", "name": "general", "members": ["U1", "U2"]}]))
    (folder / "general" / "2023-11-14.json").write_text(json.dumps(lines))
    return folder


def mattermost_live() -> Told:
    posts = [
        {"token": "secret", "channel_id": "c1", "post_id": f"p{n}", "user_id": f"u{n}", "user_name": who}
        | {"timestamp": (AT + n) * 1000, "text": f"words {n}", "channel_name": "town"}
        for n, who in enumerate(("ann", "bob"))
    ]
    return delivered(Mattermost, *posts)


def mattermost_export(folder: Path) -> Path:
    rows = [
        {"Post Creation Time": (AT + n) * 1000, "Post Update Time": 0, "Channel Id": "c1", "Channel Type": "public"}
        | {"User Id": f"u{n}", "User Email": f"{who}@example.org", "Username": who, "Post Id": f"p{n}"}
        | {"Post Message": f"words {n}", "Post Type": "message", "User Type": "user"}
        for n, who in enumerate(("ann", "bob"))
    ]
    with (folder / "posts.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return folder


def rocketchat_live() -> Told:
    posts = [
        {"token": "secret", "channel_id": "GENERAL", "channel_name": "general", "message_id": f"m{n}", "user_id": who}
        | {"user_name": who, "timestamp": f"2023-11-14T22:13:2{n}.123Z", "text": f"words {n}"}
        for n, who in enumerate(("ann", "bob"))
    ]
    return delivered(RocketChat, *posts)


def rocketchat_export(folder: Path) -> Path:
    def write(name: str, records: Iterable[dict[str, Any]]) -> None:
        (folder / name).write_bytes(b"".join(map(bson.encode, records)))

    people = list(enumerate(("ann", "bob")))
    write("users.bson", ({"_id": w, "username": w, "emails": [{"address": f"{w}@example.org"}]} for _, w in people))
    write("rocketchat_room.bson", [{"_id": "GENERAL", "t": "c", "name": "general"}])
    said = (
        {"_id": f"m{n}", "rid": "GENERAL", "u": {"_id": who, "username": who}, "msg": f"words {n}"}
        | {"ts": datetime(2023, 11, 14, 22, 13, 20 + n, 123_000, UTC)}
        for n, who in people
    )
    write("rocketchat_message.bson", said)
    return folder


def teams_live() -> Told:
    product = graph(Path(tempfile.mkdtemp()), (STATE.encode(),))
    bodies = [
        notified(f"words {n}", id=str((AT + n) * 1000), createdDateTime=f"2023-11-14T22:13:2{n}Z", **{"from": _user(n)})
        for n in range(2)
    ]
    return [piece for each in bodies for piece in product.read(Delivery("", {}, each, AT * SECOND))]


def _user(n: int) -> dict[str, Any]:
    return {"user": {"id": f"u{n}", "displayName": ("Ann", "Bob")[n]}}


def teams_export(folder: Path) -> Path:
    """As an administrator's: big initials, everybody's mail address in a list."""
    users = [{"Id": f"u{n}", "Mail": who, "DisplayName": who} for n, who in enumerate((ANN, BOB))]
    said = [
        {"Id": str((AT + n) * 1000), "CreatedDateTime": f"2023-11-14T22:13:2{n}.000+00:00", "MessageType": "message"}
        | {"ChatId": "19:abc@thread.v2", "From": {"User": {"Id": f"u{n}", "DisplayName": ("Ann", "Bob")[n]}}}
        | {"Body": {"ContentType": "text", "Content": f"words {n}"}}
        for n in range(2)
    ]
    (folder / "users" / "u0").mkdir(parents=True)
    (folder / "users" / "usersList.json").write_text(json.dumps(users))
    (folder / "users" / "u0" / "messages_u0.json").write_text(json.dumps(said))
    return folder


NAMES = {"ann": ANN, "bob": BOB}
PRODUCTS: dict[str, tuple[Callable[[], Told], Callable[[Path], Path], dict[str, str]]] = {
    "slack": (slack_live, slack_export, {"U1": ANN, "U2": BOB}),
    "mattermost-csv": (mattermost_live, mattermost_export, NAMES),
    "rocketchat": (rocketchat_live, rocketchat_export, NAMES),
    "teams": (teams_live, teams_export, {"u0": ANN, "u1": BOB}),
}


class House:
    def __init__(self, folder: Path, people: dict[str, str]) -> None:
        self.data = folder / "data"
        self.file = folder / "archiver.toml"
        named = "\n".join(f'"{address}" = "{mailbox}"' for address, mailbox in people.items())
        self.file.write_text(f"[directory.people]\n{named}\n" if people else "")
        self.config = configuration.load(self.file)

    def hear(self, pieces: Told) -> None:
        assert pieces and all(isinstance(each, Captured) for each in pieces)
        with open_spool(self.config, self.data) as spool:
            spool.append(pieces, spool.open_feed("webhook:it", "live").number, live=True)

    def forget(self) -> None:
        """As after the days for which events stay: of each only its identity is kept."""
        with open_spool(self.config, self.data) as spool, spool._connections.writing() as transaction:
            transaction.connection.execute("DELETE FROM event")

    def call(self, *arguments: object, status: int = 0) -> Any:
        call = ["--data", str(self.data), "--config", str(self.file), "--json", *map(str, arguments)]
        result = CliRunner().invoke(main, call)
        assert result.exit_code == status, result.output
        return json.loads(result.stdout)

    def outcomes(self, path: Path, status: int = 0) -> tuple[int, int, int]:
        report = self.call("backfill", path, status=status)
        return report["accepted"], report["duplicates"], report["conflicts"]


@pytest.fixture
def export(tmp_path: Path) -> Path:
    (tmp_path / "export").mkdir()
    return tmp_path / "export"


@pytest.mark.parametrize("product", PRODUCTS)
def test_an_export_tells_nothing_again_once_the_directory_knows_who_is_meant(
    product: str, tmp_path: Path, export: Path
) -> None:
    live, written, people = PRODUCTS[product]
    house, told, path = House(tmp_path, people), live(), written(export)
    house.hear(told)
    (would,) = house.call("backfill", "--dry-run", path)["formats"]
    assert (would["new"], would["known"], would["conflicts"]) == (0, len(told), 0)
    assert house.outcomes(path) == (0, len(told), 0)
    assert house.outcomes(path, 0)[0] == 0


@pytest.mark.parametrize("product", PRODUCTS)
def test_without_a_directory_it_is_told_as_a_conflict_and_nothing_is_lost(
    product: str, tmp_path: Path, export: Path
) -> None:
    live, written, _ = PRODUCTS[product]
    house, told = House(tmp_path, {}), live()
    house.hear(told)
    assert house.outcomes(written(export), 1) == (0, 0, len(told))


@pytest.mark.parametrize("product", ["mattermost-csv", "rocketchat", "teams"])
def test_so_it_is_years_later(product: str, tmp_path: Path, export: Path) -> None:
    live, written, people = PRODUCTS[product]
    house, told = House(tmp_path, people), live()
    house.hear(told)
    house.forget()
    assert house.outcomes(written(export)) == (0, len(told), 0)


def test_years_later_the_time_of_a_reaction_is_in_doubt(tmp_path: Path, export: Path) -> None:
    """An export stands it at the time of its message, and what was captured is not there to compare."""
    house = House(tmp_path, PRODUCTS["slack"][2])
    house.hear(slack_live())
    house.forget()
    assert house.outcomes(slack_export(export), 1) == (0, 3, 1)


def test_an_edit_that_is_delivered_again_is_the_same(tmp_path: Path) -> None:
    """Rocket.Chat tries again where a reply is lost, and doesn't say when a message was changed."""
    post = json.loads((FIXTURES / "rocketchat" / "post.json").read_text()) | {"isEdited": True}

    def edited(at: int, text: str) -> Captured:
        delivery = Delivery("", {}, json.dumps(post | {"text": text}).encode(), at * SECOND)
        (piece,) = RocketChat((b"secret",)).read(delivery)
        assert isinstance(piece, Captured)
        return piece

    house = House(tmp_path, {})
    assert outcome(house, edited(AT, "hullo"), edited(AT + 9, "hullo")) == "duplicate"
    assert outcome(house, edited(AT, "hullo"), edited(AT + 9, "hi")) == "conflict"


# --- what is the same, event by event

ROOM = "team@rooms.example.org"


def outcome(house: House, first: Captured, again: Captured) -> str:
    house.hear([first])
    with open_spool(house.config, house.data) as spool:
        feed = spool.open_feed("import:it", "import").number
        together = spool.append([again], feed).outcomes
        assert spool.append([again], feed).outcomes[0] == "duplicate"
    (told,) = together
    return str(told)


def whisper(who: str, to: str, name: str, text: str = "psst") -> Captured:
    """Between two occupants of a room; `name` is the nick of who said it."""
    said = json.loads(say(who, text, 0, id="w", to=[to], room=ROOM).body)
    said["data"]["actor"]["name"], said["data"]["message"]["to"][0]["name"] = name, "bob"
    return capture(json.dumps(said).encode(), received=BASE * SECOND)


@pytest.mark.parametrize(
    ("first", "again", "expected"),
    [
        ((ANN, BOB, "ann"), (f"{ROOM}/ann", BOB, "ann"), "duplicate"),
        ((ANN, BOB, "ann"), (ANN, f"{ROOM}/bob", "ann"), "duplicate"),
        ((ANN, BOB, "ann"), (f"{ROOM}/ann", f"{ROOM}/bob", "ann"), "duplicate"),
        ((ANN, BOB, "ann"), ("ann", BOB, "ann"), "duplicate"),
        ((ANN, BOB, "ann"), (f"{ROOM}/anne", BOB, "anne"), "conflict"),
        ((ANN, BOB, "ann"), (f"{ROOM}/ann", "carol@example.org", "ann"), "conflict"),
        ((ANN, BOB, "ann"), (f"{ROOM}/ann", BOB, "ann", "pssst"), "conflict"),
        ((f"{ROOM}/ann", BOB, "ann"), (ANN, BOB, "ann"), "conflict"),  # more is known now: it is kept, for a person
    ],
)
def test_who_is_only_called_by_the_nick_of_who_is_known(
    tmp_path: Path, first: tuple[str, ...], again: tuple[str, ...], expected: str
) -> None:
    assert outcome(House(tmp_path, {}), whisper(*first), whisper(*again)) == expected


def test_whether_people_are_the_same_is_the_directory_s_word(tmp_path: Path) -> None:
    house = House(tmp_path, {"U1": ANN, "u2": ANN, "U3": BOB})
    said = [say(who, "x", 0, id=who) for who in ("U1", ANN, "u2", "U3")]
    renamed = [said[0]] + [capture_as(each, said[0].event.id) for each in said[1:]]
    house.hear([renamed[0]])
    with open_spool(house.config, house.data) as spool:
        feed = spool.open_feed("import:it", "import").number
        told = [spool.append([each], feed).outcomes[0] for each in renamed]
    assert told == ["duplicate", "duplicate", "duplicate", "conflict"]


def test_the_first_of_two_in_one_batch_counts_too(tmp_path: Path) -> None:
    house = House(tmp_path, {"U1": ANN})
    first, again = say("U1", "x", 0, id="1"), capture_as(say(ANN, "x", 0, id="2"), "1")
    with open_spool(house.config, house.data) as spool:
        feed = spool.open_feed("import:it", "import").number
        told = spool.append([first, again, say(BOB, "y", 1, id="3")], feed)
    assert [str(each) for each in told.outcomes] == ["accepted", "duplicate", "accepted"]


def capture_as(said: Captured, identity: str) -> Captured:
    members = json.loads(said.body)
    members["id"] = members["data"]["message"]["id"] = identity
    return capture(json.dumps(members).encode(), received=BASE * SECOND)
