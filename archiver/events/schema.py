"""The JSON Schema (2020-12) of one event, generated from the records and the rules that `capture` enforces."""

from __future__ import annotations

from typing import Any

import msgspec

from archiver.events.record import (
    EDITED,
    POLL_CLOSED,
    POLL_OPENED,
    POLL_VOTED,
    REACTED,
    RENAMED,
    RETRACTED,
    SENT,
    Event,
)

_SAYS = {"type": "object", "required": ["id", "text"], "properties": {"text": {"type": "string"}}}
_NAMES = {"type": "object", "required": ["id"]}
_SOMEBODY = {"type": "object"}
# What is required must not be null either: the records allow it where nothing else asks for the member.
_RULES = (
    ((SENT, EDITED), {"required": ["message"], "properties": {"message": _SAYS}}),
    ((RETRACTED, REACTED), {"required": ["message"], "properties": {"message": _NAMES}}),
    ((POLL_OPENED, POLL_VOTED, POLL_CLOSED), {"required": ["poll"], "properties": {"poll": _NAMES}}),
    ((RENAMED,), {"required": ["actor", "subject"], "properties": {"actor": _SOMEBODY, "subject": _SOMEBODY}}),
)


def definitions_of_events(within: str) -> dict[str, Any]:
    """The schemas of `Event` and what it holds, by name; they refer to each other below `within`."""
    _, definitions = msgspec.json.schema_components([Event], ref_template=within + "{name}")
    for definition in definitions.values():
        if "description" in definition:
            definition["description"] = " ".join(definition["description"].split())
    event = definitions["Event"]
    event["required"] = sorted({*event["required"], "specversion"})
    event["allOf"] = [
        {
            "if": {"properties": {"type": {"enum": list(types)}}, "required": ["type"]},
            "then": {"properties": {"data": rule}},
        }
        for types, rule in _RULES
    ]
    return definitions


def json_schema() -> dict[str, Any]:
    """The schema a sender can check events against: stricter than the reader in asking for `specversion`."""
    within = "#/$defs/"
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "An event of the conversation archiver (CloudEvents 1.0, JSON format)",
        "$ref": within + "Event",
        "$defs": definitions_of_events(within),
    }


if __name__ == "__main__":
    import json
    import sys

    json.dump(json_schema(), sys.stdout, indent=2, sort_keys=True, ensure_ascii=False)
    sys.stdout.write("\n")
