"""Words in braces are replaced; every other brace stays."""

from __future__ import annotations

import pytest

from machineid_conformance.config import duration, templates


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        ("w:{n:02}", "w:07"),
        ("w:{n}", "w:7"),
        ("w:{n:3}", "w:007"),
        ("--key={org_key} --port {port}", "--key=org_k --port 8080"),
        ("{device}", "w:07"),
        ('{"json": {"n": 1}} ${HOME} {other} {{n}}', '{"json": {"n": 1}} ${HOME} {other} {7}'),
    ],
)
def test_fill(template: str, filled: str) -> None:
    assert templates.fill(template, n=7, device="w:07", port=8080, org_key="org_k") == filled


def test_what_has_no_value_stays() -> None:
    assert templates.fill("{device}:{n}", n=1) == "{device}:1"
    assert templates.words("{device}:{n:02}") == {"device", "n"}


def test_left_over() -> None:
    assert templates.left_over("w:{n:02}") is None
    assert templates.left_over("w:{num}") == "{num}"
    assert templates.left_over("w:{n:02") == "{n:02"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("250ms", 0.25), ("5s", 5.0), ("15m", 900.0), ("1h", 3600.0), ("1.5 m", 90.0), (3, 3.0), (0.5, 0.5)],
)
def test_durations(value: object, seconds: float) -> None:
    assert duration.seconds(value) == seconds


@pytest.mark.parametrize("value", ["", "5", "5d", "-5s", "5s5s", 0, -1, True, None, float("nan"), []])
def test_no_durations(value: object) -> None:
    with pytest.raises(ValueError, match="a duration above zero"):
        duration.seconds(value)
