"""`archiver explain`: why a conversation was, or was not, filed and archived for somebody. Changes nothing."""

from __future__ import annotations

import time

import click

from archiver.assembly import open_spool, terms_of
from archiver.cli.app import App, reads
from archiver.cli.decision import Text
from archiver.cli.output import as_json, counted, say, table, when
from archiver.compliance import explaining
from archiver.compliance.explaining import Answered, Explanation, Told
from archiver.spool.records import Traced
from archiver.types import ArchiveDecision, Archiving, Exclusion, Finding

_KINDS = {"im": "IM conversations", "group": "Group conversations", "conference": "Web conferences"}
_AMONG = {True: ", everybody with a mailbox here", False: ", somebody without a mailbox here"}
_FILED = {True: "filed", False: "withheld"}
_ARCHIVED = {
    Archiving.NONE: "nowhere",
    Archiving.LOCAL: "in the local archive",
    Archiving.MAILBOX: "in the mailbox's own archive",
    Archiving.BOTH: "in the mailbox's own archive and in the local one",
}


@click.command()
@click.argument("address", type=Text())
@click.argument("conversation", type=Text(may_be_empty=True), required=False)
@click.option(
    "--source",
    type=Text(may_be_empty=True),
    help="The source that ADDRESS or CONVERSATION is of; without it, any that is in no pool.",
)
@reads
def explain(app: App, address: str, conversation: str | None, source: str | None) -> None:
    """Every rule asked for ADDRESS, in order, with its answer and where it was set.

    CONVERSATION is the source's own key of a place: `archiver inspect ADDRESS --json` gives each item's as `room`,
    `archiver status --parked` that of what is set aside. Then also what came of it: filed, withheld or archived, as the
    journal has it.
    """
    config, now = app.config(), time.time_ns() // 1_000
    terms = terms_of(config)
    if conversation is None and not (app.data / "spool.db").exists():
        return _print(app, explaining.explain(terms, None, address, source or "", now))
    with open_spool(config, app.data, readonly=True) as spool:
        if conversation is None:
            return _print(app, explaining.explain(terms, spool, address, source or "", now))
        span = config.conversations.span
        return _print(app, explaining.explain_conversation(terms, spool, address, conversation, source, span, now))


def _print(app: App, found: Explanation) -> None:
    if app.json:
        return as_json(found)
    if found.mailbox is None:
        return say(f"{found.address} has no mailbox here: a participant, but nothing is filed or archived for them.")
    say(f"{found.address}: mailbox {found.mailbox.address}, store version {found.mailbox.version or 'not set'}.")
    for hold in found.holds:
        covers = f"what {hold.query!a} covers" if hold.query else "everything"
        say(f"Hold {hold.number}, placed by {hold.by} on {when(hold.placed)}: {covers}.")
    if found.only_local:
        say(f"{counted(found.only_local, 'item')} archived for it in the local archive, and not in its own.")
    _exclusions(found.exclusions)
    for told in found.conversations:
        _conversation(told)
    _answers(found.answers)
    return None


def _exclusions(found: tuple[Exclusion, ...]) -> None:
    for each in found:
        until = f" until {when(each.until)}" if each.until is not None else ""
        say(
            f"Exclusion {each.number} of {each.title}, from {when(each.since)}{until}:"
            f" {counted(each.events, 'event')} left out."
        )


def _conversation(told: Told) -> None:
    placed = told.placed
    say(f"\n{placed.conversation} in {placed.source}: {counted(placed.events, 'event')} in the spool{_waits(told)}.")
    _exclusions(told.exclusions)
    if told.there is False:
        return say(f"{told.mailbox.address} is not in it: nothing there names them, and nothing of it is for them.")
    if told.there is None:
        say(f"Whether {told.mailbox.address} ever was in it can't be told: older events have left the spool. If so:")
    _answers(told.answers)
    if not told.versions:
        return say("\nThe journal has nothing of it yet.")
    say("\nWhat the journal says of it, the newest first:")
    return table(
        ("filing", "conversation from", "until (UTC)", "to", "state", "at (UTC)", "why"),
        [(v.filing, when(v.started), when(v.ended), *became(v)) for v in told.versions],
    )


def became(version: Traced) -> tuple[str, str, str, str]:
    """Where a version went, its state, since when and why."""
    it = version.delivery
    if it is None:
        return "", "", when(version.at), "nothing in it was for this mailbox"
    return it.destination, it.state, when(version.at), it.reason


def _waits(told: Told) -> str:
    placed = told.placed
    if placed.parked is not None:
        return f", parked since {when(placed.parked)}: {placed.error}"
    if placed.claimed:
        return ", being filed just now"
    return f", to be looked at from {when(placed.due)} on" if placed.due is not None else ""


def _answers(answers: tuple[Answered, ...]) -> None:
    """Where it makes no difference who else is in a conversation, it is told once."""
    alike: dict[tuple[str, ArchiveDecision], list[Answered]] = {}
    for answer in answers:
        alike.setdefault((answer.kind, answer.archive), []).append(answer)
    for each in alike.values():
        _answer(each[0], among="" if len(each) > 1 else _AMONG[each[0].internal])


def _answer(answer: Answered, *, among: str) -> None:
    where = f"pool {answer.pool}" if answer.pool else "no pool"
    site = f", site {answer.site}" if answer.site else ""
    say(f"\n{_KINDS[answer.kind]} ({where}{site}){among}")
    say(f"  Conversation History: {_FILED[answer.history.allowed]}.")
    _findings(answer.history.findings)
    withheld = "" if answer.archive.allowed else "; what is for its own archive waits"
    say(f"  Archived {_ARCHIVED[answer.archive.archiving]}{withheld}.")
    _findings(answer.archive.findings)


def _findings(findings: tuple[Finding, ...]) -> None:
    for finding in findings:
        say(f"    {'yes' if finding.allowed else 'no ':3} {finding.check} [{finding.scope}]: {finding.reason}")
