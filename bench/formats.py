"""The same talk as exports of several products, and how fast each is read and filed: three people a room, three views.

Holds how each format is written, roughly as the product does; nothing of how one is read.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from bench import child, corpus
from bench.machine import Watch
from bench.measure import Bench, Figure, at_least, plain

ROOMS = 200
PEOPLE = 3
BURST = 25
"""Messages of one conversation; then an hour's pause."""
_MIB = 1024 * 1024
AIMS = {"events": 18_000, "irc": 18_000, "slack": 8_000, "whatsapp": 8_000, "matrix": 8_000}


class Said(NamedTuple):
    at: int
    who: int
    text: str
    number: int


def run(bench: Bench) -> Iterator[Figure]:
    for name, aim in AIMS.items():
        bench.say(f"formats: {bench.sizes.events:,} messages as {name}")
        folder = bench.fresh(f"export-{name}")
        _WRITE[name](folder, bench.sizes.events)
        os.sync()
        started = time.perf_counter()
        process = child.start(bench.fresh(f"data-{name}"), name, folder)
        with Watch(process.pid) as watch:
            done = child.ended(process)
        seconds = time.perf_counter() - started
        if done.accepted < bench.sizes.events:
            raise RuntimeError(f"{name}: {done.accepted} of {bench.sizes.events} messages were accepted")
        fan_out = round(done.tally["copies"] / max(1, done.tally["items"]), 2)
        facts = {"seconds": round(seconds, 1), "copies_an_item": fan_out, "conversations": done.tally["conversations"]}
        title = f"{bench.sizes.events:,} messages as {name}"
        yield at_least(aim, f"formats.{name}.speed", title, bench.sizes.events / seconds, "messages/s", facts=facts)
        yield plain(f"formats.{name}.memory", f"{title}: sum of PSS", watch.peak / _MIB, "MiB")


def rooms(messages: int) -> Iterator[tuple[int, Iterator[Said]]]:
    """Room by room, in order of time."""
    random = Random(5)  # noqa: S311
    texts = [json.loads(text) for text in corpus.sentences(random)]
    for room in range(ROOMS):
        share = range(room, messages, ROOMS)
        yield (
            room,
            (
                Said(
                    corpus.START + room + n // BURST * 3_600 + n % BURST * 20,
                    random.randrange(PEOPLE),
                    random.choice(texts),
                    n,
                )
                for n, _ in enumerate(share)
            ),
        )


def _clock(said: Said, form: str) -> str:
    return datetime.fromtimestamp(said.at, UTC).strftime(form)


def _person(room: int, who: int) -> str:
    return f"user{room * PEOPLE + who}"


def _events(folder: Path, messages: int) -> None:
    with (folder / "export.ndjson").open("w", encoding="utf-8") as out:
        for room, talk in rooms(messages):
            people = [{"address": f"{_person(room, who)}@example.org"} for who in range(PEOPLE)]
            place = {"id": f"room{room}", "kind": "group", "participants": people}
            for said in talk:
                identity = f"{room}-{said.number}"
                data = {
                    "conversation": place,
                    "actor": people[said.who],
                    "message": {"id": identity, "text": said.text},
                }
                out.write(
                    _json(
                        {
                            "specversion": "1.0",
                            "source": "xmpp:x",
                            "id": identity,
                            "type": "message.sent",
                            "time": _clock(said, "%Y-%m-%dT%H:%M:%SZ"),
                            "data": data,
                        }
                    )
                )


def _irc(folder: Path, messages: int) -> None:
    for room, talk in rooms(messages):
        with (folder / f"#room{room}.log").open("w", encoding="utf-8") as out:
            out.writelines(
                f"{_clock(said, '%Y-%m-%dT%H:%M:%S')}  <{_person(room, said.who)}> {said.text}\n" for said in talk
            )


def _whatsapp(folder: Path, messages: int) -> None:
    for room, talk in rooms(messages):
        with (folder / f"WhatsApp Chat with Room {room}.txt").open("w", encoding="utf-8") as out:
            out.writelines(
                f"{_clock(said, '%d/%m/%Y, %H:%M')} - {_person(room, said.who)}: {said.text}\n" for said in talk
            )


def _slack(folder: Path, messages: int) -> None:
    users = [_person(room, who) for room in range(ROOMS) for who in range(PEOPLE)]
    _dump(
        folder / "users.json",
        [{"id": each, "team_id": "T", "profile": {"email": f"{each}@example.org"}} for each in users],
    )
    channels = [
        {"id": f"C{room}", "name": f"room{room}", "members": [_person(room, who) for who in range(PEOPLE)]}
        for room in range(ROOMS)
    ]
    _dump(folder / "channels.json", channels)
    for room, talk in rooms(messages):
        (folder / f"room{room}").mkdir()
        for day, lines in _by_day(talk):
            made = [
                {
                    "type": "message",
                    "user": _person(room, said.who),
                    "text": said.text,
                    "ts": f"{said.at}.{said.number:06}",
                }
                for said in lines
            ]
            _dump(folder / f"room{room}" / f"{day}.json", made)


def _matrix(folder: Path, messages: int) -> None:
    for room, talk in rooms(messages):
        made = [
            {
                "type": "m.room.message",
                "event_id": f"$r{room}e{said.number}",
                "room_id": f"!r{room}:example.org",
                "sender": f"@{_person(room, said.who)}:example.org",
                "origin_server_ts": said.at * 1000,
                "content": {"msgtype": "m.text", "body": said.text},
            }
            for said in talk
        ]
        _dump(
            folder / f"room{room}.json",
            {
                "room_name": f"Room {room}",
                "room_creator": "@a:example.org",
                "topic": "",
                "export_date": "2024-01-01",
                "exported_by": "@a:example.org",
                "messages": made,
            },
        )


def _by_day(talk: Iterable[Said]) -> Iterator[tuple[str, list[Said]]]:
    day, lines = "", list[Said]()
    for said in talk:
        if (now := _clock(said, "%Y-%m-%d")) != day:
            if lines:
                yield day, lines
            day, lines = now, []
        lines.append(said)
    if lines:
        yield day, lines


def _dump(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) + "\n"


_WRITE: dict[str, Callable[[Path, int], None]] = {
    "events": _events,
    "irc": _irc,
    "slack": _slack,
    "whatsapp": _whatsapp,
    "matrix": _matrix,
}
