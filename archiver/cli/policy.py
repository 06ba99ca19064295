"""`archiver policy`: how archiving is configured and whom it concerns, by scope or for an address. Changes nothing."""

from __future__ import annotations

import click
import msgspec

from archiver.assembly import archiving_of, directory_of
from archiver.cli.app import App, reads
from archiver.cli.output import as_json, say, table
from archiver.decisions.policy import Configuration, Policy, Pool, Rules, Site
from archiver.events import SECOND
from archiver.exceptions import UsageError
from archiver.types import Mailbox


@click.command()
@click.argument("address", required=False)
@reads
def policy(app: App, address: str | None) -> None:
    """Configuration and policy of every scope; with ADDRESS, those that rule for that mailbox.

    Configuration says how: pool before site before global. Policy says who: user before site before global. The most
    specific scope wins, whole.
    """
    config = app.config()
    rules, directory = archiving_of(config), directory_of(config)
    if address is None:
        return _everything(app, rules)
    mailbox = directory.mailbox_of("", address)
    if mailbox is None:
        raise UsageError(f"{address!a} has no mailbox here", hint="[directory] says whose mailbox an address is")
    return _of_one(app, rules, directory.mailbox(mailbox))


def _everything(app: App, rules: Rules) -> None:
    places = [_place(rules, "", pool, site) for pool, site in rules.places()]
    if app.json:
        found = {"configurations": rules.configurations(), "policies": rules.policies(), "places": places}
        return as_json(found)
    say("Configuration: how to archive")
    _configurations(rules.configurations())
    say("\nPolicy: whom to archive locally")
    _policies(rules.policies())
    say("\nWhere which of them rules")
    return _places(places)


def _of_one(app: App, rules: Rules, mailbox: Mailbox) -> None:
    places = [_place(rules, mailbox.address, pool, site) for pool, site in rules.places()]
    if app.json:
        return as_json({"mailbox": msgspec.to_builtins(mailbox), "places": places})
    say(
        f"{mailbox.address}: store version {mailbox.version or 'not set'},"
        f" exchange_archiving = {mailbox.exchange_archiving!a}"
    )
    if mailbox.migration:
        say(f"Migration: {mailbox.migration}")
    say()
    _places(places)
    say()
    _configurations(list(dict.fromkeys(place.configuration for place in places)))
    say()
    return _policies(list(dict.fromkeys(place.policy for place in places)))


class Place(msgspec.Struct, frozen=True):
    """A pool, or everywhere else (no name), and what rules there."""

    pool: str
    site: str
    sources: tuple[str, ...]
    configuration: Configuration
    policy: Policy


def _place(rules: Rules, mailbox: str, pool: Pool | None, site: Site | None) -> Place:
    return Place(
        pool.name if pool else "",
        site.name if site else "",
        pool.sources if pool else (),
        rules.configuration_at(pool, site),
        rules.policy_at(mailbox, site),
    )


def _places(places: list[Place]) -> None:
    table(
        ("pool", "site", "configuration of", "policy of", "sources"),
        [
            (p.pool or "(none)", p.site, p.configuration.scope, p.policy.scope, ", ".join(p.sources) or "all others")
            for p in places
        ],
    )


def _configurations(found: list[Configuration]) -> None:
    table(
        ("scope", "archive", "to mailbox", "on failure", "dropped after", "purge"),
        [
            (
                each.scope,
                each.archive,
                _yes(each.to_mailbox),
                f"block after {each.failure_after // SECOND} s" if each.block_on_failure else "go on",
                f"{each.cache_purge_hours} h",
                _purge(each),
            )
            for each in found
        ],
    )


def _purge(how: Configuration) -> str:
    if not how.purge:
        return "never"
    exported = " and exported" if how.purge_exported_only else ""
    return f"over {how.keep_days} d old{exported}, at {how.purge_hour:02}:00 UTC"


def _policies(found: list[Policy]) -> None:
    table(("scope", "internal", "external"), [(p.scope, _yes(p.internal), _yes(p.external)) for p in found])


def _yes(switch: bool) -> str:
    return "yes" if switch else "no"
