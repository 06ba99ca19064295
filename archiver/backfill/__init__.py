"""Old events through the same spool and pipeline: read all, then file all they brought, then say so.

    files ─► reading process ─► append ─► close the feed ─► filing processes ─► report

Every backfill has a number, under which it is reported, goes on after an interruption, and is taken back. Reading the
same again is safe and quick: what was read to its end is known by its content, what is in the spool by its identity,
and what is filed by its version.
"""

from archiver.backfill.progress import Forecast, Progress, Show, Stage
from archiver.backfill.reporting import Report
from archiver.backfill.request import Request, check, chosen_by, feed_name, look, picked, require
from archiver.backfill.running import run

__all__ = [
    "Forecast",
    "Progress",
    "Report",
    "Request",
    "Show",
    "Stage",
    "check",
    "chosen_by",
    "feed_name",
    "look",
    "picked",
    "require",
    "run",
]
