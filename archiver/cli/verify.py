"""`archiver inspect --verify`: says each problem as it is found, and what was mended; the exit status tells of any."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from hashlib import sha256
from pathlib import Path

import click
from msgspec import msgpack
from rich.console import Console
from rich.progress import Progress, TextColumn

from archiver import daemon, inspection
from archiver.assembly import archive_of, rules_of, store_of
from archiver.cli.app import App
from archiver.cli.output import JsonList, counted, say
from archiver.daemon.job import clock
from archiver.exceptions import InUse, ItemError, UsageError
from archiver.filing.reproducing import Blob, Proof, nothing, prove
from archiver.inspection import Case, Doing, Ledger, Problem, Told
from archiver.logs import plain
from archiver.rendering import Limits
from archiver.spool import Spool
from archiver.store import MaildirStore
from archiver.store.survey import surveying
from archiver.types import Delivery, DeliveryState, Head

Show = Callable[[str, int], None]
_WORDS = {
    Doing.ALTERED: "changed by their owners in copies of their own",
    Doing.COPIED: "copied by their owners",
    Doing.DELETED: "deleted by their owners",
    Doing.FLAGGED: "flagged",
    Doing.MOVED: "moved to other folders",
    Doing.RENAMED: "put back by their owners",
    Doing.RENDERER: "made by another version of the renderer, whose words can't be compared",
}


def verify(app: App, mailbox: str | None, *, repair: bool) -> None:
    """Conversation History against the journal and itself, then the archives against what is on record of them."""
    archive = archive_of(app.config(), app.data)
    with ExitStack() as stack:
        spool = _spool(app, stack, repair=repair)
        heads = _heads(spool)
        ledger, progress = stack.enter_context(Ledger()), stack.enter_context(_progress())
        check = _Check(app, spool, ledger, progress, only=mailbox, repair=repair)
        archives = inspection.archives(archive, heads)
        if mailbox is not None:
            mailbox = check.narrowed(mailbox, archives)
        mailboxes = check.mailboxes()
        if mailbox is not None:
            mailboxes, archives = ([each for each in all_ if each == mailbox] for all_ in (mailboxes, archives))
            if not mailboxes and not archives:
                raise UsageError(
                    f"there is no mailbox and no archive of {mailbox}",
                    hint="`archiver inspect --verify` checks all there are",
                )
        report = _Report(app)
        for each in mailboxes:
            report.tell(check.history(each))
        report.tell(inspection.examine_archives(archive, archives, heads, check.prove))
        if spool is not None:
            report.tell(inspection.examine_local(spool, mailbox, check.prove))
    checked = f"{counted(len(mailboxes), 'mailbox', 'mailboxes')} and {counted(len(archives), 'archive')} checked"
    report.end(checked, check.file_again())


def verify_copy(app: App, maildir: Path, *, repair: bool) -> None:
    """A Maildir from elsewhere: all that can be told without a journal."""
    report = _Report(app)
    encoding = store_of(app.config(), app.data).encoding
    with Ledger() as ledger, _progress() as progress, surveying(maildir, encoding) as (survey, mender):
        if not survey.is_maildir:
            raise UsageError(f"{maildir} is no Maildir", hint="name the directory that has `cur` and `new` in it")
        case = Case(survey, ledger, _prover(app, None, ledger), clock(), mender=mender if repair else None)
        report.tell(inspection.examine(case, progress))
    report.end(f"{maildir} checked")


def _spool(app: App, stack: ExitStack, *, repair: bool) -> Spool | None:
    if not Spool.exists(app.data):
        return None
    return stack.enter_context(app.spool() if repair else app.reading_spool())


def _heads(spool: Spool | None) -> dict[str, list[Head]]:
    """Where, by the spool, manifests end: as noted when items were filed, and as the audit log has it."""
    if spool is None:
        return {}
    noted, told = spool.heads(), spool.audited_heads()
    return {mailbox: [heads[mailbox] for heads in (noted, told) if mailbox in heads] for mailbox in noted | told}


class _Check:
    """Conversation History's side: one journal for all mailboxes, read for the one asked for if that is enough."""

    def __init__(
        self, app: App, spool: Spool | None, ledger: Ledger, progress: Show, *, only: str | None, repair: bool
    ) -> None:
        self._app = app
        self._spool = spool
        self._ledger = ledger
        self._progress = progress
        self._store = store_of(app.config(), app.data)
        self.prove = _prover(app, spool, ledger)
        self._only = only
        self._repair = repair
        self._asked = 0

    def mailboxes(self) -> list[str]:
        """Those that lie there, and those that something was filed for. Reads the journal."""
        self.catch_up()
        return sorted({*self._store.mailboxes(), *self._ledger.mailboxes()})

    def narrowed(self, wanted: str, archives: list[str]) -> str:
        """The one called so, in the journal too; else the only one that begins so, which is looked at from then on."""
        known = {*self.mailboxes(), *archives}
        if wanted not in known and not self._ledger.last:
            self._only = inspection.beginning_so(sorted(known), wanted)
        return self._only or wanted

    def catch_up(self) -> None:
        if self._spool:
            self._ledger.expect(_placed(self._store, self._spool.deliveries(self._only, after=self._ledger.last)))

    def know_all(self) -> None:
        if self._spool and self._only is not None:
            self._only = None
            self._ledger.expect(_placed(self._store, self._spool.deliveries()))

    def history(self, mailbox: str) -> Iterator[Problem | Told]:
        with self._store.surveying(mailbox, mends=self._repair) as (survey, mender):
            case = Case(
                survey,
                self._ledger,
                self.prove,
                clock(),
                journal=self if self._spool else None,
                mender=mender if self._repair else None,
            )
            yield from inspection.examine(case, self._progress)

    def is_still_filed(self, number: int) -> bool:
        return self._spool is not None and self._spool.delivery_state(number) is DeliveryState.FILED

    def file_anew(self, number: int) -> bool:
        asked = self._spool is not None and self._spool.attempt_again(number, clock())
        self._asked += asked
        return asked

    def file_again(self) -> str:
        """What is missing, through the pipeline as when it was new: by a run of our own, or by the daemon's next."""
        if not self._asked:
            return ""
        try:
            self._app.log(self._app.config(), quiet=True)
            tally = daemon.run_once(self._app.config(), self._app.data)
        except InUse:
            return f"The daemon files {counted(self._asked, 'missing item')} at its next run."
        return f"{counted(tally.copies, 'item')} filed anew."


def _placed(store: MaildirStore, deliveries: Iterator[Delivery]) -> Iterator[tuple[Delivery, str]]:
    """Each with its folder as it stands on disk; of a name that can be none, nothing was ever filed."""
    for delivery in deliveries:
        with suppress(ItemError):
            yield delivery, store.directory_of(delivery.folder)


def _prover(app: App, spool: Spool | None, ledger: Ledger) -> inspection.Prove:
    """An item lies in several mailboxes: it is made again once."""
    config = app.config()
    rules, limits = rules_of(config), Limits(file=config.transcript.max_attachment)
    blob: Blob = spool.blob if spool else nothing

    def proved(content: bytes) -> Proof:
        digest = sha256(content).digest()
        known = ledger.proof(digest)
        if known is not None:
            return msgpack.decode(known, type=Proof)
        proof = prove(content, rules, limits, blob)
        ledger.keep_proof(digest, msgpack.encode(proof))
        return proof

    return proved


class _Report:
    """Says each thing as it comes, and keeps only counts."""

    def __init__(self, app: App) -> None:
        self._list = JsonList() if app.json else None
        self._problems = self._mended = 0
        self._doings: Counter[Doing] = Counter()

    def tell(self, found: Iterable[Problem | Told]) -> None:
        for each in found:
            if isinstance(each, Told):
                self._doings[each.code] += 1
            else:
                self._problems += 1
                self._mended += bool(each.mended)
            if self._list:
                self._list.add(each)
            elif isinstance(each, Problem):
                _problem(each)

    def end(self, checked: str, more: str = "") -> None:
        if self._list:
            self._list.end()
        else:
            self._sum_up(checked, more)
        if self._problems:
            click.get_current_context().exit(1)

    def _sum_up(self, checked: str, more: str) -> None:
        if more:
            say(more)
        if self._doings:
            told = ", ".join(f"{self._doings[each]:,} {words}" for each, words in _WORDS.items() if self._doings[each])
            say(f"No damage: {told}.")
        mended = f", {self._mended:,} mended" if self._mended else ""
        found = f"{counted(self._problems, 'problem')} found{mended}" if self._problems else "all as filed"
        say(f"{checked}, {found}.")


def _problem(problem: Problem) -> None:
    say(plain(f"{problem.code} {problem.mailbox} {problem.place}: {problem.found}"))  # one line, whatever it is called
    say(plain(f"      mended: {problem.mended}" if problem.mended else f"      {problem.advice}"))


@contextmanager
def _progress() -> Iterator[Callable[[str, int], None]]:
    """How many files were looked at, for a person who waits."""
    if not sys.stderr.isatty():
        yield lambda mailbox, files: None
        return
    with Progress(TextColumn("{task.description}"), console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("", total=None)
        yield lambda mailbox, files: shown.update(task, description=plain(f"{mailbox}: {files:,} files"))
