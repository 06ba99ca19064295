"""Taking a backfill back: as if it had never been; and read again, as if once."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
from builders import join, say
from click.testing import Result
from effort import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archiver import backfill
from archiver.backfill import undoing
from archiver.config import load
from archiver.events import Captured, ndjson
from archiver.importers import importer
from archiver.spool import Spool
from archiver.spool.likeness import differs_in_files
from archiver.spool.runs import State

Call = Callable[..., Result]
ALICE, BOB = "alice@example.org", "bob@example.org"


def talk(count: int, room: str = "ab", first: int = 0, step: float = 1) -> list[Captured]:
    numbers = range(first, first + count)
    return [say((ALICE, BOB)[n % 2], f"words {n}", n * step, id=f"{room}{n}", room=room) for n in numbers]


def written(path: Path, events: Sequence[Captured]) -> Path:
    path.write_bytes(ndjson(events))
    return path


def undo(call: Call, run: int, *arguments: object, **more: Any) -> dict[str, Any]:
    decided = ("--by", "me", "--reason", "wrong zone")
    return dict(json.loads(call("backfill", "--undo", run, *decided, "--json", *arguments, **more).stdout))


def test_a_zone_that_was_guessed_is_said_until_it_is_given(call: Call, data: Path, tmp_path: Path) -> None:
    log = tmp_path / "#c.log"
    log.write_text("2020-02-20T10:00:00  <alice> hi\n2020-02-20T10:01:00  <bob> well\n")
    people = '[directory.people]\nalice = "alice@example.org"\nbob = "bob@example.org"\n'
    read = ("backfill", "irc", "--network", "net", log)
    call(*read, config=people)
    (guessed,) = items(data)
    assert b"\nX-Archiver-Guessed: zone=UTC\n" in guessed.read_bytes()
    assert b"Times were read as UTC: the source names no zone" in guessed.read_bytes()
    undo(call, 1, config=people)
    assert not items(data)
    call(*read, "--zone", "UTC", config=people)
    (given,) = items(data)
    assert b"guessed" not in given.read_bytes().lower() and b"names no zone" not in given.read_bytes()


def hits(call: Call) -> list[dict[str, Any]]:
    return list(json.loads(call("inspect", "--search", "words", "--json").stdout)["hits"])


def listing(data: Path) -> list[str]:
    """All items, under their names and flags."""
    return sorted(str(each.relative_to(data)) for each in data.glob("mail/*/*/.*/*/*") if each.is_file())


def names(data: Path) -> list[tuple[str, str]]:
    """Whose items there are; what came unread stays unread."""
    return sorted((Path(each).parts[2], Path(each).name.partition(":")[0]) for each in listing(data))


def kept(data: Path) -> list[str]:
    """What the local archive holds."""
    with Spool.open(data) as spool:
        return sorted(each.name for each in spool.local_items())


def items(data: Path, who: str = "alice") -> list[Path]:
    return sorted(data.glob(f"mail/example.org/{who}/.*/*/*"))


def test_what_a_run_brought_goes_and_comes_again(call: Call, data: Path, tmp_path: Path) -> None:
    path = written(tmp_path / "a.ndjson", talk(4))
    call("backfill", path)
    before = listing(data)
    assert len(before) == 2
    would = json.loads(call("backfill", "--undo", 1, "--dry-run", "--json").stdout)
    assert (would["items"], would["events"], would["left"]) == (2, 4, []) and listing(data) == before
    done = undo(call, 1)
    assert (done["items"], done["events"], done["identities"]) == (2, 4, 4) and listing(data) == []
    with Spool.open(data) as spool:
        assert spool.backfill(1)[0].state is State.UNDONE and spool.sources()[0].spooled == 0
        assert [each.action for each in spool.audits()] == ["undo begun", "undo ended"]
    again = undo(call, 1)
    assert (again["items"], again["events"], again["identities"], again["rooms"]) == (0, 0, 0, 0)
    found = json.loads(call("backfill", path, "--json").stdout)
    assert (found["run"], found["accepted"], found["skipped"]) == (2, 4, 0) and listing(data) == before
    assert "nobody" not in call("doctor").stdout
    call("inspect", "--verify", ALICE)


def test_a_conversation_that_holds_more_is_filed_anew_without_it(call: Call, data: Path, tmp_path: Path) -> None:
    call("backfill", written(tmp_path / "a.ndjson", talk(4)))
    before = listing(data)
    call("backfill", written(tmp_path / "b.ndjson", talk(3, first=4)))
    assert listing(data) != before
    done = undo(call, 2)
    assert done["tally"]["copies"] == 2 and done["left"] == [] and listing(data) == before
    call("inspect", "--verify", ALICE)


def test_what_its_owner_touched_stays_and_is_listed(call: Call, data: Path, tmp_path: Path) -> None:
    path = written(tmp_path / "a.ndjson", talk(2) + talk(2, "b") + talk(2, "c"))
    call("backfill", path)
    flagged, moved, _ = items(data)
    flagged.rename(flagged.with_name(flagged.name.replace(":2,S", ":2,FS")))
    moved.unlink()
    done = undo(call, 1, status=1)
    assert done["items"] == 4 and len(items(data)) == 1 and ":2,FS" in items(data)[0].name
    assert sorted(each["why"] for each in done["left"]) == [
        "its owner has touched it",
        "its owner moved or deleted it",
    ]
    assert "STAYS" in call("backfill", "--undo", 1, "--by", "me", "--reason", "x", status=1).stdout


def test_touched_and_shared_with_others_it_is_replaced_under_its_flags(call: Call, data: Path, tmp_path: Path) -> None:
    call("backfill", written(tmp_path / "a.ndjson", talk(4)))
    call("backfill", written(tmp_path / "b.ndjson", talk(3, first=4)))
    (item,) = items(data)
    kept = item.rename(item.parent.parent / "cur" / (item.name.partition(":")[0] + ":2,FS"))
    done = undo(call, 2)
    (left,) = items(data)
    assert done["left"] == [] and left.name.endswith(":2,FS") and not kept.exists()
    assert b"words 3" in left.read_bytes() and b"words 5" not in left.read_bytes()


def test_under_a_hold_a_room_stays_as_it_is(call: Call, data: Path, tmp_path: Path) -> None:
    path = written(tmp_path / "a.ndjson", [*talk(2), say("carol@example.org", "x", 0, id="c", room="c")])
    call("backfill", path)
    before = listing(data)
    call("hold", "place", ALICE, "--by", "judge", "--reason", "case")
    done = undo(call, 1, status=1)
    assert done["items"] == 1 and len(done["kept"]) == 1 and "held: alice@example.org" in done["kept"][0]
    assert [each for each in listing(data) if "carol" not in each] == [each for each in before if "carol" not in each]
    found = json.loads(call("backfill", path, "--json").stdout)
    assert (found["accepted"], found["duplicates"]) == (1, 2) and listing(data) == before


def test_what_a_live_source_told_too_stays(call: Call, data: Path, tmp_path: Path) -> None:
    """Whichever told it first: what live capture acknowledged isn't lost by taking back a backfill."""
    path = written(tmp_path / "a.ndjson", talk(6) + talk(2, "other"))
    with Spool.open(data) as spool:
        feed = spool.open_feed("xmpp:chat", "live")
        spool.append(talk(2), feed.number, live=True)
        spool.close_feed(feed.number, 0)
    call("backfill", path)
    with Spool.open(data) as spool:
        assert spool.append(talk(2, first=3), feed.number, live=True).duplicates == 2
        assert spool.append(talk(2, first=3), feed.number, live=True).duplicates == 2
        spool.close_feed(feed.number, 0)
    done = undo(call, 1)
    assert (done["events"], done["identities"]) == (4, 4) and len(items(data)) == 1
    said = items(data)[0].read_bytes()
    assert [n for n in range(6) if b"words %d\n" % n in said] == [0, 1, 3, 4]
    found = json.loads(call("backfill", path, "--json").stdout)
    assert (found["accepted"], found["duplicates"]) == (4, 4) and len(items(data)) == 2
    call("inspect", "--verify", ALICE)


def test_what_another_backfill_told_too_stays_until_both_are_taken_back(call: Call, data: Path, tmp_path: Path) -> None:
    ann, bob = written(tmp_path / "ann.ndjson", talk(8)), written(tmp_path / "bob.ndjson", talk(8, first=2))
    call("backfill", ann)
    call("backfill", bob)
    both = listing(data)
    cara = written(tmp_path / "cara.ndjson", talk(3, first=4))
    assert json.loads(call("backfill", cara, "--json").stdout)["duplicates"] == 3
    would = json.loads(call("backfill", "--undo", 1, "--dry-run", "--json").stdout)
    assert (would["events"], would["shared"]) == (2, {"2": 6}) and listing(data) == both
    assert "6 events that backfill 2 told too: not taken back" in call("backfill", "--undo", 1, "--dry-run").stdout
    first = undo(call, 1)
    assert (first["events"], first["identities"], first["shared"], first["left"]) == (2, 2, {"2": 6}, [])
    assert [words(each) for each in items(data)] == [list(range(2, 10))]
    call("backfill", ann)
    assert listing(data) == both, "the two come again, the others are known"
    second = undo(call, 2)
    assert (second["events"], second["shared"]) == (2, {"3": 3, "4": 3})
    assert [words(each) for each in items(data)] == [list(range(8))]
    undo(call, 4)
    assert [words(each) for each in items(data)] == [[4, 5, 6]], "a run that brought nothing itself"
    undo(call, 3)
    assert listing(data) == []
    with Spool.open(data) as spool:
        assert spool.sources()[0].spooled == 0
    call("inspect", "--verify", ALICE)


def words(item: Path) -> list[int]:
    return [int(line.rpartition(" ")[2]) for line in item.read_text().splitlines() if ": words " in line]


def test_what_was_found_is_found_no_more(call: Call, data: Path, tmp_path: Path) -> None:
    path = written(tmp_path / "a.ndjson", talk(4))
    for run in (1, 2):
        call("backfill", path)
        assert {hit["mailbox"] for hit in hits(call)} == {ALICE, BOB}
        undo(call, run)
        assert hits(call) == []


def test_what_was_erased_before_leaves_nothing_behind(call: Call, data: Path, tmp_path: Path) -> None:
    """A person's words were taken out of a run's items; taking it back takes the rest, in whatever form it is."""
    call("backfill", written(tmp_path / "a.ndjson", talk(4)))
    call("backfill", written(tmp_path / "b.ndjson", talk(4, first=4)))
    call("purge", "--erase", BOB, "--by", "me", "--reason", "asked")
    assert len(items(data)) == 1 and not items(data, "bob")
    done = undo(call, 2)
    (left,) = items(data)
    assert done["left"] == [] and b"words 0" in left.read_bytes()
    assert not [n for n in (1, 3, 4, 5, 6, 7) if b"words %d" % n in left.read_bytes()]
    undo(call, 1)
    assert listing(data) == []
    call("inspect", "--verify", ALICE)


def test_a_conflict_goes_with_what_it_was_in_conflict_with(call: Call, data: Path, tmp_path: Path) -> None:
    call("backfill", written(tmp_path / "a.ndjson", talk(2)))
    other = written(tmp_path / "b.ndjson", [say(ALICE, "otherwise", 0, id="ab0", room="ab"), *talk(1, first=1)])
    assert json.loads(call("backfill", other, "--json", status=1).stdout)["conflicts"] == 1
    undo(call, 1)
    with Spool.open(data) as spool:
        assert spool.conflicts() == []
    found = json.loads(call("backfill", other, "--json").stdout)
    assert (found["accepted"], found["duplicates"], found["conflicts"]) == (1, 1, 0), "what both told stayed"
    assert b"otherwise" in items(data)[0].read_bytes()


def test_a_file_that_others_hold_too_stays(call: Call, data: Path, tmp_path: Path) -> None:
    (tmp_path / "f.txt").write_bytes(b"the content")

    def shared(number: int, room: str) -> str:
        event = json.loads(say(ALICE, f"see {number}", number * 4_000, id=f"{room}{number}", room=room).body)
        event["data"]["attachments"] = [{"name": "f.txt", "path": "f.txt"}]
        event["data"]["conversation"]["participants"] = [{"address": ALICE}, {"address": BOB}]
        return json.dumps(event)

    for number, room in ((1, "ab"), (2, "ab"), (3, "other")):
        (tmp_path / f"{number}.ndjson").write_text(shared(number, room) + "\n")
        call("backfill", tmp_path / f"{number}.ndjson")
    undo(call, 1)
    undo(call, 3)
    (item,) = items(data)
    assert b"see 2" in item.read_bytes() and b"dGhlIGNvbnRlbnQ" in item.read_bytes()
    with Spool.open(data) as spool:
        spool.sweep_blobs()
    call("inspect", "--verify", ALICE)


def test_archived_versions_stay(call: Call, data: Path, tmp_path: Path) -> None:
    archived = "[archiving]\narchive = 'im'\n[policy]\ninternal = true\nexternal = true\n"
    path = written(tmp_path / "a.ndjson", talk(4))
    call("backfill", path, config=archived)
    versions = kept(data)
    done = undo(call, 1, config=archived)
    assert done["items"] == 2 and done["archived"] == 2 * len(versions) > 0 and listing(data) == []
    assert kept(data) == versions
    call("backfill", path, config=archived)
    assert kept(data) == versions and len(listing(data)) == 2
    call("inspect", "--verify", ALICE, config=archived)


def test_what_waits_is_given_up(call: Call, data: Path, tmp_path: Path) -> None:
    closed = "[store]\nversion = '14.3.123.4'\n"
    path = written(tmp_path / "a.ndjson", talk(4))
    call("backfill", path, config=closed)
    assert undo(call, 1, config=closed)["waiting"] == 2
    with Spool.open(data) as spool:
        assert spool.withheld() == [] and spool.totals().withheld == 0
    assert json.loads(call("backfill", path, "--json").stdout)["tally"]["copies"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("step", ["remove_all", "take_back", "forget_identities", "mark_for_undo"])
def test_killed_anywhere_it_is_run_again(
    step: str, call: Call, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "a.ndjson", talk(4) + talk(4, "b"))
    call("backfill", path)
    before = listing(data)
    owner: Any = undoing.HeldStore if step == "remove_all" else Spool
    made, times = getattr(owner, step), iter(range(2))

    def killed(self: Any, *arguments: Any) -> Any:
        """The second time after its work is done, the first before the next is begun."""
        done = made(self, *arguments)
        if next(times) == (0 if step == "forget_identities" else 1):
            raise KeyboardInterrupt
        return done

    with monkeypatch.context() as patched:
        patched.setattr(owner, step, killed)
        with pytest.raises(KeyboardInterrupt):
            undoing.undo(load(), data, 1, "me", "wrong", 0)
    assert "half taken back" in call("backfill", path, status=2).stderr
    done = undo(call, 1)
    assert done["left"] == [] and listing(data) == []
    call("backfill", path)
    assert listing(data) == before


def test_what_an_interrupted_run_brought_goes_too(call: Call, data: Path, tmp_path: Path) -> None:
    with Spool.open(data) as spool:
        feed = spool.open_feed("import:events:x", "import").number
        run = spool.begin_run(feed, "events", ["x"], "{}", 0).number
        from archiver.spool.runs import Step

        spool.append(talk(3), feed, backfill=Step(run))
    assert "interrupted" in call("backfill", "--runs").stdout
    assert undo(call, run)["events"] == 3
    with Spool.open(data) as spool:
        assert spool.feeds(only_open=True) == [] and spool.rooms() == []


def test_who_decides_it_is_asked_for(call: Call, tmp_path: Path) -> None:
    call("backfill", written(tmp_path / "a.ndjson", talk(2)))
    assert "--by and --reason" in call("backfill", "--undo", 1, status=2).stderr
    assert "there is no backfill 9" in call("backfill", "--undo", 9, "--dry-run", status=2).stderr


def test_with_another_directory_it_is_filed_anew(call: Call, data: Path, tmp_path: Path) -> None:
    call("backfill", written(tmp_path / "a.ndjson", talk(4)))
    corrected = f"[directory.people]\n'{ALICE}' = '{ALICE}'\n'{BOB}' = 'robert@example.org'\n"
    decided = ("--by", "me", "--reason", "renamed", "--json")
    done = json.loads(call("backfill", "--refile", 1, *decided, config=corrected).stdout)
    assert (done["conversations"], done["beyond"]) == (1, 0)
    assert (len(items(data)), len(items(data, "bob")), len(items(data, "robert"))) == (1, 0, 1)
    call("inspect", "--verify", "robert@example.org", config=corrected)
    with Spool.open(data) as spool:
        assert spool.forget(2**60, 0, lambda events, roster, partial: roster).events == 4
    late = json.loads(call("backfill", "--refile", 1, *decided, status=1).stdout)
    assert late["beyond"] == 1 and len(items(data, "robert")) == 1


def test_filed_anew_again_and_again_and_taken_back_it_is_whole(call: Call, data: Path, tmp_path: Path) -> None:
    path, decided = written(tmp_path / "a.ndjson", talk(4)), ("--by", "me", "--reason", "renamed", "--json")
    robert, bob = (
        f"[directory.people]\n'{ALICE}' = '{ALICE}'\n'{BOB}' = '{name}@example.org'\n" for name in ("robert", "bob")
    )
    call("backfill", path, config=bob)
    for n in range(4):
        done = json.loads(call("backfill", "--refile", 1, *decided, config=(robert, bob)[n % 2]).stdout)
        assert (done["conversations"], done["beyond"]) == (1, 0)
    undo(call, 1, config=bob)
    assert listing(data) == []
    refused = call("backfill", "--refile", 1, "--by", "me", "--reason", "x", status=2, config=bob)
    assert "backfill 1 was taken back" in refused.stderr and "read the export again" in refused.stderr
    call("backfill", path, config=bob)
    for config in (robert, robert, bob):
        done = json.loads(call("backfill", "--refile", 2, *decided, config=config).stdout)
        assert (done["conversations"], done["beyond"]) == (1, 0)
    assert (len(items(data)), len(items(data, "bob")), len(items(data, "robert"))) == (1, 1, 0)


def test_what_stays_after_both_is_filed(call: Call, data: Path, tmp_path: Path) -> None:
    """A version that was taken from somebody, and whose items all went, counts as never filed."""
    robert = f"[directory.people]\n'{ALICE}' = '{ALICE}'\n'{BOB}' = 'robert@example.org'\n"
    call("backfill", written(tmp_path / "a.ndjson", talk(4)))
    call("backfill", "--refile", 1, "--by", "me", "--reason", "renamed", config=robert)
    call("backfill", written(tmp_path / "b.ndjson", talk(4, first=2)), config=robert)
    call("backfill", written(tmp_path / "c.ndjson", talk(4)), config=robert)
    undo(call, 2, config=robert)
    assert [len(items(data, who)) for who in ("alice", "bob", "robert")] == [1, 0, 1]
    assert [words(each) for each in items(data)] == [[0, 1, 2, 3]]


PIECES = st.lists(st.tuples(st.sampled_from(["ab", "c"]), st.integers(0, 12), st.booleans()), unique=True, max_size=8)


@pytest.mark.slow
@settings(max_examples=examples(25), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PIECES, PIECES)
def test_undone_it_is_as_if_it_had_never_been(
    tmp_path_factory: pytest.TempPathFactory, ours: list[tuple[str, int, bool]], wrong: list[tuple[str, int, bool]]
) -> None:
    never, undone = tmp_path_factory.mktemp("never"), tmp_path_factory.mktemp("undone")
    first, second = _events(ours), [each for each in _events(wrong) if each not in _events(ours)]
    for data in (never, undone):
        _run(data, written(data / "ours.ndjson", first))
    _run(undone, written(undone / "wrong.ndjson", second))
    once = names(undone / "data")
    report = undoing.undo(load(), undone / "data", 2, "me", "wrong", 0)
    assert report.clean and names(undone / "data") == names(never / "data")
    _run(undone, undone / "wrong.ndjson")
    assert names(undone / "data") == once


@pytest.mark.slow
@settings(max_examples=examples(25), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PIECES, PIECES, st.booleans())
def test_of_two_runs_that_share_events_the_other_stays_whole(
    tmp_path_factory: pytest.TempPathFactory,
    one: list[tuple[str, int, bool]],
    other: list[tuple[str, int, bool]],
    is_first: bool,
) -> None:
    never, undone = tmp_path_factory.mktemp("never"), tmp_path_factory.mktemp("undone")
    _run(never, written(never / "other.ndjson", _events(other)))
    for name, pieces in (("one", one), ("other", other))[:: 1 if is_first else -1]:
        _run(undone, written(undone / f"{name}.ndjson", _events(pieces)))
    assert undoing.undo(load(), undone / "data", 1 if is_first else 2, "me", "wrong", 0).clean
    assert names(undone / "data") == names(never / "data")
    assert undoing.undo(load(), undone / "data", 2 if is_first else 1, "me", "wrong", 0).clean
    assert names(undone / "data") == []


def _events(pieces: Sequence[tuple[str, int, bool]]) -> list[Captured]:
    """A conversation every 20 minutes, in two rooms; some only join."""
    return [
        say((ALICE, BOB)[n % 2], f"words {n}", n * 400, id=f"{room}{n}", room=room)
        if says
        else join(ALICE, n * 400 + 1, id=f"{room}{n}j", room=room)
        for room, n, says in pieces
    ]


def _run(data: Path, path: Path) -> None:
    backfill.run(load(), data / "data", backfill.Request(importer("events"), (path,), jobs=1))


def test_a_file_that_was_missing_comes_once_the_run_is_taken_back(call: Call, data: Path, tmp_path: Path) -> None:
    (tmp_path / "tg").mkdir()
    shared = {"id": 1, "type": "message", "date_unixtime": "1714557600", "from": "Eve", "from_id": "user1", "text": "x"}
    said = {**shared, "id": 2, "from": "Bob", "from_id": "user2", "text": "y"}
    room = {"name": "Room", "type": "private_group", "id": 1}
    messages = [{**shared, "file": "files/a.pdf", "media_type": "video_file"}, said]
    (tmp_path / "tg" / "result.json").write_text(json.dumps({**room, "messages": messages}))
    call("backfill", tmp_path / "tg")
    (tmp_path / "tg" / "files").mkdir()
    (tmp_path / "tg" / "files" / "a.pdf").write_bytes(b"%PDF the paper")
    call("backfill", "--reread", tmp_path / "tg", status=1)
    told = call("status", "--conflicts", status=1).stdout
    assert "has files that the first lacks" in told and "`archiver backfill --undo 1`" in told
    (conflict,) = json.loads(call("status", "--conflicts", "--json", status=1).stdout)
    assert (conflict["run"], conflict["why"]) == (1, "has files that the first lacks")
    undo(call, 1)
    call("backfill", tmp_path / "tg")
    assert json.loads(call("status", "--conflicts", "--json").stdout) == []
    (item,) = data.glob("mail/telegram/user1/.*/*/*")
    (part,) = [each for each in message_from_bytes(item.read_bytes()).walk() if each.get_filename() == "a.pdf"]
    assert part.get_payload(decode=True) == b"%PDF the paper"


def test_what_files_tell_apart() -> None:
    def shared(*digests: str, text: str = "x") -> bytes:
        files = [{"name": "a.pdf", "sha256": each * 64} for each in digests] or [{"name": "a.pdf"}]
        return say(ALICE, text, 0, id="1", attachments=files).body

    assert differs_in_files(shared(), shared("a")) == "has files that the first lacks"
    assert differs_in_files(shared("a", "b"), shared("b")) == "lacks files that the first has"
    assert differs_in_files(shared("a"), shared("b")) == "has other files"
    assert differs_in_files(shared(), shared("a", text="other")) == differs_in_files(shared("a"), shared("a")) == ""
