"""People of an export as a whole backfill files them: bots, deleted and renamed accounts, one person twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, cast

from click.testing import Result

Call = Callable[..., Result]


def user(identity: str, name: str, email: str | None, **more: Any) -> dict[str, Any]:
    profile = {"display_name": name.title(), **({"email": email} if email else {})}
    return {"id": identity, "team_id": "T1", "name": name, "profile": profile, **more}


ANN, BOB = user("U1", "ann", "ann@example.org"), user("U2", "bob", "bob@example.org")
GONE = user("U3", "gone", None, deleted=True)
ROBOT = user("B1", "robot", None, is_bot=True)


def slack(root: Path, users: list[dict[str, Any]], *said: tuple[str, str]) -> Path:
    (root / "general").mkdir(parents=True)
    (root / "users.json").write_text(json.dumps(users))
    room = {"id": "C1", "name": "general", "members": [each["id"] for each in users]}
    (root / "channels.json").write_text(json.dumps([room]))
    lines = [
        {"type": "message", "ts": f"17041800{n:02}.000100", "user": who, "text": text}
        for n, (who, text) in enumerate(said)
    ]
    (root / "general" / "2024-01-02.json").write_text(json.dumps(lines))
    return root


def items(tmp_path: Path) -> dict[str, list[EmailMessage]]:
    """By mailbox."""
    found: dict[str, list[EmailMessage]] = {}
    for path in sorted((tmp_path / "data" / "mail").glob("*/*/.*/[cn]*/*")):
        mailbox = f"{path.parts[-4]}@{path.parts[-5]}"
        found.setdefault(mailbox, []).append(
            cast(EmailMessage, message_from_bytes(path.read_bytes(), policy=policy.default))
        )
    return found


def mapped(*anns: str) -> str:
    """A configuration in which these are Ann's."""
    people = dict.fromkeys(anns, "ann@example.org") | {"bob@example.org": "bob@example.org"}
    return "[directory.people]\n" + "".join(f"'{address}' = '{mailbox}'\n" for address, mailbox in people.items())


def text(message: EmailMessage) -> str:
    body = message.get_body(("plain",))
    assert body is not None
    return str(body.get_content())


def test_bots_and_deleted_accounts_are_in_the_text_and_have_no_mailbox(call: Call, tmp_path: Path) -> None:
    export = slack(
        tmp_path / "slack", [ANN, BOB, GONE, ROBOT], ("U1", "hello"), ("U3", "I leave"), ("B1", "beep"), ("U2", "bye")
    )
    call("backfill", export, config="[directory]\ndomains = ['example.org']\n", status=2)
    call("backfill", export, "--placeholder", config="[directory]\ndomains = ['example.org']\n")
    found = items(tmp_path)
    assert sorted(found) == ["ann@example.org", "bob@example.org"]
    for (item,) in found.values():
        assert [each in text(item) for each in ("hello", "I leave", "beep", "bye", "Gone", "Robot")] == [True] * 6


def test_an_account_that_was_renamed_is_the_same_person(call: Call, tmp_path: Path) -> None:
    """Between two downloads Ann took another name, and the mail address that goes with it."""
    call("backfill", slack(tmp_path / "one", [ANN, BOB], ("U1", "hello"), ("U2", "hi")))
    renamed = user("U1", "anna", "anna@example.org")
    ours = mapped("anna@example.org", "ann@example.org")
    again = slack(tmp_path / "two", [renamed, BOB], ("U1", "hello"), ("U2", "hi"), ("U1", "more"))
    done = json.loads(call("backfill", "--json", again, config=ours).stdout)
    assert (done["accepted"], done["duplicates"], done["conflicts"]) == (1, 2, 0)
    found = items(tmp_path)
    assert sorted(found) == ["ann@example.org", "bob@example.org"]
    for (item,) in found.values():
        assert [text(item).count(each) for each in ("hello", "hi\n", "more")] == [1, 1, 1]


def test_one_person_by_two_addresses_has_one_view(call: Call, tmp_path: Path) -> None:
    """Ann was in the room with two accounts: one item, all of it, once."""
    work = user("U4", "ann.w", "ann@work.example")
    export = slack(tmp_path / "slack", [ANN, BOB, work], ("U1", "hello"), ("U4", "also me"), ("U2", "hi both"))
    ours = mapped("ann@work.example", "ann@example.org")
    call("backfill", export, config=ours)
    found = items(tmp_path)
    assert {mailbox: len(each) for mailbox, each in found.items()} == {"ann@example.org": 1, "bob@example.org": 1}
    (item,) = found["ann@example.org"]
    assert [text(item).count(each) for each in ("hello", "also me", "hi both")] == [1, 1, 1]
