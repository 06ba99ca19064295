"""Migrations that end in the past: refused where they are new, overdue where they were known; and who says so."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from builders import say
from click.testing import CliRunner
from structlog.testing import capture_logs

from archiver import doctor
from archiver.assembly import directory_of
from archiver.cli import main
from archiver.config import Config, load, parse
from archiver.config.quantities import last_day
from archiver.daemon.job import Job
from archiver.events import ndjson
from archiver.exceptions import ConfigError
from archiver.filing import moving
from archiver.spool import Spool

ENDS = last_day("2026-11-30")


def config(ends: str = "2026-11-30", *, state: str = "migrating", **own: Any) -> Config:
    table = {"address": "carol@example.org", "migration": state, **own}
    if state == "migrating":
        table["migration_ends"] = ends
    return parse({"mailbox": [{"address": "bob@example.org"}, table]})


def take_up(config: Config, spool: Spool, now: int) -> None:
    moving.take_up(config, directory_of(config), spool, now)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def test_an_end_in_the_past_is_refused_by_its_key_where_it_is_new(data):
    with Spool.open(data) as spool:
        for now in (ENDS, ENDS + 1):
            with pytest.raises(ConfigError) as caught:
                take_up(config(), spool, now)
            assert caught.value.problems == ["mailbox[2].migration_ends = '2026-11-30': lies in the past"]
        assert spool.migrations() == {}


def test_one_that_was_known_before_goes_on_and_is_overdue(data):
    with Spool.open(data) as spool:
        take_up(config(), spool, ENDS - 1)
        assert spool.migrations() == {"carol@example.org": ENDS}
        take_up(config(), spool, ENDS)
        directory = directory_of(config())
        assert [each.address for each in moving.overdue(directory, ENDS)] == ["carol@example.org"]
        assert moving.overdue(directory, ENDS - 1) == []
        with pytest.raises(ConfigError, match="2026-11-29"):
            take_up(config("2026-11-29"), spool, ENDS)
        take_up(config("2026-12-31"), spool, ENDS)
        assert spool.migrations() == {"carol@example.org": last_day("2026-12-31")}


@pytest.mark.parametrize("state", ["mailbox", "legacy"])
def test_one_that_is_done_or_taken_back_is_forgotten(data, state):
    with Spool.open(data) as spool:
        take_up(config(), spool, ENDS - 1)
        take_up(config(state=state), spool, ENDS)
        assert spool.migrations() == {}
        with pytest.raises(ConfigError):
            take_up(config(), spool, ENDS)


def test_the_daemon_keeps_its_old_configuration(data):
    with Spool.open(data) as spool:
        job = Job(spool, parse({}), data)
        with pytest.raises(ConfigError, match=r"mailbox\[2\].migration_ends = '2020-01-31': lies in the past"):
            job.use(config("2020-01-31"))
        assert job.config == parse({})
        job.use(config("2099-01-31"))
        assert spool.migrations() == {"carol@example.org": last_day("2099-01-31")}


@pytest.mark.parametrize("command", [["run", "--once"], ["backfill", "events.ndjson"]], ids=["run", "backfill"])
def test_every_command_that_files_refuses_it(command, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("events.ndjson").write_bytes(ndjson([say("carol@example.org", "hello", 0)]))
    Path("c.toml").write_text(
        "[[mailbox]]\naddress='carol@example.org'\nmigration='migrating'\nmigration_ends=2020-01-31"
    )
    result = CliRunner().invoke(main, ["--data", str(data), "--config", "c.toml", *command])
    assert result.exit_code == 2
    assert "mailbox[1].migration_ends = '2020-01-31': lies in the past" in result.stderr
    with Spool.open(data, readonly=True) as spool:
        assert spool.totals().spooled == 0


def test_a_row_of_the_people_file_is_named_as_such(data, tmp_path):
    people = tmp_path / "people.csv"
    people.write_text("address,mailbox,migration,migration_ends\ndan,dan@example.org,migrating,2026-11-30\n")
    with Spool.open(data) as spool, pytest.raises(ConfigError) as caught:
        take_up(parse({"directory": {"file": str(people)}}), spool, ENDS)
    assert caught.value.problems == [
        "directory.file: dan@example.org.migration_ends = '2026-11-30': lies in the past",
    ]


def told(config: Config, data: Path, now: int) -> dict[str, str]:
    return {each.check: each.found for each in doctor.examine(config, data, now)}


def test_doctor_says_what_is_under_way_and_what_is_overdue(data):
    assert told(config(), data, ENDS - 1)["migrations"] == "1 under way, in two stores each"
    late = told(config(), data, ENDS)
    assert late["migration overdue"] == "carol@example.org was to be moved by 2026-11-30 and is still in two stores"
    assert "migrations" not in late and "migrations" not in told(config(state="mailbox"), data, ENDS)


@pytest.fixture
def late(data, tmp_path, monkeypatch):
    """A configuration file whose one migration is overdue since long ago."""
    monkeypatch.chdir(tmp_path)
    Path("c.toml").write_text(
        "[[mailbox]]\naddress='carol@example.org'\nmigration='migrating'\nmigration_ends=2020-01-31"
    )
    with Spool.open(data) as spool:
        spool.note_migrations({"carol@example.org": last_day("2020-01-31")})
    return load("c.toml")


LATE = "carol@example.org was to be moved by 2020-01-31 and is still in two stores"


def test_status_names_what_is_overdue(data, late):
    command = ["--data", str(data), "--config", "c.toml", "status"]
    said = CliRunner().invoke(main, command)
    assert said.exit_code == 0
    assert "1 migration OVERDUE:" in said.stdout and f"{LATE}." in said.stdout
    (told,) = json.loads(CliRunner().invoke(main, [*command, "--json"]).stdout)["overdue"]
    assert (told["address"], told["migration_ends"]) == ("carol@example.org", last_day("2020-01-31"))


def test_status_says_nothing_of_a_migration_that_has_time(data):
    with Spool.open(data) as spool:
        take_up(config("2099-01-31"), spool, ENDS)
    assert "OVERDUE" not in CliRunner().invoke(main, ["--data", str(data), "status"]).stdout


def test_the_daemon_warns_of_what_is_overdue_once_a_day(data, late):
    def warnings(config: Config) -> list[str]:
        with Spool.open(data) as spool, capture_logs() as logged:
            Job(spool, config, data).keep_house()
        return [each["why"] for each in logged if each["log_level"] == "warning"]

    assert warnings(late) == [LATE]
    assert warnings(late) == []
    yesterday = time.time() - 86_400
    os.utime(data / "run" / "overdue", (yesterday, yesterday))
    assert warnings(late) == [LATE]
    os.utime(data / "run" / "overdue", (yesterday, yesterday))
    assert warnings(parse({})) == []


def test_doctor_says_who_is_held_and_yet_not_archived(data):
    with Spool.open(data) as spool:
        over = spool.place_hold("carol@example.org", by="judge", reason="case 6", now=ENDS)
        spool.release_hold(over.number, by="judge", reason="over", now=ENDS)
        hold = spool.place_hold("carol@example.org", by="judge", reason="case 7", now=ENDS)
        spool.place_hold("bob@example.org", by="judge", reason="case 7", now=ENDS)
    found = told(config(state="mailbox", exchange_archiving="none"), data, ENDS)["held, not archived"]
    assert found.startswith(f"carol@example.org is under hold {hold.number}, but")
    assert "held, not archived" not in told(config(state="mailbox"), data, ENDS)
