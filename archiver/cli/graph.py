"""`archiver graph`: what a webhook source of Microsoft Graph needs from the tenant: its subscriptions."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from archiver.cli.app import App
from archiver.cli.output import as_json, say
from archiver.config import Config
from archiver.config.sources.posted import WebhookTable
from archiver.daemon.sources import secret_of
from archiver.exceptions import EnvironmentFault, UsageError
from archiver.logs import plain
from archiver.sources.credentials import Secret


@click.group()
def graph() -> None:
    """Sets up what Microsoft Graph sends to a webhook source."""


@graph.command()
@click.argument("source")
@click.option("--tenant", required=True, metavar="ID", help="The tenant: its id or domain.")
@click.option("--client", required=True, metavar="ID", help="The application that is registered there.")
@click.option("--secret-file", required=True, metavar="FILE", help="File that holds the application's secret.")
@click.option(
    "--resource", "resources", multiple=True, metavar="PATH", help="What is told; every channel and chat, if left out."
)
@click.option("--graph", "where", default="https://graph.microsoft.com", show_default=True, help="Its cloud's address.")
@click.option("--login", default="https://login.microsoftonline.com", show_default=True, help="Its cloud's log-in.")
@click.pass_obj
def subscribe(
    app: App,
    source: str,
    tenant: str,
    client: str,
    secret_file: str,
    resources: tuple[str, ...],
    where: str,
    login: str,
) -> None:
    """Makes the subscriptions of the source called SOURCE, or renews them.

    They live three days: have a timer run it every hour. The daemon must run, as Graph tries to reach it.
    """
    try:
        from archiver.sources.webhooks import subscriptions
    except ImportError as fault:
        raise EnvironmentFault(
            "subscribing needs httpx2 and cryptography", hint="install conversation-archiver[graph]"
        ) from fault
    table = _table(app.config(), source)
    asks = subscriptions.Tenant(tenant, client, Secret("the application", file=secret_file).plain(), where, login)
    state = secret_of(table.secret[0]).plain()
    callback = subscriptions.Callback(table.url, state, Path(table.decryption_key or ""))
    found = subscriptions.subscribe(asks, callback, resources or subscriptions.RESOURCES, datetime.now(UTC))
    if app.json:
        return as_json(found)
    for each in found:
        say(f"{plain(each.resource)}: {'made' if each.made else 'renewed'}, until {each.expires}")
    return None


def _table(config: Config, name: str) -> WebhookTable:
    found = [each for each in config.source if isinstance(each, WebhookTable) and each.product == "graph"]
    for each in found:
        if each.name == name:
            if not each.url.startswith("https://"):
                raise UsageError(
                    f"source[webhook].url of {name} doesn't begin with https://",
                    hint="name there how Microsoft Graph reaches the source, as https://archive.example.org/webhook",
                )
            return each
    known = ", ".join(each.name for each in found) or "none"
    raise UsageError(
        f"no webhook of graph is called {name}", hint=f'add [[source]] with product = "graph"; there are: {known}'
    )
