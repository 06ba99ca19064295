"""What a backfill is asked for. Looks at files, and reads none of them."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from archiver import __version__
from archiver.conversations.rules import Rules
from archiver.exceptions import EnvironmentFault, UsageError
from archiver.importers import Document, Importer, Options
from archiver.importers.document import readable
from archiver.importers.leaving import Leave, Left
from archiver.importers.recognising import Recognised, chosen, recognise
from archiver.selection import EVERYTHING, Picking, Selection
from archiver.spool import Spool
from archiver.spool.nicks import Nick


class Request(Struct, frozen=True):
    """What to read, as what, and with how many processes to file.

    `documents` are those of the paths that are of this format, where it was told by looking; else all. What isn't of
    the `selection` is left out, and so is what `without` (source and address) did. With `reread`, what was read to its
    end before is read once more.
    """

    importer: Importer
    paths: tuple[Path, ...]
    options: Options = Options()
    jobs: int = 2
    documents: tuple[Document, ...] = ()
    without: frozenset[tuple[str, str]] = frozenset()
    selection: Selection = EVERYTHING
    reread: bool = False
    force: bool = False
    """Begin even where the disk seems to have too little room."""
    nicks: frozenset[Nick] = frozenset()
    """Whose mailbox the directory says for the nick alone, each with its place."""
    left: tuple[Left, ...] = ()
    """What is left alone of the paths, where formats were told by looking: stands in this run's report."""


def check(request: Request) -> None:
    """Tell a wrong path before anything is begun."""
    for path in request.paths:
        require(path)


def require(path: Path, hint: str = "name files or folders that exist") -> None:
    """That it can be read, twice if need be: no pipe, whose writer may never come and whose bytes come only once."""
    try:
        mode = path.stat().st_mode
    except PermissionError as fault:
        raise _refused(path, str(fault.strerror)) from fault
    except OSError as fault:
        raise UsageError(f"{path}: {_NO_FILE.get(fault.errno or 0, fault.strerror)}", hint=hint) from fault
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise UsageError(f"{path}: neither a file nor a folder", hint="save what it gives as a file, and name that")
    if not os.access(path, os.R_OK):
        raise _refused(path, os.strerror(errno.EACCES))


def _refused(path: Path, why: str) -> EnvironmentFault:
    return EnvironmentFault(f"{path}: {why}", hint="check its permissions", path=str(path))


_NO_FILE = {errno.ENOENT: "no such file"}


def feed_name(request: Request) -> str:
    """The same files again are the same feed, so that a dead import ends by being run again."""
    named = "\0".join(str(path.resolve()) for path in request.paths).encode("utf-8", "surrogateescape")
    return f"import:{request.importer.name}:{blake2b(named, digest_size=6).hexdigest()}"


def chosen_by(request: Request, leave: Leave) -> tuple[Document, ...]:
    return request.documents or chosen(request.importer, request.paths, Spool.exists, leave)


def look(paths: Sequence[Path], leave: Leave) -> Recognised:
    """What the files are, by looking. A data directory among them is passed over: what was filed is no input."""
    return recognise(paths, Spool.exists, leave)


def picked(request: Request, rules: Rules) -> Picking:
    return Picking(request.selection, rules, partial=request.importer.partial_presence)


def description(request: Request) -> str:
    return f"archiver backfill {request.importer.name} {readable(request.paths[0])} (process {os.getpid()})"


def manner(request: Request) -> str:
    """How it is to be read, as JSON: the same document, read in the same manner, gives the same pieces in a row."""
    return msgspec.json.encode(_manner(request), order="sorted").decode()


def asked(request: Request) -> str:
    """How it is read and what of it is wanted, as JSON: an interrupted run goes on where it is told the same."""
    selection = {} if request.selection == EVERYTHING else {"selection": msgspec.to_builtins(request.selection)}
    return msgspec.json.encode(_manner(request) | selection, order="sorted").decode()


def _manner(request: Request) -> dict[str, Any]:
    return {"archiver": __version__, "format": request.importer.name, **msgspec.to_builtins(request.options)}
