"""scripts/backfill, as cron runs it; and whether there is room, told beforehand."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from builders import say
from msgspec import Struct

from archiver.backfill import room
from archiver.events import ndjson
from archiver.exceptions import EnvironmentFault

ROOT = Path(__file__).parent.parent


def scripted(tmp_path: Path, path: Path) -> subprocess.CompletedProcess[str]:
    archiver = Path(sys.executable).with_name("archiver")
    command = [ROOT / "scripts" / "backfill", tmp_path / "logs", "--data", tmp_path / "data", "backfill", path]
    environment = {**os.environ, "ARCHIVER": str(archiver)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)


@pytest.mark.slow
def test_the_script_keeps_log_and_report_and_speaks_only_of_trouble(tmp_path: Path) -> None:
    path = tmp_path / "a.ndjson"
    path.write_bytes(ndjson([say("alice@example.org", "hello", 0, id="1")]))
    done = scripted(tmp_path, path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (report,) = (tmp_path / "logs").glob("*.json")
    assert json.loads(report.read_text())["accepted"] == 1
    missing = scripted(tmp_path, tmp_path / "nowhere.ndjson")
    assert missing.returncode == 2 and "no such file" in missing.stderr


def test_while_the_last_one_runs_it_leaves_at_once(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    with (tmp_path / "logs" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = scripted(tmp_path, tmp_path / "nowhere.ndjson")
    assert (done.returncode, done.stderr) == (0, "") and not list((tmp_path / "logs").glob("*.log"))


class _Sized(Struct):
    size: int


def test_room_is_asked_for_before_a_large_import(tmp_path: Path) -> None:
    room.require_room(tmp_path / "not" / "there", [_Sized(room.LARGE - 1)])  # type: ignore[list-item]
    with pytest.raises(EnvironmentFault, match=r"likely to be needed, .* are free"):
        room.require_room(tmp_path / "not" / "there", [_Sized(2**60)])  # type: ignore[list-item]
