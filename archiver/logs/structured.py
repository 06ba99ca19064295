"""The set-up of logging: structured, as JSON or for a terminal, with what libraries log through the same pipe.

Decides nothing about what is logged.

    structlog and stdlib loggers -> root handler -> level, logger, time -> JSON | console -> stream
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from archiver.logs import plain

_LIBRARIES = ("mail", "apscheduler", "asyncio")
"""They tell of every session and every run at INFO: worth a line only where somebody looks for a fault."""


def route(format: str, level: str, out: TextIO) -> None:
    handler = _Handler(out)
    handler.setFormatter(_formatter(_is_for_people(format, out), out.isatty()))
    root = logging.getLogger()
    for former in [each for each in root.handlers if isinstance(each, _Handler)]:
        root.removeHandler(former)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name in _LIBRARIES:
        logging.getLogger(name).setLevel(logging.DEBUG if level == "debug" else logging.WARNING)
    logging.captureWarnings(True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


class _Handler(logging.StreamHandler[TextIO]):
    """Ours, so that a second set-up finds it and leaves others' handlers alone."""


def _is_for_people(format: str, stream: TextIO) -> bool:
    return format == "console" or (format == "auto" and stream.isatty())


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _formatter(for_people: bool, colors: bool) -> logging.Formatter:
    # Plain tracebacks: rich ones would show local variables, and so what people wrote.
    last: list[Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        _clean if for_people else _order,
    ]
    if for_people:
        last.append(structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback))
    else:
        last.append(_json)
    return structlog.stdlib.ProcessorFormatter(foreign_pre_chain=_shared(), processors=last)


def _clean(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    return {plain(str(key)): _cleaned(str(key), value) for key, value in event.items()}


def _cleaned(key: str, value: object) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else _bare(value)
    if key in ("exception", "stack"):
        # A message with a line end in it must not look like a line of ours.
        return "\n".join("  | " + plain(line.expandtabs()) for line in re.split("\r\n|\n", text))
    return plain(text)


def _bare(value: object) -> str:
    return repr(dict(value)) if isinstance(value, Mapping) else repr(value)


def _order(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    first = {key: event[key] for key in ("timestamp", "level", "logger", "event") if key in event}
    return {**first, **event}


_renderer = structlog.processors.JSONRenderer(default=repr, ensure_ascii=True)


def _json(logger: WrappedLogger, method: str, event: EventDict) -> str:
    """JSON leaves DEL as it is; terminals don't."""
    return str(_renderer(logger, method, event)).replace("\x7f", "\\u007f")
