"""The OpenAPI 3.1 document of the intake, from the event contract's own schema and the limits in force."""

from __future__ import annotations

from typing import Any

from archiver import __version__
from archiver.events import Outcome, definitions_of_events
from archiver.sources.cloudevents import BATCH, LINES, ONE
from archiver.sources.http.receiving import Limits
from archiver.sources.http.replies import PROBLEM

_WITHIN = "#/components/schemas/"
_EVENT = {"$ref": _WITHIN + "Event"}
_REFUSALS = {
    "400": "The body can't be read as what it says it is: don't send it again.",
    "401": "No token, or none that is known.",
    "403": "An event is of a source that this token may not write; nothing was taken.",
    "408": "The body came too slowly.",
    "413": "Too large: send less at once.",
    "415": "A media type or content coding that isn't taken.",
    "429": "More events than agreed: wait.",
}
_RESULT = {
    "type": "object",
    "required": ["outcome"],
    "properties": {
        "outcome": {"enum": [each.value for each in Outcome]},
        "source": {"type": "string"},
        "id": {"type": "string"},
        "reason": {"type": "string"},
    },
}
_REPORT = {
    "type": "object",
    "required": ["outcomes", "results"],
    "properties": {
        "outcomes": {"type": "object", "additionalProperties": {"type": "integer", "minimum": 1}},
        "results": {"type": "array", "items": {"$ref": _WITHIN + "Result"}},
    },
}
_PROBLEM = {
    "type": "object",
    "required": ["title", "status", "reason", "detail"],
    "properties": {
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "reason": {"type": "string"},
        "detail": {"type": "string"},
    },
}
_STATUS = {"type": "object", "required": ["status"], "properties": {"status": {"type": "string"}}}


def document(limits: Limits) -> dict[str, Any]:
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Conversation archiver: event intake",
            "version": __version__,
            "description": "CloudEvents 1.0 in the JSON format. An event may be sent any number of times.",
        },
        "paths": {
            "/events": {"post": _intake(limits)},
            "/health": {"get": _probe("Answers while the intake runs.", {})},
            "/ready": {
                "get": _probe(
                    "Whether events are taken just now.",
                    {"503": _reply("The spool takes nothing now.", "application/json", {"$ref": _WITHIN + "Status"})},
                )
            },
            "/openapi.json": {
                "get": {
                    "summary": "This document.",
                    "operationId": "describe",
                    "responses": {"200": _reply("It.", "application/json", {"type": "object"})},
                }
            },
        },
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {
                **definitions_of_events(_WITHIN),
                "Report": _REPORT,
                "Result": _RESULT,
                "Problem": _PROBLEM,
                "Status": _STATUS,
            },
        },
    }


def _intake(limits: Limits) -> dict[str, Any]:
    batch = {"type": "array", "items": _EVENT, "maxItems": limits.events}
    problem = {"$ref": _WITHIN + "Problem"}
    report = {"$ref": _WITHIN + "Report"}
    later = _reply("Not everything was taken; after Retry-After, send again.", PROBLEM, problem)
    later["content"]["application/json"] = {"schema": report}
    return {
        "summary": "Take events; answers once they are durable.",
        "operationId": "take",
        "description": (
            "200: every event is safe here, also one that can't be read (quarantined). 503 with results: those that are"
            " blocked are to be sent again. A request that is refused was not taken at all."
        ),
        "security": [{"token": []}],
        "requestBody": {
            "required": True,
            "content": {
                ONE: {"schema": _EVENT},
                BATCH: {"schema": batch},
                LINES: {"schema": {"type": "string", "description": "One event a line."}},
            },
        },
        "responses": {
            "200": _reply("What became of each event.", "application/json", report),
            **{status: _reply(told, PROBLEM, problem) for status, told in _REFUSALS.items()},
            "503": later,
        },
    }


def _probe(summary: str, more: dict[str, Any]) -> dict[str, Any]:
    name = "ready" if more else "health"
    found = _reply("It is well.", "application/json", {"$ref": _WITHIN + "Status"})
    return {"summary": summary, "operationId": name, "responses": {"200": found, **more}}


def _reply(description: str, media_type: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {media_type: {"schema": schema}}}
