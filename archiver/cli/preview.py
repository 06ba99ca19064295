"""What `archiver backfill` says before it takes anything: `--dry-run`, and people whom the directory doesn't know."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
from msgspec import Struct, structs, to_builtins
from rich.console import Console

from archiver import preview as previewing
from archiver.addresses import placed
from archiver.assembly import directory_of, open_spool, rules_of
from archiver.backfill import Request, chosen_by, picked
from archiver.cli.app import App
from archiver.cli.backfills import left_lines
from archiver.cli.output import as_json, complain, counted, say, size, table, when
from archiver.config import Config
from archiver.conversations.rules import Rules
from archiver.directory import Directory
from archiver.exceptions import EnvironmentFault, UsageError
from archiver.importers.leaving import Leavings
from archiver.logs import plain
from archiver.preview import Person, Preview, Room, Seen, Show
from archiver.spool import Spool

_SHOWN = 20
UNMAPPED = "people-to-map.csv"
"""The file in the data directory that is written to be filled in."""


def previews(app: App, config: Config, requests: Sequence[Request]) -> list[tuple[Request, Preview]]:
    """Each request read to its end."""
    directory, rules = directory_of(config), rules_of(config)
    with _known(app, config) as spool, _progress() as show:
        seen: Seen = {}
        return [(each, _preview(each, rules, directory, spool, show, seen)) for each in requests]


def _preview(
    request: Request, rules: Rules, directory: Directory, spool: Spool | None, show: Show, seen: Seen
) -> Preview:
    picking = picked(request, rules)
    leavings = Leavings(request.left)
    documents = chosen_by(request, leavings)
    found = previewing.preview(
        request.importer, documents, request.options, picking, directory, spool, show, leavings, seen
    )
    found.left = leavings.told
    return found


@contextmanager
def _known(app: App, config: Config) -> Iterator[Spool | None]:
    if not Spool.exists(app.data):
        yield None
        return
    with open_spool(config, app.data, readonly=True) as spool:
        yield spool


@contextmanager
def _progress() -> Iterator[Show]:
    if not sys.stderr.isatty():
        yield lambda place, done: None
        return
    with Console(stderr=True).status("looking") as status:
        yield lambda place, done: status.update(f"looking into {plain(place)} ({size(done)} seen)".replace("[", "\\["))


class Manner(Struct, frozen=True):
    """What to do about people whom the directory doesn't know: stop, also where somebody's mailbox is only derived
    (`strict`); take them as they are (`placeholder`); leave out what they did (`skip`). Their rows are added to the
    people file at `path`."""

    path: Path
    strict: bool = False
    placeholder: bool = False
    skip: bool = False


def people_known(app: App, config: Config, requests: Sequence[Request], manner: Manner) -> list[Request]:
    """The requests, if the directory knows everybody who wrote; or, to `skip`, the requests without the others.

    Raises `UsageError`, and asks for mailboxes in the people file. Where the directory names nobody, everybody has a
    mailbox, and nothing is looked at unless `strict`.
    """
    directory = directory_of(config)
    if not (directory.has_bare if manner.placeholder else manner.strict or directory.names_people):
        return list(requests)
    found = previews(app, config, requests)
    asked = _asked(app, config, found, manner)
    if asked.why:
        _ask(asked, manner.path)
    return [_as_known(request, preview, manner) for request, preview in found]


def _as_known(request: Request, preview: Preview, manner: Manner) -> Request:
    unknown = preview.unmapped(strict=manner.strict) if manner.skip else []
    without = frozenset((each.source, each.address) for each in unknown)
    return structs.replace(request, without=without, nicks=frozenset(each.nick for each in preview.people if each.bare))


class _Asked(Struct):
    """Whose mailboxes are asked for, and why; nobody's, where the run may begin. `else_` is what helps as well."""

    people: list[Person]
    why: str
    else_: str


def _asked(app: App, config: Config, found: Sequence[tuple[Request, Preview]], manner: Manner) -> _Asked:
    """A nick that may be several people's is asked about in any manner: what is filed in the wrong mailbox was read."""
    unmapped = [each for _, preview in found for each in preview.unmapped(strict=manner.strict)]
    if manner.placeholder or manner.skip or not (manner.strict or directory_of(config).names_people):
        unmapped = []
    with _known(app, config) as spool:
        used = spool.used_nicks() if spool is not None else ()
    several = previewing.in_several_places([each for _, preview in found for each in preview.people], used)
    whys = []
    if unmapped:
        first = ", ".join(each.name or each.address for each in unmapped[:3])
        whys.append(f"{counted(len(unmapped), 'person', 'people')} who wrote have no mailbox here ({first} …)")
    if several:
        first = ", ".join(dict.fromkeys(placed(each.source, each.address) for each in several[:3]))
        why = "[directory] has nicks without their place that come from several, maybe of several people"
        whys.append(f"{why} ({first} …)")
    else_ = "" if several else "; or say --placeholder or --skip-unknown"
    return _Asked(unmapped + several, "; ".join(whys), else_)


def _ask(asked: _Asked, path: Path) -> None:
    try:
        previewing.ask_for(asked.people, path)
    except OSError as fault:
        raise EnvironmentFault(f"{path}: {fault.strerror}", hint="say with --map where it can be written") from fault
    raise UsageError(f"nothing was taken: {asked.why}", hint=f"{previewing.explain_filling(path)}{asked.else_}")


def tell_previews(app: App, config: Config, found: Sequence[tuple[Request, Preview]], manner: Manner) -> None:
    """Exit status 2 where the run itself would stop, 1 where it would have something to look at, as it would."""
    stops = _asked(app, config, found, manner).why
    if app.json:
        told = [{"format": request.importer.name, **to_builtins(preview)} for request, preview in found]
        as_json({"formats": told, "stops": stops})
    else:
        for request, preview in found:
            _tell(request, preview)
        for _, preview in found:
            for line in left_lines(preview.left):
                say(line)
        say("Nothing was taken: this was a dry run.")
    if stops:
        complain(f"The run itself would stop: {stops}")
        click.get_current_context().exit(2)
    if not all(preview.clean for _, preview in found):
        click.get_current_context().exit(1)


def _tell(request: Request, preview: Preview) -> None:
    say(f"{request.importer.title}: {counted(preview.documents, 'document')}, {size(preview.bytes)}")
    new = f"at most {preview.new:,}" if preview.at_most else f"{preview.new:,}"
    fates = f"{new} new, {preview.known:,} known, {preview.conflicts:,} in conflict"
    say(f"  {counted(preview.events, 'event')}: {fates}")
    for title, counts in (("kinds", preview.types), ("left out", preview.ignored), ("guessed", preview.guessed)):
        if counts:
            say(f"  {title}: {_most(counts)}")
    if preview.rejected:
        say(f"  can't be read: {_most(preview.rejected)}")
    if preview.rooms:
        _rooms(preview.rooms)
    _people(preview)


def _most(counts: Counter[str]) -> str:
    more = f"; and {len(counts) - _SHOWN:,} more" if len(counts) > _SHOWN else ""
    return "; ".join(f"{what} ({count:,})" for what, count in counts.most_common(_SHOWN)) + more


def _rooms(rooms: Sequence[Room]) -> None:
    """With their ids, as `--room` wants them."""
    table(
        ("room", "id", "source", "kind", "events", "first", "last"),
        [
            (r.topic, r.conversation, r.source, r.kind, f"{r.events:,}", when(r.first), when(r.last))
            for r in rooms[:_SHOWN]
        ],
    )
    if len(rooms) > _SHOWN:
        say(f"  and {counted(len(rooms) - _SHOWN, 'room')} more")


def _people(preview: Preview) -> None:
    unmapped = preview.unmapped()
    owners = {each.mailbox for each in preview.people if each.mailbox}
    say(f"  {counted(len(preview.people), 'person', 'people')}, {counted(len(owners), 'mailbox', 'mailboxes')}")
    if unmapped:
        say(f"  {counted(len(unmapped), 'person', 'people')} who wrote have no mailbox here:")
        table(("address", "name", "messages"), [(p.address, p.name, f"{p.messages:,}") for p in unmapped[:_SHOWN]])
