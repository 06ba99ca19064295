"""Where a talk is held: a directory, ports, the network, and the daemon as a process that can be killed."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from socket import SO_REUSEADDR, SOL_SOCKET, socket
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families
from system.archives import ARCHIVER, ROOT, archiver

from archiver.spool import Spool
from live.relay import HOST, Datagrams, Relay

IDLE = 2
"""Seconds of silence that end a conversation here: a rest, or an outage, parts the talk in several."""
PATIENCE = 60.0

HANDING = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""

CONFIGURATION = """
{top}
[store]
{owner}
[conversations]
idle = "{idle}s"
lateness = "1s"
[schedule]
every = "1s"
[monitor]
listen = "127.0.0.1:{monitor}"
[log]
format = "json"
{tables}
"""


async def until(true: Callable[[], object], what: str, patience: float = PATIENCE) -> None:
    """Lets everything else on the loop go on meanwhile; `true` must not take long."""
    end = time.monotonic() + patience
    while not true():
        assert time.monotonic() < end, f"waited in vain for {what}"
        await asyncio.sleep(0.05)


class Stage:
    """One talk's place. `folder` is for whatever the server needs, and open to other users; `data` is the daemon's."""

    def __init__(self, folder: Path, held: ExitStack) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.config = folder / "archiver.toml"
        (self.data / "mail").mkdir(mode=0o755, parents=True)
        self.data.chmod(0o755)
        self._held = held
        self._relays: list[Relay | Datagrams] = []
        self._whole = True
        self._listening: socket | None = None
        self._monitor = self.port()
        self._process: subprocess.Popen[bytes] | None = None
        self.outages = 0
        """How often the daemon was killed, or the network cut."""

    def port(self) -> int:
        """A port of loopback that nobody else gets, for a server or for the daemon to listen on."""
        taken = self._held.enter_context(socket())
        taken.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        taken.bind((HOST, 0))
        return int(taken.getsockname()[1])

    def handed(self) -> int:
        """A port on which the daemon is to listen, and which stays open while it is dead: who calls waits."""
        self._listening = self._held.enter_context(socket())
        self._listening.bind((HOST, 0))
        self._listening.listen()
        return int(self._listening.getsockname()[1])

    async def relay(self, target: int) -> int:
        """The port by which one reaches `target`, as long as the network isn't cut."""
        return await self._mended(Relay(target))

    async def datagrams(self, target: int) -> Datagrams:
        made = Datagrams(target)
        await self._mended(made)
        return made

    async def _mended(self, relay: Relay | Datagrams) -> int:
        await relay.mend()
        self._relays.append(relay)
        return relay.port

    async def cut(self) -> None:
        self._whole, self.outages = False, self.outages + 1
        for relay in self._relays:
            await relay.cut()

    async def mend(self) -> None:
        for relay in self._relays:
            await relay.mend()
        self._whole = True

    @property
    def reachable(self) -> bool:
        """Whether the daemon runs, and the network is whole."""
        return self._whole and self._process is not None

    # The daemon

    def configure(self, tables: str, top: str = "") -> None:
        owner = 'owner = "mail"\ngroup = "mail"' if os.geteuid() == 0 else ""
        self.config.write_text(
            CONFIGURATION.format(top=top, owner=owner, idle=IDLE, monitor=self._monitor, tables=tables)
        )

    async def start(self) -> None:
        log = (self.folder / "daemon.log").open("ab")
        with log:
            self._process = subprocess.Popen(
                [*self._handing(), *ARCHIVER, "--data", str(self.data), "--config", str(self.config), "run"],
                cwd=ROOT,
                stdout=log,
                stderr=log,
                pass_fds=[self._listening.fileno()] if self._listening else [],
            )
        process = self._process
        begun = self.log.count('"running"')
        await until(lambda: self.log.count('"running"') > begun or process.poll() is not None, "the daemon")
        assert process.poll() is None, self.log

    def _handing(self) -> list[str]:
        """As systemd does: descriptor 3, and the number of the process that it is meant for."""
        if self._listening is None:
            return []
        return [sys.executable, "-c", HANDING, str(self._listening.fileno())]

    async def kill(self) -> None:
        """As `kill -9` does."""
        if self._process is not None:
            self.outages += 1
            self._process.kill()
            await asyncio.to_thread(self._process.wait)
            self._process = None

    @property
    def log(self) -> str:
        path = self.folder / "daemon.log"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def figures(self) -> dict[str, float]:
        """The daemon's metrics by name, those of several sources added up; empty while it doesn't answer."""
        found: dict[str, float] = {}
        with suppress(OSError), urlopen(f"http://{HOST}:{self._monitor}/metrics", timeout=5) as reply:
            for family in text_string_to_metric_families(reply.read().decode()):
                for sample in family.samples:
                    found[sample.name] = found.get(sample.name, 0.0) + sample.value
        return found

    async def quiet(self) -> None:
        """Until the daemon has filed all it has: asked of its spool, as its metrics are up to 15 seconds old."""
        seen: list[int] = []

        def settled() -> bool:
            with Spool.open(self.data, readonly=True) as spool:
                totals = spool.totals()
            seen.append(totals.spooled if totals.waiting == 0 else -1)
            return len(seen) > 3 and len(set(seen[-3:])) == 1 and seen[-1] >= 0

        end = time.monotonic() + PATIENCE
        while not await asyncio.to_thread(settled):
            assert time.monotonic() < end, f"waited in vain for the daemon to file everything\n{self.log[-3000:]}"
            await asyncio.sleep(0.5)

    def status(self) -> dict[str, object]:
        told: dict[str, object] = json.loads(archiver(self.data, "--json", "status", config=self.config))
        return told
