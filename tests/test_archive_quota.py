"""What a mailbox's archive may hold is configured, and who is near it is told."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from archive_builder import Archive
from builders import HOUR, say
from click.testing import CliRunner

from archiver import doctor
from archiver.cli import main
from archiver.config import load, parse
from archiver.events import Captured
from archiver.exceptions import ConfigError

ALICE = "alice@example.org"
PEOPLE = [ALICE, "bob@example.org"]
RULES = """
[archiving]
archive = "im"
to_mailbox = true
quota_warning = "1MiB"
quota_limit = "2MiB"
[[mailbox]]
address = "alice@example.org"
exchange_archiving = "mailbox"
[directory]
domains = ["example.org"]
"""


def talk(n: int, size: int) -> list[Captured]:
    text = "x" * size
    return [
        say(who, text, n * HOUR + i, id=f"{n}-{i}", room=f"room{n}", present=PEOPLE) for i, who in enumerate(PEOPLE)
    ]


def test_over_the_warning_it_is_told_and_over_the_limit_it_waits(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(RULES)
    config = load(tmp_path / "c.toml")
    data = tmp_path / "data"
    archive = Archive(data, config)

    def status(*options: str) -> str:
        return (
            CliRunner()
            .invoke(main, ["--data", str(data), "--config", str(tmp_path / "c.toml"), "status", *options])
            .stdout
        )

    def told() -> list[str]:
        now = time.time_ns() // 1_000
        return [each.found for each in doctor.examine(config, data, now) if each.check == "archive nearly full"]

    archive.take(talk(0, 1_000), HOUR)
    assert len(archive.archived(ALICE)) == 1
    assert told() == [] and "NEARLY FULL" not in status()
    archive.take(talk(1, 300_000), 2 * HOUR)
    assert len(archive.archived(ALICE)) == 2
    (found,) = told()
    assert found.startswith(f"the archive of {ALICE} holds ") and found.endswith(" 1 MiB of the 2 MiB it may hold")
    assert "1 archive NEARLY FULL:" in status() and f"  {ALICE}: " in status()
    (one,) = json.loads(status("--json"))["nearly_full"]
    assert one["mailbox"] == ALICE and one["warning"] == 2**20 < one["held"] < one["limit"] == 2**21
    archive.take(talk(2, 300_000), 3 * HOUR)
    assert len(archive.archived(ALICE)) == 2
    assert [kept.reason for kept in archive.spool.withheld()] == [
        f"The archive can't take it now: the archive of {ALICE} is full"
    ]
    archive.spool.close()


def test_a_warning_over_the_limit_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"archiving.quota_warning = '31744MiB': is over quota_limit"):
        parse({"archiving": {"quota_warning": "31GiB"}})
