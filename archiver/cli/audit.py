"""`archiver audit`: who decided what, when and why; and whether the log is whole."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from archiver.cli.app import App, reads
from archiver.cli.decision import exactly
from archiver.cli.output import as_json, complain, counted, say, table
from archiver.events import SECOND


@click.command()
@click.option("--known", metavar="DIGEST", help="A last digest noted earlier: is the log that had it still there?")
@reads
def audit(app: App, known: str | None) -> None:
    """Lists the audit log and checks its chain: holds, exclusions, purges, by whom, when and why.

    Every entry has a digest of itself and all before it. Note the last one elsewhere: who has it can tell later that
    nothing was cut off. Exit status 1 where an entry is missing, changed or not where it was, or where a hold or an
    exclusion doesn't stand as the log has it.
    """
    with app.reading_spool() as spool:
        entries = list(spool.audits())
        checked = spool.check_audit()
    damage = list(checked.damage)
    if known is not None and known.lower() not in {each.hash for each in entries}:
        damage.append(f"no entry has the digest {known}: what was written up to it is not all there")
    if app.json:
        as_json({"entries": entries, "length": checked.length, "head": checked.head, "damage": damage})
    else:
        table(
            ("#", "when (UTC)", "what", "of", "by", "reason", "details"),
            [(e.number, exactly(e.at), e.action, e.subject, e.by, e.reason, _in_words(e.details)) for e in entries],
            right=(0,),
        )
        say(f"\n{counted(checked.length, 'entry', 'entries')}; the last digest is {checked.head}")
    for each in damage:
        complain(f"DAMAGED: {each}")
    if damage:
        click.get_current_context().exit(1)


_TIMES = frozenset({"since", "until", "clock"})
"""Details that are times."""
_LAST = 253_402_300_800 * SECOND
"""The end of the year 9999: no later day can be written."""


def _in_words(details: dict[str, Any]) -> str:
    return " ".join(f"{name}={_value(name, value)}" for name, value in details.items() if value not in ("", None))


def _value(name: str, value: Any) -> str:
    if name in _TIMES and isinstance(value, int) and 0 <= value < _LAST:  # a forged entry may say anything
        return f"{exactly(value)} UTC"
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
