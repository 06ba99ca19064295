"""The `archiver` command: one file a sub-command, each parses, calls one function and prints.

Exit status: 0 done; 1 done, but something was quarantined, in conflict, parked or found wrong (and said); 2 the user's
mistake; 3 the environment's. A traceback is always a bug.
"""

from __future__ import annotations

import io
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from archiver import __version__
from archiver.cli.app import App
from archiver.cli.output import Unread, complain
from archiver.exceptions import ArchiverError, ConfigError, EnvironmentFault, UsageError

FOUND_WRONG, USERS, MACHINES = 1, 2, 3
INTERRUPTED = 130


COMMANDS = (
    "run",
    "backfill",
    "inspect",
    "status",
    "doctor",
    "matrix",
    "graph",
    "xmpp",
    "policy",
    "explain",
    "hold",
    "exclusion",
    "audit",
    "export",
    "purge",
)
"""In the order of the help; each is a module here, with the command under the same name."""


class Commands(click.Group):
    """Tells errors as people need them, and turns them into exit statuses.

    A sub-command is loaded when it is asked for: who lists a folder doesn't wait for all that the daemon needs.
    """

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"archiver.cli.{cmd_name}"), cmd_name)
        return command

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except ArchiverError as error:
            _tell(error)
            context.exit(_status(error))
        except KeyboardInterrupt:
            complain("")
            complain("Interrupted. Nothing is lost: run the same command again, and it goes on.")
            context.exit(INTERRUPTED)
        except Unread:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            context.exit(0)
        except BrokenPipeError:  # not our output's: click would take it for that and say nothing
            complain("archiver: a process of this command ended before its time")
            complain("  run the same command again: it goes on where it stood")
            context.exit(MACHINES)


class Named(click.Path):
    """A path that was named: empty, as from a variable nobody set, it would be the current folder.

    Whether it can be read is for those to tell who read it: it is the machine's fault, not the user's.
    """

    def convert(
        self, value: str | os.PathLike[str], parameter: click.Parameter | None, context: click.Context | None
    ) -> str | bytes | os.PathLike[str]:
        if not os.fspath(value):
            self.fail("is empty; name one, or leave the option out", parameter, context)
        return super().convert(value, parameter, context)


def _tell(error: ArchiverError) -> None:
    if isinstance(error, ConfigError):
        complain("archiver: the configuration can't be used:")
        for problem in error.problems:
            complain(f"  {problem}")
    else:
        complain(f"archiver: {error}")
    if error.hint:
        complain(f"  {error.hint}")


def _status(error: ArchiverError) -> int:
    if isinstance(error, UsageError):
        return USERS
    return MACHINES if isinstance(error, EnvironmentFault) else FOUND_WRONG


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="archiver")
@click.option(
    "--data",
    type=Named(file_okay=False, readable=False, path_type=Path),
    envvar="ARCHIVER_DATA",
    default=Path("archiver-data"),
    show_default=True,
    help="The data directory: spool, mail, blobs, quarantine. Also ARCHIVER_DATA.",
)
@click.option(
    "--config",
    type=Named(readable=False, path_type=Path),
    envvar="ARCHIVER_CONFIG",
    help="The configuration, one TOML file; none is needed. Also ARCHIVER_CONFIG.",
)
@click.option("--json", "json_", is_flag=True, help="Print JSON, on every command that reads.")
@click.pass_context
def main(context: click.Context, data: Path, config: Path | None, json_: bool) -> None:
    """Files what people say in chats and conferences in their own mailboxes, as Conversation History.

    Needs no configuration. Exit status: 0 done; 1 done, but something was quarantined, in conflict, parked or found
    wrong (and said); 2 your mistake; 3 the machine's (locked, full, not permitted).
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal without Unicode is no reason to fail
    context.obj = App(data.absolute(), config, json_)
