"""The bench works in every part, at a size that says nothing about speed; and the little it computes is right."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from bench import corpus, machine  # noqa: E402
from bench.measure import at_least, at_most, percentile, ratio, rounded  # noqa: E402

EVENTS = 300
NOTHING = {"live.refused", "http.refused", "steady.growth", "steady.slope"}
"""What may well be 0, or less."""
PEERS = {"filing.mdeliver", "store.mdeliver"}
FIGURES = {
    "spool": {f"spool.{ids}{more}" for ids in ("serial", "random") for more in ("", ".sealed")},
    "filing": {"store.put", "filing.bare", "filing.standard", "filing.standard.alone", "store.standard"},
    "rendering": {
        f"rendering.{day}.{what}" for day in ("irc", "room") for what in ("renderings", "bytes", "speed", "items")
    }
    | {"rendering.backfill"},
    "backfill": {f"backfill.{ids}.{what}" for ids in ("serial", "random") for what in ("speed", "memory")},
    "http": {"http.batches", "http.p99", "http.refused"},
    "steady": {"steady.growth", "steady.slope"},
    "smtp": {"smtp.deliveries"},
    "live": {"live.p99", "live.refused", "live.alone"},
    "policy": {"policy.warm", "policy.cold"},
    "inspection": {"inspection.screen", "inspection.verify", "inspection.verify.memory"},
    "search": {f"search.{what}" for what in ("build", "size", "common", "mailbox", "chinese", "both", "relevance")},
    "formats": {
        f"formats.{name}.{what}"
        for name in ("events", "irc", "slack", "whatsapp", "matrix")
        for what in ("speed", "memory")
    },
    "purge": {"purge.speed", "purge.memory", "purge.linear", "purge.longest"},
}
AIMS = {
    "spool.serial": ">= 0.5",
    "spool.random": ">= 0.5",
    "store.put": ">= 0.6",
    "filing.standard": ">= 15",
    "rendering.backfill": ">= 100,000",
    "backfill.serial.speed": ">= 20,000",
    "backfill.random.speed": ">= 12,000",
    "backfill.serial.memory": "<= 200",
    "backfill.random.memory": "<= 200",
    "http.batches": ">= 0.4",
    "http.p99": "<= 100",
    "http.refused": "<= 0",
    "smtp.deliveries": ">= 500",
    "formats.events.speed": ">= 18,000",
    "formats.irc.speed": ">= 18,000",
    "formats.slack.speed": ">= 8,000",
    "formats.whatsapp.speed": ">= 8,000",
    "formats.matrix.speed": ">= 8,000",
    "live.p99": "<= 250",
    "live.refused": "<= 0",
    "policy.warm": "<= 20",
    "policy.cold": "<= 20",
    "inspection.screen": "<= 1.0",
    "inspection.verify.memory": "<= 1.2",
    "purge.speed": ">= 2,000",
    "search.common": "<= 200",
    "search.mailbox": "<= 200",
    "search.chinese": "<= 200",
    "search.both": "<= 200",
    "search.relevance": "<= 200",
    "purge.memory": "<= 32",
}


def bench(work: Path, *arguments: str, path: str | None = None) -> tuple[int, dict[str, Any]]:
    command = [sys.executable, "-m", "bench", "--events", str(EVENTS), "--work", str(work), *arguments]
    environment = {**os.environ, "PATH": path} if path is not None else None
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, env=environment, check=False)
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize(
    "part",
    [pytest.param(part, marks=[] if part in ("spool", "policy") else [pytest.mark.slow]) for part in FIGURES],
)
def test_every_part_gives_its_figures_with_their_aims(part: str, tmp_path: Path) -> None:
    status, report = bench(tmp_path, "--only", part, "--without", "mblaze", "--without", "notmuch")
    assert (status, report["failures"], list(report["parts"])) == (0, {}, [part])
    figures = {figure["name"]: figure for figure in report["parts"][part]["figures"]}
    assert figures.keys() == FIGURES[part]
    aims = {name: figure["aim"] for name, figure in figures.items() if "aim" in figure}
    assert aims == {name: aim for name, aim in AIMS.items() if name in FIGURES[part]}
    assert report["missed"] == [name for name, figure in figures.items() if figure.get("met") is False]
    assert all(figure["value"] > 0 for name, figure in figures.items() if name not in NOTHING)


@pytest.mark.slow
def test_a_purge_takes_no_more_memory_for_more_items(tmp_path: Path) -> None:
    _, report = bench(tmp_path, "--only", "purge", "--events", "20000")
    assert report["failures"] == {} and "purge.memory" not in report["missed"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_run_that_is_stopped_keeps_what_it_knew(number: signal.Signals, tmp_path: Path) -> None:
    parts = ["--only", "policy", "--only", "live"]
    command = [sys.executable, "-m", "bench", "--events", "9000", "--work", str(tmp_path), *parts]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None and process.stdout is not None
        told = next(line for line in process.stderr if "live.alone" in line)
        while len(machine.tree(process.pid)) == 1:
            assert process.poll() is None
        below = machine.tree(process.pid)[1:]
        process.send_signal(number)
        report = json.loads(process.stdout.read())
    assert process.returncode == 130 and report["interrupted"] and report["failures"] == {}
    assert {part: [figure["name"] for figure in each["figures"]] for part, each in report["parts"].items()} == {
        "policy": ["policy.warm", "policy.cold"],
        "live": ["live.alone"],
    }
    assert f"{report['parts']['live']['figures'][0]['value']:,} ms" in told
    assert not [each for each in below if machine.proportional(each)]


@pytest.mark.slow
def test_mdeliver_is_measured_where_it_is_and_named_where_it_is_not(tmp_path: Path) -> None:
    fake = tmp_path / "bin" / "mdeliver"
    fake.parent.mkdir()
    fake.write_text('#!/bin/sh\n[ "$1 $2 $3" = "-c -X S" ] && cat >"$4/cur/$$.here:2,S"\n')
    fake.chmod(0o755)
    work = tmp_path / "work"
    status, report = bench(work, "--only", "filing", "--keep", path=f"{fake.parent}:/usr/bin:/bin")
    assert status == 0
    figures = {figure["name"]: figure for figure in report["parts"]["filing"]["figures"]}
    assert figures.keys() == FIGURES["filing"] | PEERS
    assert len(list(work.glob("run-*/*-mdeliver/mailbox*/cur/*.here:2,S"))) == figures["store.put"]["facts"]["items"]
    status, report = bench(work, "--only", "filing", path="/nowhere")
    assert status == 1
    assert "mdeliver" in report["missing"][0]


@pytest.mark.slow
def test_nothing_is_removed_before_the_end_and_a_removal_is_told_to_the_next_run(tmp_path: Path) -> None:
    older = tmp_path / "run-older" / "file"
    older.parent.mkdir()
    older.touch()
    _, report = bench(tmp_path, "--only", "spool", "--keep")
    assert older.exists() and report["notes"] == []
    _, report = bench(tmp_path, "--only", "spool")
    assert not list(tmp_path.glob("run-*")) and report["notes"] == []
    _, report = bench(tmp_path, "--only", "spool", "--keep")
    assert "removed" in report["notes"][0]


def test_the_corpus_is_the_same_each_time_in_order_and_of_the_shape_it_says() -> None:
    lines = list(corpus.lines(20_000, "serial"))
    assert lines == list(corpus.lines(20_000, "serial"))
    events = [json.loads(line) for line in lines]
    assert [event["id"] for event in events] == [f"m{number:08}" for number in range(20_000)]
    times = [event["time"] for event in events]
    assert times == sorted(times)
    whole = Counter(event["data"]["conversation"]["id"] for event in events[:15_000])
    assert 20 < sum(whole.values()) / len(whole) < 27
    places = {event["data"]["conversation"]["id"]: event["data"]["conversation"] for event in events}.values()
    assert 0.7 < sum(place["kind"] == "im" for place in places) / len(places) < 0.9
    assert {len(place["participants"]) for place in places} == {2, 3, 4, 5}


def test_random_ids_change_nothing_else() -> None:
    one, other = (json.loads(next(corpus.lines(1, ids))) for ids in ("serial", "random"))
    assert len(other["id"]) == 36
    for event in (one, other):
        del event["id"], event["data"]["message"]["id"]
    assert one == other


def test_a_crowded_day_has_everybody_join_and_leave_twice(tmp_path: Path) -> None:
    path = corpus.write_rooms(tmp_path / "rooms", 2, 50, 12)
    kinds = Counter(json.loads(line)["type"] for line in path.read_bytes().splitlines())
    assert kinds == {"message.sent": 100, "participant.joined": 48, "participant.left": 48}


def test_memory_is_that_of_the_whole_tree() -> None:
    grow = "import os,sys; held=bytearray(os.urandom(1))*(40<<20); print(1, flush=True); sys.stdin.read()"
    twice = f"import subprocess,sys; p=subprocess.run([sys.executable, '-c', {grow!r}])"
    with subprocess.Popen([sys.executable, "-c", twice], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None and parent.stdin is not None
        parent.stdout.readline()
        with machine.Watch(parent.pid) as watch:
            pass
        parent.stdin.close()
    assert 40 << 20 < watch.peak < 80 << 20
    assert watch.processes == 2


def test_ratios_are_medians_of_neighbours() -> None:
    figure = ratio("name", "what", [10.0, 30.0, 100.0], [10.0, 10.0, 50.0], 2)
    assert (figure.samples, figure.value, figure.aim, figure.met) == ([1, 3, 2], 2, ">= 2", True)
    assert ratio("name", "what", [1.0], [1.0], None).met is None


def test_an_aim_is_met_from_either_side() -> None:
    assert [at_least(5, "", "", value, "").met for value in (4.9, 5)] == [False, True]
    assert [at_most(5, "", "", value, "").met for value in (5, 5.1)] == [True, False]


def test_a_percentile_was_seen_and_figures_claim_no_more_than_they_know() -> None:
    assert percentile(list(range(1, 201)), 99) == 198
    assert percentile([7.0], 99) == 7
    assert (rounded(12345.6), rounded(0.123456)) == (12346, 0.123)
