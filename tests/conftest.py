"""Fixtures for all tests, and where tests find their shared modules (`builders`, `contracts`, `servers`)."""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from shutil import rmtree
from typing import Any

import pytest
import structlog
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, settings
from structlog.dev import ConsoleRenderer, plain_traceback

HERE = Path(__file__).parent
FIXTURES = HERE.parent / "fixtures"
if str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))
# What they assert says what was there instead, as in the tests themselves.
pytest.register_assert_rewrite("contracts", "live", "panes", "xmpp_archiver", "component_end")

# A plain shell has what it runs in the background ignore SIGINT; what the tests interrupt must not inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No deadline: one slow example on a busy machine is no defect. The suite must give the same answer twice, so what is
# tried is fixed; `HYPOTHESIS_PROFILE=explore` looks elsewhere, longer, `quick` (scripts/test --quick) at less.
settings.register_profile(
    "ci", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("quick", settings.get_profile("ci"), max_examples=20)
settings.register_profile("explore", deadline=None, max_examples=2000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_collection_finish() -> None:
    """Thousands of tests stand until the end: nothing looks through them for garbage again and again."""
    gc.collect()
    gc.freeze()


# Where rich is installed, structlog draws each traceback with it: a second of processor time for some.
structlog.configure([*structlog.get_config()["processors"][:-1], ConsoleRenderer(exception_formatter=plain_traceback)])


@pytest.fixture
def fixtures() -> Path:
    """The folder of sample data."""
    return FIXTURES


@pytest.fixture
def logs() -> Iterator[list[Any]]:
    """What is logged meanwhile, whatever other tests set up."""
    from structlog.testing import capture_logs

    with capture_logs() as logs:
        yield logs


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory that is to be made."""
    return tmp_path / "data"


@pytest.fixture
def call(data: Path, tmp_path: Path) -> Callable[..., Result]:
    """Runs the command on `data`, with `config` as its configuration, and checks its exit status."""
    from archiver.cli import main

    def call(*arguments: object, status: int = 0, config: str = "") -> Result:
        path = tmp_path / "archiver.toml"
        path.write_text(config)
        result = CliRunner().invoke(main, ["--data", str(data), "--config", str(path), *map(str, arguments)])
        assert result.exit_code == status, f"{result.exit_code}\n{result.output}\n{result.exception!r}"
        return result

    return call


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """An empty data directory that a server under another user can enter: pytest's own is closed to others."""
    path = Path(tempfile.mkdtemp(prefix="archiver-test-"))
    path.chmod(0o755)
    yield path
    rmtree(path, ignore_errors=True)


@pytest.fixture
def free_port() -> Iterator[Callable[[], int]]:
    """Gives ports of loopback that nobody has; no two calls of a test give the same one."""
    with ExitStack() as held:

        def take() -> int:
            # Bound but not listening, with SO_REUSEADDR: who asks for it by number gets it, who asks for any doesn't.
            taken = held.enter_context(socket.socket())
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", 0))
            return int(taken.getsockname()[1])

        yield take
