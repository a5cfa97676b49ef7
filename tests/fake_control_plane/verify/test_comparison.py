"""Two answers and how they differ, each with all the differences expected."""

from __future__ import annotations

from typing import Any

import pytest

from fake_control_plane.verify import Difference, Observed, compare


def answer(body: Any = None, *, status: int = 200, is_json: bool = True, **headers: str) -> Observed:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Observed(status=status, headers={"content-type": "application/json", **names}, body=body, is_json=is_json)


def differences(fake: Observed, original: Observed) -> list[tuple[str, str, str]]:
    return [(found.where, found.fake, found.original) for found in compare(fake, original)]


DECISION = {"allowed": True, "code": "ALLOW", "request_id": "1"}


@pytest.mark.parametrize(
    ("fake", "original", "expected"),
    [
        (answer(DECISION), answer({**DECISION, "request_id": "2"}), []),
        (answer(DECISION), answer(DECISION, content_type="Application/JSON; charset=utf-8"), []),
        (answer(DECISION, x_machineid_fake="1"), answer(DECISION, server="any", date="now"), []),
        (answer({"accessUntil": None}), answer({"accessUntil": "2026-01-01T00:00:00Z"}), []),
        (answer({"limit": 3, "planTier": "free"}), answer({"limit": 25, "planTier": "pro"}), []),
        (answer({"devices": []}), answer({"devices": [{"deviceId": "a"}]}), []),
        (
            answer({"devices": [{"deviceId": "a", "revoked": False}]}),
            answer({"devices": [{"deviceId": "b", "revoked": True}, {"deviceId": "a", "revoked": False}]}),
            [],
        ),
        (answer(DECISION), answer(DECISION, status=403), [("status", "200", "403")]),
        (
            answer(DECISION),
            answer(DECISION, content_type="text/html"),
            [("header content-type", "application/json", "text/html")],
        ),
        (
            answer(DECISION, status=405, allow="POST"),
            answer(DECISION, status=405),
            [("header allow", "is there", "is not there")],
        ),
        (
            answer(DECISION),
            answer(DECISION, retry_after="3"),
            [("header retry-after", "is not there", "is there")],
        ),
        (answer(DECISION), answer(is_json=False), [("body", "object", "no JSON")]),
        (answer(DECISION), answer([]), [("body", "object", "array")]),
        (answer(DECISION), answer({**DECISION, "allowed": False}), [("body.allowed", "true", "false")]),
        (answer(DECISION), answer({**DECISION, "allowed": "true"}), [("body.allowed", "boolean", "string")]),
        (answer(DECISION), answer({**DECISION, "code": "OK"}), [("body.code", '"ALLOW"', '"OK"')]),
        (
            answer(DECISION),
            answer({"allowed": True, "code": "ALLOW", "expires": 7}),
            [("body.expires", "has no such key", "number"), ("body.request_id", "string", "has no such key")],
        ),
        (
            answer({"softGraceWindow": None}),
            answer({"softGraceWindow": 7}),
            [("body.softGraceWindow", "null", "number")],
        ),
        (answer({"accessUntil": None}), answer({"accessUntil": 7}), [("body.accessUntil", "null", "number")]),
        (
            answer({"devices": [{"deviceId": "a", "revoked": False}]}),
            answer({"devices": [{"id": "a", "revoked": False}]}),
            [
                ("body.devices[].deviceId", "string", "has no such key"),
                ("body.devices[].id", "has no such key", "string"),
            ],
        ),
        (
            answer({"devices": ["a"]}),
            answer({"devices": [{"deviceId": "a"}]}),
            [("body.devices[]", "string", "object")],
        ),
        (
            answer({"plan": {"status": 1}}),
            answer({"plan": {"status": "x"}}),
            [("body.plan.status", "number", "string")],
        ),
        (
            answer(DECISION),
            answer({**DECISION, "code": "x" * 500}),
            [("body.code", '"ALLOW"', '"' + "x" * 118 + "…")],
        ),
    ],
)
def test_compare(fake: Observed, original: Observed, expected: list[tuple[str, str, str]]) -> None:
    assert differences(fake, original) == expected


def test_a_difference_in_words() -> None:
    difference = Difference(where="body.code", fake='"A"', original='"B"')
    assert str(difference) == 'body.code: the fake says "A", the original "B"'
