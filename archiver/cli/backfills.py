"""What backfills did: the list of them, and the report of one."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import msgspec
from msgspec import structs

from archiver.backfill import Report, undoing
from archiver.backfill.parts import Counts
from archiver.backfill.reading import UNKNOWN
from archiver.backfill.reporting import ConversationReport, DocumentReport
from archiver.backfill.undoing import Undone
from archiver.cli.app import App
from archiver.cli.decision import exactly
from archiver.cli.output import as_json, counted, say, size, table, when
from archiver.config import Config
from archiver.importers.leaving import NAMED, Left
from archiver.logs import plain
from archiver.selection import EARLIER, EVERYTHING, LATER, OTHER_ROOMS, Selection
from archiver.spool import Spool, missing
from archiver.spool.locks import holder
from archiver.spool.runs import Run, State

_SHOWN = 20
_COUNTS = Counts.__struct_fields__
_ASKED_FOR = {OTHER_ROOMS: "--room", EARLIER: "--from", LATER: "--until", UNKNOWN: "--skip-unknown"}
"""What is left out because an option says so."""


def list_runs(app: App) -> None:
    with app.reading_spool() as spool:
        runs = spool.backfills()
    if app.json:
        return as_json([{**structs.asdict(run), "state": _state(app, run)} for run in runs])
    rows = [(r.number, when(r.began), _state(app, r), r.format, r.accepted, " ".join(r.paths)) for r in runs]
    return table(("run", "began", "state", "format", "new", "paths"), rows, right=(0, 4))


def _state(app: App, run: Run) -> str:
    """A run that is under way holds the lock of backfills."""
    is_open = run.state in (State.READING, State.FILING)
    return "interrupted" if is_open and holder(app.data / "run", "backfill") is None else run.state.value


def show_report(app: App, number: int) -> None:
    with app.reading_spool() as spool:
        run, kept = spool.backfill(number)
    if kept is None:
        state = _state(app, run)
        if app.json:
            return as_json({**structs.asdict(run), "state": state})
        say(f"Backfill {number} ({run.format}, begun {when(run.began)}) has no report: it is {state}.")
        return say(f"So far {run.accepted:,} new, {run.duplicates:,} known before, {run.quarantined:,} quarantined.")
    report = msgspec.json.decode(kept, type=Report)
    if app.json:
        return as_json(report)
    say(f"Backfill {number}: {run.format} {' '.join(run.paths)}, begun {when(run.began)}, {run.state.value}")
    if only := _only(run):
        say(f"Only {only}.")
    return tell_report(report, full=True)


def _only(run: Run) -> str:
    """What was wanted of the input, in words; "" where all was."""
    told = msgspec.json.decode(run.options).get("selection")
    wanted = msgspec.convert(told, Selection) if told else EVERYTHING
    return "; ".join(
        what
        for what, is_so in (
            (f"of {', '.join(map(plain, wanted.rooms))}", wanted.rooms),
            (f"from {exactly(wanted.since)} on (UTC)", wanted.since is not None),
            (f"before {exactly(wanted.until)} (UTC)", wanted.until is not None),
        )
        if is_so
    )


def tell_report(report: Report, *, full: bool = False) -> None:
    """In sentences; documents and conversations one by one on a terminal and on request."""
    _tell_sums(report, full=full)
    if full or sys.stdout.isatty():
        _tell_documents(report.documents)
        _tell_conversations(report.conversations)
    if not full:
        say(f"`archiver backfill --report {report.run}` shows this again.")


def _tell_sums(report: Report, *, full: bool) -> None:
    tally, unwanted = report.tally, {why: report.ignored.get(why, 0) for why in _ASKED_FOR}
    read = report.accepted + report.duplicates + report.conflicts
    rate = f", {(read - report.resumed) / report.seconds:,.0f} a second" if report.seconds > 1 else ""
    say(f"Read {counted(read, 'event')}: {report.accepted:,} new, {report.duplicates:,} known before{rate}.")
    say(
        f"Filed {counted(tally.conversations - tally.empty - tally.unowned, 'conversation')}"
        f" as {counted(tally.copies, 'item')} in people's folders ({size(tally.bytes)})."
    )
    for count, what, more in (
        (report.skipped, "document", "read to the end before, not read again (--reread does)"),
        (report.resumed, "event", "had before the interruption: went on behind them"),
        (tally.empty, "conversation", "only of joins and leaves: nothing to file"),
        (tally.unowned, "conversation", "of nobody with a mailbox here: `archiver status --strangers`"),
        (tally.waiting, "conversation", "not over yet: the daemon files them"),
        (tally.archived, "complete item", "archived"),
        (tally.withheld, "item", "withheld by the gate: `archiver status` says why"),
        (tally.unarchived, "complete item", "withheld from the archive: `archiver status` says why"),
        (sum(report.ignored.values()) - sum(unwanted.values()), "line", "that say nothing, left out"),
        *((count, "event", f"{why}, left out ({_ASKED_FOR[why]})") for why, count in unwanted.items()),
        (report.excluded, "event", "left out: `archiver exclusion list --all`"),
        (report.cleaned, "event", "mended: `archiver status --quarantine`"),
        (report.quarantined, "piece", "of input QUARANTINED: `archiver status --quarantine`"),
        (report.conflicts, "event", "IN CONFLICT with earlier ones: `archiver status --conflicts`"),
        (tally.failed, "conversation", "NOT FILED: `archiver status --parked`"),
    ):
        if count:
            say(f"  {counted(count, what)} {more}")
    if unwanted[OTHER_ROOMS] and not read + unwanted[EARLIER] + unwanted[LATER]:
        say("  NO ROOM is called so: --dry-run without --room names them all")
    for guess, count in sorted(report.guessed.items()):
        say(f"  guessed, {count:,} times: {guess}")
    for each in report.resembling:
        here, there = f"{each.conversation} of {each.source}", f"{each.other_conversation} of {each.other_source}"
        say(f"  LOOKS LIKE the same chat from another tool: {plain(here)}, and {plain(there)}:")
        alike = f"{each.alike:,} of {counted(each.compared, 'message')}"
        say(f"    {alike} have people, minute and text in common, under other ids")
    for line in left_lines(report.left, NAMED if full else 1):
        say(f"  {line}")


def left_lines(left: Sequence[Left], most: int = 1) -> Iterator[str]:
    """What was left alone, a line for each reason; of each as many names."""
    for each in left:
        names = ", ".join(map(plain, each.such[:most]))
        such = "such as " if each.count > most else ""
        yield f"{'LEFT' if each.is_fault else 'Left'} alone: {counted(each.count, 'file')} ({each.why}), {such}{names}"


def _tell_documents(documents: Sequence[DocumentReport]) -> None:
    """Those that ask for attention first."""
    ranked = sorted(documents, key=lambda each: (not each.broke_off, -each.quarantined - each.conflict, each.whole))
    rows = [(each.place, *_counts(each), _remarks(each)) for each in ranked[:_SHOWN]]
    if not rows:
        return
    say()
    table(("document", *_COUNTS, ""), rows, right=range(1, 1 + len(_COUNTS)))
    _tell_more(len(ranked), "document")


def _tell_conversations(conversations: Sequence[ConversationReport]) -> None:
    ranked = sorted(conversations, key=lambda each: -each.withheld - each.conflict)
    rows = [
        (each.conversation, each.source, *_counts(each), each.filed, each.withheld, _said(each.reasons))
        for each in ranked[:_SHOWN]
    ]
    if not rows:
        return
    say()
    columns = ("conversation", "source", *_COUNTS, "filed", "withheld", "")
    table(columns, rows, right=range(2, 4 + len(_COUNTS)))
    _tell_more(len(ranked), "conversation")


def _counts(counts: Counts) -> tuple[int, ...]:
    return tuple(getattr(counts, name) for name in _COUNTS)


def _remarks(document: DocumentReport) -> str:
    skipped = f"{document.skipped:,} had before" if document.skipped else ""
    said = map(_said, (document.reasons, document.ignored, document.guessed))
    return "; ".join(filter(None, (document.broke_off, skipped, *said)))


def _said(reasons: dict[str, int]) -> str:
    return "; ".join(f"{why} ({count:,})" for why, count in reasons.items())


def _tell_more(count: int, what: str) -> None:
    if count > _SHOWN:
        say(f"  and {counted(count - _SHOWN, what)} more: all with --json")


def undo(app: App, number: int, by: str | None, reason: str | None, *, dry: bool) -> None:
    if dry:
        with app.reading_spool() as spool:
            report = undoing.planned(app.config(), app.data, spool, number)
    else:
        report = undoing.undo(*_decided(app, number, by, reason))
    if app.json:
        as_json(report)
    else:
        _tell_undone(report, dry=dry)
    return None if report.clean else click.get_current_context().exit(1)


def refile(app: App, number: int, by: str | None, reason: str | None) -> None:
    report = undoing.refile(*_decided(app, number, by, reason))
    if app.json:
        as_json(report)
    else:
        say(f"{counted(report.conversations, 'conversation')} filed anew: {counted(report.tally.copies, 'item')} put.")
        if report.beyond:
            say(f"{counted(report.beyond, 'conversation')} NOT: their events are no longer in the spool.")
            say(f"Take the run back (`archiver backfill --undo {number}`), and read the export again.")
        if report.busy:
            say(f"{counted(report.busy, 'room')} NOT: just being filed. Run it again.")
    return None if report.clean else click.get_current_context().exit(1)


def _decided(app: App, number: int, by: str | None, reason: str | None) -> tuple[Config, Path, int, str, str, int]:
    if by is None or reason is None:
        raise click.UsageError("--by and --reason say who decides this and why; --dry-run only shows what would go")
    config = app.config()
    app.log(config, quiet=True)
    if not Spool.exists(app.data):  # a misspelt --data would make another
        raise missing(app.data)
    return config, app.data, number, by, reason, time.time_ns() // 1_000


def _tell_undone(report: Undone, *, dry: bool) -> None:
    what = f"{counted(report.items, 'item')} and {counted(report.events, 'event')} of {counted(report.rooms, 'room')}"
    say(f"{what} {'would go' if dry else 'taken back'}.")
    for count, one, more in (
        (report.waiting, "item", "that waited for the gate or for a person, too"),
        (report.archived, "version", "in compliance archives: they stay"),
        (report.tally.copies, "item", "filed anew without what was taken back"),
    ):
        if count:
            say(f"  {counted(count, one)} {more}")
    for other, count in report.shared.items():
        say(f"  {counted(count, 'event')} that backfill {other} told too: not taken back")
    for left in report.left:
        say(f"STAYS, {left.why}: {left.mailbox}: {left.folder}/{left.name}")
    for kept in report.kept:
        say(f"STAYS as it is: {kept}")
