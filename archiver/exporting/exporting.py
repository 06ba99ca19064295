"""Items -> a form, from wherever they lie; and that they were exported, which a purge may ask.

    origin ─► lot of pieces ─► read, compare with what is on record ─► form, SYNC ─► noted as exported

What is written is durable before its item counts as exported. Running it again writes nothing twice, and ends in the
same bytes, whenever the one before was killed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import islice
from pathlib import Path

from archiver.exceptions import EnvironmentFault
from archiver.exporting.records import Form, Origin, Piece, Report, Wanted

_AT_ONCE = 100
"""Items between two syncs and one note in the spool."""

Show = Callable[[Report], None]
_Done = list[tuple[Piece, str]]


def silent(report: Report) -> None:
    """Nobody waits."""


def export(
    origins: Iterable[Origin],
    form: Form,
    target: Path,
    wanted: Wanted,
    now: Callable[[], int],
    report: Report,
    show: Show = silent,
) -> None:
    """What comes of it is added to `report`, which `show` sees now and then."""
    waiting: list[tuple[Origin, _Done]] = []
    try:
        with form:
            for origin in origins:
                for done in _lots(origin, form, wanted, report):
                    form.sync()
                    show(report)
                    if form.whole:
                        waiting.append((origin, done))
                    elif form.exact:
                        origin.note(done, now())
                for each in origin.blocked(wanted):
                    form.leave_out(each)
                    report.blocked.append(str(each))
            report.sha256 = form.finish()
    except OSError as error:
        where = error.filename or target
        raise EnvironmentFault(f"{where}: {error.strerror}", hint="free some space, or name another place") from error
    for origin, done in waiting if form.exact else ():
        origin.note(done, now())


def _lots(origin: Origin, form: Form, wanted: Wanted, report: Report) -> Iterator[_Done]:
    """A file of all is sorted, so that equal items are equal bytes; a folder sorts itself."""
    pieces = origin.pieces(wanted)
    if form.whole:
        pieces = iter(sorted(pieces, key=lambda piece: piece.path))
    while lot := list(islice(pieces, _AT_ONCE)):
        yield list(_written(origin, form, lot, report))


def _written(origin: Origin, form: Form, lot: Sequence[Piece], report: Report) -> Iterator[tuple[Piece, str]]:
    for piece, content in zip(lot, origin.contents(lot), strict=True):
        if content is None:  # purged, moved or deleted meanwhile
            continue
        digest = sha256(content).hexdigest()
        if piece.sha256 not in (None, digest):
            report.damaged.append(piece.called)
        elif form.add(piece, content, digest):
            report.items += 1
            report.bytes += len(content)
            yield piece, digest
        else:
            report.left_out += 1
