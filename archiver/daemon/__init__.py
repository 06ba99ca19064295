"""The daemon: captures live, files on a schedule, keeps house; one a data directory.

    capture   sources ─► spool.append, acknowledged only then
    job       every minute: wake what the gate opens, claim ─► Filer.run
    service   the schedule and the signals around both

A fault of the machine is logged and tried again at the next round; it ends nothing.
"""

from archiver.daemon.service import run, run_once

__all__ = ["run", "run_once"]
