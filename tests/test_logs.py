"""Logging: one pipe for all, and nothing from outside that moves a terminal or forges a line."""

from __future__ import annotations

import io
import json
import logging

import pytest
import structlog
from hypothesis import HealthCheck, given
from hypothesis import settings as profile
from hypothesis import strategies as st

from archiver import logs

calm = profile(deadline=None, suppress_health_check=[HealthCheck.too_slow])
HOSTILE = "a\x1b[2Jb\r\nc\x07\x7f\x9b31m\u202e\u2028"
LONE = HOSTILE + "\ud800"  # not where pytest records the message too: xdist can't send it on


@pytest.fixture(autouse=True)
def restored():
    """Logging is one for the whole process: put back what was there."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in ("mail", "mail.log", "apscheduler", "asyncio")}
    logging.getLogger("mail.log").setLevel(logging.NOTSET)  # an SMTP source in an earlier test sets it
    yield
    root.handlers[:] = before
    root.setLevel(level)
    for name, former in levels.items():
        logging.getLogger(name).setLevel(former)
    logging.captureWarnings(False)
    structlog.reset_defaults()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def set_up(format: str, level: str = "info", stream: io.StringIO | None = None) -> io.StringIO:
    stream = io.StringIO() if stream is None else stream
    logs.set_up(format, level, stream)
    return stream


def is_harmless(text: str) -> bool:
    return all(line.isprintable() for line in text.split("\n"))


def test_json_lines_are_objects_with_time_level_and_logger_first():
    out = set_up("json")
    structlog.get_logger("archiver.test").warning("filed", conversation="x y", items=3, name=LONE)
    line = json.loads(out.getvalue())
    assert list(line)[:4] == ["timestamp", "level", "logger", "event"]
    assert (line["level"], line["logger"], line["event"], line["items"]) == ("warning", "archiver.test", "filed", 3)
    assert line["name"] == LONE
    assert is_harmless(out.getvalue()) and out.getvalue().isascii() and out.getvalue().count("\n") == 1


def test_what_libraries_log_goes_the_same_way():
    out = set_up("json")
    logging.getLogger("mail.log").warning("peer %r said %s", ("::1", 25), HOSTILE)
    logging.getLogger("apscheduler.scheduler").error("job failed")
    first, second = map(json.loads, out.getvalue().splitlines())
    assert first["logger"] == "mail.log" and first["event"].startswith("peer ('::1', 25) said a")
    assert (second["logger"], second["level"]) == ("apscheduler.scheduler", "error")
    assert is_harmless(out.getvalue())


def test_chatty_libraries_are_quiet_unless_debugging():
    out = set_up("json")
    logging.getLogger("mail.log").info("session")
    logging.getLogger("apscheduler.executors.default").info("running job")
    assert out.getvalue() == ""
    out = set_up("json", "debug")
    logging.getLogger("mail.log").info("session")
    assert json.loads(out.getvalue())["event"] == "session"


@pytest.mark.parametrize("format", ["json", "console"])
def test_the_level_holds(format):
    out = set_up(format, "warning")
    structlog.get_logger().info("no")
    structlog.get_logger().warning("yes")
    assert "yes" in out.getvalue() and "no " not in out.getvalue()


def test_auto_is_console_where_a_terminal_looks_on():
    terminal = set_up("auto", stream=Terminal())
    structlog.get_logger().info("hello")
    assert "hello" in terminal.getvalue() and not terminal.getvalue().startswith("{")
    file = set_up("auto")
    structlog.get_logger().info("hello")
    assert json.loads(file.getvalue())["event"] == "hello"


def test_standard_error_is_where_it_goes_by_itself(capsys):
    logs.set_up("json")
    structlog.get_logger().info("hello")
    assert json.loads(capsys.readouterr().err)["event"] == "hello"


def test_no_control_character_reaches_the_console():
    out = set_up("console")
    structlog.get_logger().info(
        LONE, **{"name": LONE, LONE: 1}, nested={"a": [LONE]}, raw=LONE.encode("utf-8", "replace")
    )
    logging.getLogger("mail.log").error("%s", HOSTILE)
    assert is_harmless(out.getvalue())
    assert out.getvalue().count("\n") == 2
    assert r"\x1b[2J" in out.getvalue()


@pytest.mark.parametrize("format", ["json", "console"])
def test_an_exception_can_not_forge_a_line(format):
    out = set_up(format)
    try:
        raise ValueError(HOSTILE + "\n2026-01-01T00:00:00Z [info     ] forged")
    except ValueError:
        structlog.get_logger().exception("failed", conversation="c")
        logging.getLogger("apscheduler").exception("failed")
    assert is_harmless(out.getvalue())
    assert "ValueError" in out.getvalue()
    assert not any(line.startswith("2026-01-01T00:00:00Z") for line in out.getvalue().splitlines())


def test_local_variables_stay_out_of_tracebacks():
    out = set_up("console", stream=Terminal())
    said = "what people wrote"
    try:
        raise ValueError(len(said))
    except ValueError:
        structlog.get_logger().exception("failed")
    assert "what people wrote" not in out.getvalue()


def test_set_up_again_replaces_and_leaves_others_alone():
    other = logging.NullHandler()
    logging.getLogger().addHandler(other)
    first, second = set_up("json"), set_up("json")
    structlog.get_logger().info("once")
    assert first.getvalue() == "" and second.getvalue().count("once") == 1
    assert other in logging.getLogger().handlers


def test_what_is_bound_to_the_context_stands_in_every_line():
    out = set_up("json")
    with structlog.contextvars.bound_contextvars(conversation="c1"):
        structlog.get_logger().info("one")
        logging.getLogger("x").warning("two")
    assert [json.loads(line)["conversation"] for line in out.getvalue().splitlines()] == ["c1", "c1"]


def test_plain_keeps_every_script_and_shows_the_rest():
    assert logs.plain("Zoë 陳 עברית 👍🏽") == "Zoë 陳 עברית 👍🏽"
    assert logs.plain("a\x1b[0m\n\u202eb") == r"a\x1b[0m\n\u202eb"


@calm
@given(st.text())
def test_plain_is_one_line_without_controls(text):
    shown = logs.plain(text)
    assert len(shown.splitlines()) <= 1 and "\x1b" not in shown
    shown.encode("utf-8")
