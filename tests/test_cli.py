"""The command line in this process: parsing, exit statuses, what is said, JSON before and after, hostile text."""

from __future__ import annotations

import csv
import json
import os
import shlex
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from builders import say
from click.testing import CliRunner, Result

import archiver.cli as cli
from archiver import __version__, inspection
from archiver.cli import main, output, transcript
from archiver.events import ndjson
from archiver.exceptions import ConfigError, EnvironmentFault, InUse, ItemError, TryLater, UsageError
from archiver.importers import IMPORTERS
from archiver.spool import Spool
from archiver.store import MaildirStore

PEOPLE = ["alice@example.org", "bob@example.org"]
COMMANDS = [
    "run",
    "backfill",
    "inspect",
    "status",
    "doctor",
    "matrix",
    "graph",
    "xmpp",
    "policy",
    "explain",
    "hold",
    "exclusion",
    "audit",
    "export",
    "purge",
]
READING = [
    *(["backfill", "--list"], ["inspect"], ["status"], ["doctor"], ["policy"], ["run", "--once"], ["audit"]),
    *(["hold", "list"], ["exclusion", "list"], ["purge", "--dry-run"]),
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def call(data: Path) -> Callable[..., Result]:
    def call(*arguments: object, status: int = 0, env: dict[str, str] | None = None) -> Result:
        result = CliRunner(env=env).invoke(main, ["--data", str(data), *map(str, arguments)])
        assert result.exit_code == status, f"{result.exit_code}\n{result.output}\n{result.exception!r}"
        return result

    return call


def events(path: Path, *lines: Any) -> Path:
    path.write_bytes(ndjson(lines))
    return path


def talk(name: str = "hello", at: float = 0, **more: Any) -> list[Any]:
    return [
        say(PEOPLE[0], name, at, id=f"{name}-0", room="ab", present=PEOPLE, **more),
        say(PEOPLE[1], "hi", at + 5, id=f"{name}-1", room="ab", present=PEOPLE, **more),
    ]


# --- parsing


def test_version_and_help_name_what_there_is(call):
    assert __version__ in call("--version").output
    told = call("--help").output
    for name in (*COMMANDS, "--data", "ARCHIVER_DATA", "archiver-data", "--config", "ARCHIVER_CONFIG", "--json"):
        assert name in told


def every_command(above: click.Command) -> Iterator[click.Command]:
    yield above
    if isinstance(above, click.Group):
        context = click.Context(above)
        for name in above.list_commands(context):
            command = above.get_command(context, name)
            assert command is not None
            yield from every_command(command)


@pytest.mark.parametrize("command", [*every_command(main)], ids=lambda command: str(command.name))
def test_every_option_of_every_command_is_explained(command):
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name


@pytest.mark.parametrize("arguments", READING, ids=" ".join)
def test_json_stands_before_or_after(call, data, arguments):
    events(data.parent / "e.ndjson", *talk())
    call("backfill", data.parent / "e.ndjson")
    for where in (["--json", *arguments], [*arguments, "--json"]):
        json.loads(call(*where).stdout)


def test_data_and_configuration_come_from_the_environment_too(tmp_path):
    (tmp_path / "archiver.toml").write_text("[nonsense]\n")
    environment = {"ARCHIVER_DATA": str(tmp_path / "here"), "ARCHIVER_CONFIG": str(tmp_path / "archiver.toml")}
    assert "nonsense" in CliRunner(env=environment).invoke(main, ["inspect"]).stderr
    del environment["ARCHIVER_CONFIG"]
    assert str(tmp_path / "here") in CliRunner(env=environment).invoke(main, ["inspect"]).output


# --- exit statuses


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nonsense"], "No such command"),
        (["backfill"], "name what to read"),
        (["backfill", "irc"], "name the files"),
        (["backfill", "events", "nowhere.ndjson"], "nowhere.ndjson: no such file"),
        (["backfill", "nowhere.ndjson"], f"formats: {min(IMPORTERS)}, "),
        (["backfill", "irc", __file__, "--zone", "Nowhere"], "no such time zone: Nowhere"),
        (["backfill", "irc", __file__, "--charset", "klingon"], "no such charset"),
        (["backfill", "irc", __file__, "--date", "tomorrow"], "not a date"),
        (["backfill", "events", __file__, "--jobs", "0"], "not in the range"),
        (["backfill", "events", "/dev/null"], "neither a file nor a folder"),
        (["backfill", "/dev/null"], "neither a file nor a folder"),
        (["inspect", "nobody@example.org"], "there is no mailbox nobody@example.org"),
        (["inspect", "no-address"], "not a mailbox address"),
        (["inspect", "--raw"], "need an ADDRESS"),
        (["inspect", "--history"], "need an ADDRESS"),
        (["inspect", "a@b", "1", "--raw", "--events"], "name one"),
        (["inspect", "a@b", "1", "--verify"], "it takes an ADDRESS and nothing more"),
        (["inspect", "nobody@example.org", "--verify"], "no mailbox and no archive of nobody@example.org"),
        (["inspect", "--repair"], "belong to --verify"),
        (["inspect", "--maildir", "/"], "belong to --verify"),
        (["inspect", "a@b", "--verify", "--maildir", "/"], "it has no ADDRESS"),
        (["inspect", "--verify", "--maildir", "/"], "/ is no Maildir"),
        (["status"], "there is no spool"),
        (["doctor", "--unpark", "all"], "there is no spool"),
        (["doctor", "--close-import", "x"], "there is no spool"),
    ],
)
def test_a_mistake_is_told_and_changes_nothing(call, data, arguments, said):
    result = call(*arguments, status=2)
    assert said in result.stderr and result.stdout == ""
    assert not data.exists()


def test_every_problem_of_a_configuration_is_told_at_once(call, tmp_path):
    bad = tmp_path / "bad.toml"
    bad.write_text('[store]\nversoin = "15.0"\nmode = "0999"\n[schedule]\nevery = "soon"\n')
    for command in (["status"], ["doctor"], ["inspect"], ["run", "--once"], ["backfill", "events", __file__]):
        result = call("--config", bad, *command, status=2)
        for key in ("store.versoin", "store.mode", "schedule.every"):
            assert key in result.stderr, command


def test_doctor_tells_problems_that_only_this_machine_shows_at_once(call, tmp_path):
    config = tmp_path / "archiver.toml"
    config.write_text('[store]\nowner = "no-such-user"\ngroup = "no-such-group"\n[directory]\nfile = "no-such.csv"\n')
    said = call("--config", config, "doctor", status=2).stderr
    for each in ("no-such-user", "no-such-group", "no-such.csv"):
        assert each in said


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UsageError("what", hint="mend it"), 2),
        (ConfigError(["a.b = 1: what"], hint="mend it"), 2),
        (EnvironmentFault("what", hint="mend it"), 3),
        (TryLater("what", hint="mend it"), 3),
        (InUse("what", hint="mend it"), 3),
        (ItemError("what", hint="mend it"), 1),
        (BrokenPipeError(), 3),
        (KeyboardInterrupt(), 130),
    ],
    ids=lambda value: type(value).__name__,
)
def test_errors_become_statuses_and_lines(call, monkeypatch, error, status):
    def raise_it(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(sys.modules["archiver.cli.inspect"], "store_of", raise_it)
    said = call("inspect", status=status).stderr
    assert "Traceback" not in said and "\\n" not in said and said.strip()
    if isinstance(error, (UsageError, EnvironmentFault)):
        assert "what" in said and "mend it" in said
    if status == 130:
        assert "run the same command again" in said


def test_a_bug_stays_a_bug(data, monkeypatch):
    monkeypatch.setattr(sys.modules["archiver.cli.inspect"], "store_of", lambda *_: 1 / 0)
    result = CliRunner().invoke(main, ["--data", str(data), "inspect"])
    assert isinstance(result.exception, ZeroDivisionError)


def test_a_data_directory_that_cannot_be_is_the_machines_fault(call, data):
    path = events(data.parent / "e.ndjson", *talk())
    data.write_text("a file")
    assert CliRunner().invoke(main, ["--data", str(data / "below"), "backfill", "events", str(path)]).exit_code == 3


ALL = [["status"], ["doctor", "--unpark", "all"], ["run", "--once"], ["backfill", "events", __file__]]


@pytest.mark.parametrize("arguments", ALL, ids=" ".join)
def test_a_data_directory_below_what_is_no_place_for_one_is_told(data, arguments):
    result = CliRunner().invoke(main, ["--data", "/proc/no/such", *arguments])
    assert result.exit_code in (2, 3) and isinstance(result.exception, SystemExit), result.exception


@pytest.mark.parametrize("arguments", ALL, ids=" ".join)
def test_a_spool_whose_making_was_cut_short_is_told_or_made(call, data, arguments):
    data.mkdir()
    (data / "spool.db").touch()
    told = CliRunner().invoke(main, ["--data", str(data), *arguments])
    assert isinstance(told.exception, (SystemExit, type(None))), told.exception
    assert (told.exit_code == 3 and "archiver run" in told.stderr) == (arguments == ["status"])


def test_a_spool_that_may_not_be_read_is_not_called_a_full_disk(call, data):
    (data / "spool.db").mkdir(parents=True)
    for command in (["status"], ["run", "--once"]):
        said = call(*command, status=3).stderr
        assert "no file that the archiver may read" in said and "disk" not in said


FORBIDDEN = [
    ["--data", "{}/in/data", "status"],
    ["--data", "{}/in/data", "doctor"],
    ["--data", "{}/in/data", "doctor", "--unpark", "all"],
    ["--data", "{}/in/data", "run", "--once"],
    ["--config", "{}/in/archiver.toml", "status"],
    ["--config", "{}.toml", "status"],
    ["backfill", "events", "{}/in/e.ndjson"],
    ["backfill", "{}/in/e.ndjson"],
    ["backfill", "events", "{}"],
    ["backfill", "{}"],
]


@pytest.mark.slow
@pytest.mark.parametrize("arguments", FORBIDDEN, ids=" ".join)
def test_what_may_not_be_looked_into_is_told(tmp_path, data, arguments):
    closed = tmp_path / "closed"
    (closed / "in").mkdir(parents=True)
    events(closed / "in" / "e.ndjson", *talk())
    closed.with_suffix(".toml").touch(0)
    closed.chmod(0)
    try:
        ended = unprivileged("--data", str(data), *(each.format(closed) for each in arguments))
    finally:
        closed.chmod(0o700)
    assert ended.returncode == (1 if arguments[-1] == "doctor" else 3), ended
    assert "Traceback" not in ended.stderr and "closed" in ended.stdout + ended.stderr
    assert not (data / "spool.db").exists()


def unprivileged(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command as somebody whom permissions bind, which they don't do for root."""
    command = [sys.executable, "-m", "archiver", *arguments]
    if os.geteuid() == 0:
        command = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", *command]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("named", ["--data", "--config"])
def test_a_path_that_is_empty_is_not_the_current_folder(call, named):
    assert "is empty" in call(named, "", "status", status=2).stderr


def test_a_configuration_is_a_file_of_bounded_size(call, tmp_path):
    assert "not a regular file" in call("--config", "/dev/zero", "status", status=2).stderr
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in call("--config", tmp_path / "pipe", "status", status=2).stderr
    with (tmp_path / "large").open("wb") as file:
        file.truncate(1 << 40)
    assert "larger than" in call("--config", tmp_path / "large", "status", status=2).stderr
    people = tmp_path / "people.toml"
    people.write_text('[directory]\nfile = "/dev/zero"\n')
    assert "not a regular file" in call("--config", people, "doctor", status=2).stderr


def test_interrupted_while_it_loads_it_ends_at_once_and_says_nothing():
    command = [sys.executable, "-X", "importtime", "-m", "archiver", "status"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "archiver.exceptions" in line:
                process.send_signal(signal.SIGINT)
                break
        said = process.stderr.read()
    assert process.returncode == -signal.SIGINT
    assert "Traceback" not in said


def test_installed_or_as_a_module_it_begins_the_same():
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"archiver": "archiver.__main__:main"}


# --- backfill


def test_where_a_mended_event_stood_is_told(call, data, tmp_path):
    path = events(tmp_path / "e.ndjson", *talk())
    path.write_bytes(path.read_bytes().replace(b"hello", b"hel\xffo", 1))
    call("backfill", "events", path)
    (mended,) = json.loads(call("status", "--quarantine", "--json").stdout)
    assert mended["position"] == f"{path}:1 (hello-0)"
    assert f"{path}:1" in (data / "quarantine" / f"{mended['file']}.reason").read_text()


def test_formats_are_listed_and_recognised(call, data):
    assert {each["name"] for each in json.loads(call("backfill", "--list", "--json").stdout)} == IMPORTERS.keys()
    path = events(data.parent / "no-suffix", *talk())
    assert "2 new" in call("backfill", path).stdout


def test_what_no_format_takes_is_a_mistake(call, tmp_path):
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    assert "no format is recognised" in call("backfill", tmp_path / "picture.png", status=2).stderr


def test_a_report_counts_and_points_on(call, data, tmp_path):
    path = events(tmp_path / "e.ndjson", *talk())
    path.write_bytes(path.read_bytes() + b"{broken\n")
    said = call("backfill", "events", path, status=1).stdout
    assert "2 new" in said and "1 piece of input QUARANTINED" in said and "status --quarantine" in said
    report = json.loads(call("backfill", "events", path, "--reread", "--json", status=1).stdout)
    assert (report["accepted"], report["duplicates"], report["quarantined"]) == (0, 2, 1)
    assert len(json.loads(call("status", "--quarantine", "--json", status=1).stdout)) == 1


def test_who_may_not_wait_is_told_who_is_first(call, data, tmp_path):
    path = events(tmp_path / "e.ndjson", *talk())
    with Spool.open(data) as spool, spool.hold("backfill", "somebody's backfill"):
        said = call("backfill", "events", path, "--no-wait", status=3).stderr
    assert "somebody's backfill" in said and "--no-wait" in said
    assert "2 new" in call("backfill", "events", path, "--no-wait").stdout


# --- status and doctor --unpark, --close-import


def test_status_lists_what_needs_a_person(call, data, tmp_path):
    path = events(tmp_path / "e.ndjson", *talk())
    path.write_bytes(path.read_bytes() + b"{broken\n")
    call("backfill", "events", path, status=1)
    call(
        "backfill",
        "events",
        events(tmp_path / "f.ndjson", say(PEOPLE[0], "else", 0, id="hello-0", room="ab")),
        status=1,
    )
    said = call("status", status=1).stdout
    assert "QUARANTINED" in said and "IN CONFLICT" in said and "not running" in said
    (bad,) = json.loads(call("status", "--quarantine", "--json", status=1).stdout)
    assert bad["reason"] and (data / "quarantine" / bad["file"]).read_bytes() == b"{broken"
    (conflict,) = json.loads(call("status", "--conflicts", "--json", status=1).stdout)
    assert conflict["kept"]["data"]["message"]["text"] == "hello"
    assert conflict["other"]["data"]["message"]["text"] == "else"
    boxes = json.loads(call("status", "--mailboxes", "--json", status=1).stdout)
    assert {box["mailbox"] for box in boxes} == set(PEOPLE)
    for option in ("--quarantine", "--conflicts", "--mailboxes", "--parked", "--strangers"):
        call("status", option, status=1)


def test_strangers_are_listed(call, tmp_path):
    config = tmp_path / "archiver.toml"
    config.write_text('[directory]\npeople = { "alice@example.org" = "alice@example.org" }\n')
    call("--config", config, "backfill", "--placeholder", "events", events(tmp_path / "e.ndjson", *talk()))
    (bob,) = json.loads(call("--config", config, "status", "--strangers", "--json").stdout)
    assert bob["address"] == PEOPLE[1]
    assert "1 person without a mailbox" in call("--config", config, "status").stdout


def spooled(data: Path, *, end: bool) -> str:
    with Spool.open(data) as spool:
        feed = spool.open_feed("import:dead", "import", path="old.ndjson")
        spool.append(talk(), feed.number)
        if end:
            spool.close_feed(feed.number, 1)
    return feed.name


def test_a_dead_import_is_listed_and_closed_by_command(call, data):
    name = spooled(data, end=False)
    said = call("status").stdout
    assert name in said and "dead" in said and "old.ndjson" in said
    assert json.loads(call("status", "--json").stdout)["feeds"][0]["health"] == "dead"
    assert "holds back" in call("doctor").stdout
    assert "Filed 0" in call("run", "--once").stdout
    assert "no import of that name" in call("doctor", "--close-import", "another", status=2).stderr
    call("doctor", "--close-import", name)
    assert "Filed 2 items" in call("run", "--once").stdout
    assert name not in call("status").stdout


def test_what_is_parked_counts_is_named_and_taken_up_again(call, data):
    spooled(data, end=True)
    with Spool.open(data) as spool:
        (lease,) = spool.claim(2, 1)
        spool.park_place(lease, "it killed us", 3)
        number = lease.place
    for command in (["status"], ["status", "--parked"]):
        assert "it killed us" in call(*command, status=1).stdout or command == ["status"]
    assert "1 conversation PARKED" in call("status", status=1).stdout
    assert "conversations parked" in call("doctor").stdout
    assert "not parked: f99" in call("doctor", "--unpark", "f99", status=2).stderr
    assert "1 conversation taken up" in call("doctor", "--unpark", f"p{number}").stdout
    assert "Filed 2 items" in call("run", "--once").stdout
    call("status")


# --- listings


def test_a_mailbox_is_listed_with_filters_order_and_csv(call, tmp_path):
    call("backfill", "events", events(tmp_path / "a.ndjson", *talk("hello")))
    call("backfill", "events", events(tmp_path / "b.ndjson", *talk("=later", at=3_600)))
    address = PEOPLE[0]

    def numbers(*arguments: str) -> list[int]:
        return [item["number"] for item in json.loads(call("inspect", address, *arguments, "--json").stdout)]

    assert numbers() == [2, 1] and numbers("--reverse") == [1, 2]
    assert numbers("--text", "LATER") == [2] and numbers("--with", "bob@", "--kind", "group") == [2, 1]
    assert numbers("--since", "2012-10-13") == numbers("--has-file") == numbers("--missed") == []
    assert numbers("--until", "2012-10-12", "--sort", "messages") == [2, 1]
    later, hello = csv.DictReader(call("inspect", "ali", "--csv").stdout.splitlines())
    assert (later["number"], hello["messages"], hello["minutes"]) == ("2", "2", "1")
    assert hello["date"] == "2012-10-12T00:00:00Z" and later["missed"] == "false"
    (row, _) = csv.DictReader(call("inspect", "--csv").stdout.splitlines())
    assert (row["mailbox"], row["items"]) == (address, "2")
    assert "begin so: 2, 1" in call("inspect", address, "ab", status=2).stderr
    for wrong in (["--csv", "1"], ["--verify", "--missed"]):
        assert "go with an ADDRESS alone" in call("inspect", address, *wrong, status=2).stderr
    assert "name its ADDRESS" in call("inspect", "--missed", status=2).stderr


def test_mailboxes_are_listed_with_archives_and_what_is_kept_back(call, tmp_path):
    alice, bob = PEOPLE
    config = tmp_path / "config.toml"
    config.write_text(f'[[mailbox]]\naddress = "{alice}"\nversion = "unheard of"\n')
    call("backfill", "events", events(tmp_path / "a.ndjson", *talk("hello")))
    call("hold", "place", bob, "--by", "x", "--reason", "y")
    call("--config", config, "backfill", "events", events(tmp_path / "b.ndjson", *talk("later", at=3_600)))
    expected = [
        (alice, "Conversation History", "1", "filed"),
        (alice, "Conversation History", "1", "withheld"),
        (bob, "Conversation History", "2", "filed"),
        (bob, "Recoverable Items/Purges", "2", "archived"),
    ]
    columns = ("mailbox", "folder", "items", "state")
    shares = json.loads(call("inspect", "--json").stdout)
    assert [tuple(str(share[column]) for column in columns) for share in shares] == expected
    assert [share["first"] is None for share in shares] == [False, True, False, False]
    rows = csv.DictReader(call("inspect", "--csv").stdout.splitlines())
    assert [tuple(row[column] for column in columns) for row in rows] == expected
    told = call("inspect").stdout
    assert told.endswith("2 mailboxes, 3 items, 2 archived, 1 withheld.\n") and "withheld" in told.splitlines()[2]


def test_a_spool_that_cannot_be_read_hides_no_folder(call, data, tmp_path):
    call("backfill", "events", events(tmp_path / "a.ndjson", *talk("hello")))
    (data / "spool.db").write_bytes(b"no database at all, whatever its name says" * 99)
    told = call("inspect")
    assert "2 mailboxes, 2 items." in told.stdout and "left out: " in told.stderr


def test_an_item_tells_its_history(call, tmp_path):
    call("backfill", "events", events(tmp_path / "a.ndjson", *talk("hello")))
    (filed,) = json.loads(call("inspect", PEOPLE[0], "1", "--history", "--json").stdout)
    assert filed["delivery"]["state"] == "filed" and filed["delivery"]["mailbox"] == PEOPLE[0]
    call("backfill", "events", events(tmp_path / "b.ndjson", *talk("late", at=60)))
    told = call("inspect", PEOPLE[0], "1", "--history").stdout.splitlines()[1:]
    assert len(told) == 2 and " filed " in told[0] and " superseded " in told[1]


def test_colours_are_put_on_safe_text_only(call, tmp_path):
    call("backfill", "events", events(tmp_path / "a.ndjson", *talk("hello \x1b[31m\u202e")))
    store = MaildirStore("{data}/mail/{domain}/{local}", data=tmp_path / "data")
    (item,) = inspection.items(store, PEOPLE[0])
    lines = list(transcript._lines(inspection.show(store, item), coloured=True))
    (said,) = [line for line in lines if "hello" in line]
    assert "\x1b[36m\x1b[1mAlice\x1b[0m: hello" in said and "\u202e" not in said and "\x1b[31m" not in said
    assert "\x1b" not in call("inspect", PEOPLE[0], "1").stdout


def test_a_spreadsheet_takes_nothing_for_a_formula(capsys):
    row = inspection.FolderSummary("=1+1", "a\x1b,b", 1, 0, 5, None, 1_000_000)
    output.as_csv(inspection.FolderSummary, [row], times=("first", "last"))
    assert capsys.readouterr().out.splitlines()[1] == '\'=1+1,"a\\x1b,b",1,0,5,,1970-01-01T00:00:01Z'


def test_a_long_table_stays_aligned(capsys):
    output.table(("name", "count"), ((f"row {n:03}", n) for n in range(200)), right=(1,))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 201 and len({len(line) for line in lines}) == 1


def test_an_empty_table_says_so(capsys):
    output.table(("name", "count"), [], right=(1,))
    assert capsys.readouterr().out == "None.\n"


@pytest.mark.parametrize("arguments", [["backfill", "--runs"], ["status", "--quarantine"], ["status", "--strangers"]])
def test_a_list_of_nothing_says_so(call, data, arguments):
    Spool.open(data).close()
    assert call(*arguments).stdout == "None.\n"


def test_a_report_of_nothing_has_no_empty_tables(call, tmp_path):
    (tmp_path / "log.txt").write_text("[10:00] <ann> hello\n")
    dry = call("backfill", "irc", "--dry-run", tmp_path / "log.txt", status=1).stdout
    assert "can't be read" in dry and "room  id" not in dry and "None." not in dry
    call("backfill", "irc", tmp_path / "log.txt", status=1)
    shown = call("backfill", "--report", "1").stdout
    assert "log.txt" in shown and "conversation  source" not in shown and "None." not in shown
    assert "shows this again" not in shown


def test_a_command_that_is_shown_can_be_given_to_a_shell(call, tmp_path):
    nick = say("o\\'neil@libera", "hello", 0, id="1", source="irc:libera/#pub", room="#pub")
    call("backfill", "events", events(tmp_path / "e.ndjson", nick))
    (mailbox,) = {row["mailbox"] for row in csv.DictReader(call("inspect", "--csv").stdout.splitlines())}
    for listing in (["inspect", mailbox], ["inspect", "--search", "hello"]):
        (told,) = [line for line in call(*listing).stdout.splitlines() if "archiver inspect" in line]
        assert shlex.split(told.partition("archiver inspect ")[2])[0] == mailbox
    hint = call("inspect", mailbox, "9", status=2).stderr
    assert shlex.split(hint.partition("`archiver inspect ")[2].partition("`")[0]) == [mailbox]


# --- hostile text


EVIL = "evil\x1b]0;owned\x07\x9b2J\u202etxt\x7f\r\nFrom: x"


def test_nothing_from_outside_reaches_a_terminal_raw(call, data, tmp_path):
    call("backfill", "events", events(tmp_path / "e.ndjson", *talk(EVIL, topic=EVIL)))
    address = PEOPLE[0]
    commands = [["inspect"], ["inspect", address], ["inspect", address, "1"], ["status"], ["status", "--mailboxes"]]
    for command in commands:
        for arguments in (command, [*command, "--json"]):
            told = call(*arguments).stdout
            assert not set(told) & set("\x1b\x07\x9b\u202e\x7f\r"), arguments
    (item,) = json.loads(call("inspect", address, "--json").stdout)
    assert item["number"] == 1


def test_json_stays_the_same_document(capsys):
    value = {"text": "交談 é \x9b\u202e\x7f\U0001f600\U000e0041 \\u007f"}
    output.as_json(value)
    said = capsys.readouterr().out
    assert json.loads(said) == value
    assert "交談 é" in said and "\x7f" not in said and "\u202e" not in said


def test_sizes_ages_and_counts_read_as_people_write_them():
    assert [output.size(n) for n in (0, 1023, 1024, 5 * 1024**3)] == ["0 B", "1023 B", "1.0 KiB", "5.0 GiB"]
    assert [output.age(0, n * 1_000_000) for n in (0, 61, 7200, 90_000)] == ["0 s", "1 min", "2 h", "1 d"]
    assert output.counted(1, "mailbox", "mailboxes") == "1 mailbox"
    assert output.counted(1_234, "mailbox", "mailboxes") == "1,234 mailboxes"


def test_the_commands_of_the_group_are_those_of_the_design():
    assert cli.main.list_commands(click.Context(cli.main)) == COMMANDS


def test_the_unit_file_calls_what_there_is():
    unit = (Path(__file__).parent.parent / "scripts" / "systemd" / "archiver.service").read_text()
    (line,) = [line for line in unit.splitlines() if line.startswith("ExecStart=")]
    _, *arguments, command = line.partition("=")[2].split()
    assert command in cli.COMMANDS
    with main.make_context("archiver", [*arguments, command], resilient_parsing=True) as context:
        assert context.params["data"] == Path("/var/lib/archiver")
