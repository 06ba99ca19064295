"""Every error of the archiver; the class tells the caller what to do. Holds no behaviour.

=================  ======================================================
`UsageError`       tell the user: a wrong argument, path or configuration (exit status 2)
`EnvironmentFault` tell the operator: locked, full, not permitted (exit status 3)
`TryLater`         retry: the spool can't take more just now (451, 503)
`Unreadable`       leave this file alone and tell why; the rest goes on
`EventError`       quarantine: this input can't be read; the rest goes on
`ItemError`        park: this conversation can't be filed; the rest goes on
`OverQuota`        the same, until there is room in that archive
=================  ======================================================

What is not below `ArchiverError` is a bug and goes through untouched.
"""

from __future__ import annotations


class ArchiverError(Exception):
    """Root of all. `hint` says what a person can do; `facts` are the ids that make a log line enough."""

    def __init__(self, message: str, *, hint: str = "", **facts: object) -> None:
        super().__init__(message)
        self.hint = hint
        self.facts = facts


class UsageError(ArchiverError):
    """The user's mistake: tell them, change nothing."""


class ConfigError(UsageError):
    """The configuration can't be used; `problems` names every one as `dotted.key = value: why`."""

    def __init__(self, problems: list[str], *, hint: str = "", **facts: object) -> None:
        super().__init__("; ".join(problems), hint=hint, **facts)
        self.problems = problems


class EnvironmentFault(ArchiverError):
    """The machine's fault: a full disk, a lock held by another, a missing permission."""


class InUse(EnvironmentFault):
    """Another process holds what only one may hold; the message says which."""


class TryLater(EnvironmentFault):
    """The spool can't take more now; whoever sent it must keep it and come again."""


class Unreadable(ArchiverError):
    """A file of an input can't be read: it is left alone with this reason, and the rest goes on.

    Where it is all that was asked for, its kind says whose fault that is.
    """


class NotThere(Unreadable, UsageError):
    """It is gone, or isn't what it was taken for."""


class NotPermitted(Unreadable, EnvironmentFault):
    """The machine doesn't let us."""


class EventError(ArchiverError):
    """One piece of input can't be read as an event. It goes to quarantine whole, with this reason."""


class ItemError(ArchiverError):
    """One conversation can't be rendered or filed. It is parked after some attempts, for a person."""


class OverQuota(ItemError):
    """The archive of a mailbox is full: what comes is not archived until there is room."""
