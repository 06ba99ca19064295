"""The `archiver` command's entry, also `python -m archiver`: loads the command line, and runs it."""

from __future__ import annotations

import signal


def main() -> None:
    """Ctrl-C while modules load ends the process as it does any that hasn't begun: at once, saying nothing."""
    heard = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if heard:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from archiver.cli import main as command

    if heard:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    command(prog_name="archiver")


if __name__ == "__main__":
    main()
