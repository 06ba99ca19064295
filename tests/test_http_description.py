"""The HTTP intake against its own OpenAPI document, by schemathesis: whatever the document allows, and what it doesn't.

A sound request is taken, and no request makes the intake fail, or answer what the document doesn't say.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from contracts.source import Spooled
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from archiver.sources.cloudevents import BATCH, ONE
from archiver.sources.credentials import digest_of
from archiver.sources.http.source import HttpSource, Token
from archiver.sources.listening import Address

pytestmark = pytest.mark.slow

SECRET = "a-secret-that-nobody-guesses"


def it_never_breaks(context: Any, response: Any, case: Any) -> None:
    """ "Try later" is an answer, on a busy machine too."""
    assert response.status_code < 500 or response.status_code == 503


CHECKS = [
    it_never_breaks,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
]


calm = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def api() -> Iterator[Any]:
    source = HttpSource("test", Address(), (Token("gateway", sources=("*",), sha256=digest_of(SECRET).hex()),))
    source.start(Spooled())
    yield schemathesis.openapi.from_url(f"http://127.0.0.1:{source.address.port}/openapi.json")
    source.stop()


POSITIVE, NEGATIVE = GenerationMode.POSITIVE, GenerationMode.NEGATIVE
ASKED = [("POST /events", POSITIVE), ("POST /events", NEGATIVE), ("GET /health", POSITIVE), ("GET /ready", POSITIVE)]


@schemathesis.serializer("application/x-ndjson")
def lines(context: Any, value: Any) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode() + b"\n"


@pytest.mark.parametrize(("operation", "mode"), ASKED)
def test_it_is_as_described(api: Any, operation: str, mode: GenerationMode) -> None:
    operations = {each.ok().label: each.ok() for each in api.get_all_operations()}
    assert operations.keys() == {asked for asked, _ in ASKED}
    statuses: set[int] = set()
    outcomes: set[str] = set()

    @calm
    @given(operations[operation].as_strategy(generation_mode=mode))
    def as_described(case: Any) -> None:
        reply = case.call(headers={"Authorization": f"Bearer {SECRET}"})
        case.validate_response(reply, checks=CHECKS)
        statuses.add(reply.status_code)
        if mode is POSITIVE and case.media_type in (ONE, BATCH) and reply.status_code == 200:
            outcomes.update(reply.json()["outcomes"])

    as_described()
    assert outcomes <= {"accepted", "cleaned"}, "what the schema allows is an event"
    assert statuses & ({200} if mode is GenerationMode.POSITIVE else {200, 400, 404, 405, 415})
