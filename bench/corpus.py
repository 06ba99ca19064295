"""Made-up talk, the same each time: a company's messages as one export, and a crowded room's day. No product code.

Lines are in order of time, so conversations interleave as they do in a real export, and they are not in canonical
form, as an adapter would write them.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any, Literal

Ids = Literal["serial", "random"]

START = 1_300_000_000
PEOPLE = 1_000
SENT = "message.sent"
SOURCE = "xmpp:chat.example.org"
_LENGTH = 25
_SECONDS_BETWEEN_STARTS = 3.0
_SECONDS_BETWEEN_MESSAGES = 20.0
_SENTENCES = 20_000
_GROUPS = 0.2
_CHINESE = 0.15

_WORDS = Path(__file__).with_name("words.txt").read_text().split()
_CHARACTERS = (
    "我你他們的是在有不這個人來大上到說要就會可以也和時候看明天今天昨天開會工作完成問題專案測試版本更新"
    "請謝好嗎吧呢請問文件檔案已經還沒收到客戶報告下午早上中午吃飯什麼怎麼這樣"
)


def write(path: Path, events: int, ids: Ids) -> Path:
    """The export as a file, line by line."""
    with path.open("wb", buffering=1 << 20) as out:
        out.writelines(lines(events, ids))
    return path


def lines(events: int, ids: Ids, *, source: str = SOURCE, seed: int = 7, places: int = 0) -> Iterator[bytes]:
    """Messages of conversations of about 25 between two to five of a thousand people.

    Each is in a place of its own; or in one of so many `places`, to which people come back.
    """
    random = Random(seed)  # noqa: S311
    texts = sentences(random)
    name = _serial if ids == "serial" else _random(Random(seed + 1))  # noqa: S311
    known: list[tuple[str, list[str]]] = []
    under_way: list[tuple[float, int, int, str, list[str]]] = []
    begins, chats = float(START), 0
    for number in range(events):
        while not under_way or under_way[0][0] > begins:
            chats += 1
            if not places or chats <= places:
                talk = _talk(random, chats)
                known += [talk] if places else []
            else:
                talk = known[chats % places]
            heapq.heappush(under_way, (begins, chats, _length(random), *talk))
            begins += random.expovariate(1 / _SECONDS_BETWEEN_STARTS)
        at, chat, left, place, actors = under_way[0]
        yield _line(source, name(number), at, place, random.choice(actors), random.choice(texts))
        later = at + random.random() * _SECONDS_BETWEEN_MESSAGES
        if left > 1:
            heapq.heapreplace(under_way, (later, chat, left - 1, place, actors))
        else:
            heapq.heappop(under_way)


def write_rooms(path: Path, rooms: int, messages: int, people: int) -> Path:
    """A day of rooms where everybody joins and leaves twice, and all of that is on record."""
    random = Random(11)  # noqa: S311
    texts = sentences(random)
    days = [happening for room in range(rooms) for happening in _day(random, room, messages, people)]
    with path.open("wb") as out:
        for number, (at, place, kind, who) in enumerate(sorted(days)):
            text = random.choice(texts) if kind == SENT else None
            out.write(_line(SOURCE, f"r{number:08}", START + at, place, who, text, kind))
    return path


def _day(random: Random, room: int, messages: int, people: int) -> Iterator[tuple[float, str, str, str]]:
    """When, where, what and who."""
    day = 86_400.0
    place = _dumps({"id": f"room{room}@conference.example.org", "kind": "group"})
    stays: list[tuple[float, float, str]] = []
    for number in range(people):
        times = sorted(random.random() * day for _ in range(4))
        who = _actor(number)
        for joined, left in (times[:2], times[2:]):
            stays.append((joined, left, who))
            yield joined, place, "participant.joined", who
            yield left, place, "participant.left", who
    while messages:
        at = random.random() * day
        present = [who for joined, left, who in stays if joined < at < left]
        if present:
            yield at, place, SENT, random.choice(present)
            messages -= 1


def _line(
    source: str, id: str, at: float, place: str, actor: str, text: str | None, kind: str = "message.sent"
) -> bytes:
    second, fraction = divmod(round(at * 1_000_000), 1_000_000)
    message = "" if text is None else f', "message": {{"id": "{id}", "text": {text}}}'
    return (
        f'{{"specversion": "1.0", "source": "{source}", "id": "{id}", "type": "{kind}",'
        f' "time": "{_clock(second)}.{fraction:06}Z",'
        f' "data": {{"conversation": {place}, "actor": {actor}{message}}}}}\n'
    ).encode()


@lru_cache(maxsize=1_000)
def _clock(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _talk(random: Random, chat: int) -> tuple[str, list[str]]:
    """A new conversation's place and its people, as JSON."""
    group = random.random() < _GROUPS
    members = sorted(random.sample(range(PEOPLE), random.randint(3, 5) if group else 2))
    actors = [_actor(number) for number in members]
    id = f"room{chat}@conference.example.org" if group else f"user{members[0]} user{members[1]} {chat}"
    kind = "group" if group else "im"
    return f'{{"id": "{id}", "kind": "{kind}", "participants": [{", ".join(actors)}]}}', actors


def _actor(number: int) -> str:
    name = f"User {number}" if number % 10 else f"使用者{number}"
    return f'{{"address": "user{number}@example.org", "name": "{name}"}}'


def _length(random: Random) -> int:
    return max(1, round(random.gauss(_LENGTH, _LENGTH / 4)))


def _serial(number: int) -> str:
    return f"m{number:08}"


def _random(random: Random) -> Callable[[int], str]:
    def uuid(number: int) -> str:
        digits = f"{random.getrandbits(128):032x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    return uuid


def sentences(random: Random) -> list[str]:
    """Texts as JSON strings: most a few words, some a paragraph."""
    return [_dumps(_chinese(random) if random.random() < _CHINESE else _english(random)) for _ in range(_SENTENCES)]


def _english(random: Random) -> str:
    return " ".join(random.choices(_WORDS, k=min(120, max(1, round(random.lognormvariate(2.1, 0.7))))))


def _chinese(random: Random) -> str:
    return "".join(random.choices(_CHARACTERS, k=min(200, max(2, round(random.lognormvariate(2.5, 0.7))))))


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
