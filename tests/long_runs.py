"""Real files in whose lines one piece stands again and again: what makes a pattern slow that looks for its end anew
from each of them."""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LENGTH = 60_000
PIECES = (" ", "\t", "<", ">", "(", "[", ":", "1", '"', "*", "`", "-", "\u200e", "1:", "a ", "<a ", "<quote ")
FILES, LINES, PLACES = 3, 4, 3
"""So many of an export's files, of each file's lines, and of each line's places are spoilt: the first, or largest."""
_HEAD = 30
_IN_ELEMENT = re.compile(r"(?<=>)([^<>]*\w[^<>]* )(?=[^<>]*<)")
_ENDS = re.compile(r"\s+|(?<=\w)(?=[^\w\s])|(?<=[^\w\s])")


def with_runs(sample: Path, folder: Path, piece: str) -> Path:
    """A copy of a sample, a file or an export (of an archive, unpacked), that has such lines."""
    run = piece * (LENGTH // len(piece))
    copy = folder / sample.parent.name / sample.name
    copy.parent.mkdir(parents=True)
    if sample.is_dir():
        shutil.copytree(sample, copy)
    elif zipfile.is_zipfile(sample):
        shutil.unpack_archive(sample, copy, "zip")
    else:
        shutil.copy(sample, copy)
    for path in _texts(copy):
        text = path.read_bytes().decode("utf-8", "surrogateescape")
        path.write_bytes(_spoilt(text, run).encode("utf-8", "surrogateescape"))
    return copy


def _texts(copy: Path) -> list[Path]:
    files = [each for each in copy.rglob("*") if each.is_file()] if copy.is_dir() else [copy]
    texts = [each for each in files if b"\0" not in each.read_bytes()[:1000]]  # else a database
    return sorted(texts, key=lambda each: -each.stat().st_size)[:FILES]


def _spoilt(text: str, run: str) -> str:
    if text.lstrip("\ufeff ").startswith("<"):
        return _IN_ELEMENT.sub(lambda found: f"{found[1]}{run}", text)
    try:
        return json.dumps(_grown(json.loads(text), run))
    except ValueError:
        return "".join(_lines(text.splitlines(keepends=True), run))


def _grown(value: Any, run: str) -> Any:
    """JSON with the run in each text that is one for people."""
    match value:
        case dict():
            return {key: _grown(each, run) for key, each in value.items()}
        case list():
            return [_grown(each, run) for each in value[:_HEAD]] + value[_HEAD:]
        case str() if " " in value:
            first, _, rest = value.partition(" ")
            return f"{first} {run}{rest}"
    return value


def _lines(lines: list[str], run: str) -> Iterator[str]:
    """The first of them, some with others behind them that hold the run at different places."""
    lines = lines[:_HEAD]
    step = max(1, len(lines) // LINES)
    for number, line in enumerate(lines):
        yield line
        if number % step == 0 and line.strip():
            yield from _versions(line, run)


def _versions(line: str, run: str) -> Iterator[str]:
    try:
        yield json.dumps(_grown(json.loads(line), run)) + "\n"
    except ValueError:
        places = [0, *(match.end() for match in _ENDS.finditer(line.rstrip()))]
        for place in places[:: max(1, len(places) // PLACES)]:
            yield line[:place] + run + line[place:]
