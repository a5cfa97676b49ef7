"""docs/faults.md is what the sources say: ``python -m tests.fake_control_plane.test_faults_manual`` writes it again."""

from __future__ import annotations

from pathlib import Path

from fake_control_plane import fault_rules, faults

MANUAL = Path(__file__).parents[2] / "docs" / "faults.md"


def test_the_manual_is_made_from_the_registry() -> None:
    written = MANUAL.read_text(encoding="utf-8")
    assert written == fault_rules.manual(), "write it again: python -m tests.fake_control_plane.test_faults_manual"


def test_the_manual_holds_every_fault_with_its_parameters_receipt_and_example() -> None:
    sections = dict(zip(faults.names(), [""] * 99, strict=False))
    for section in MANUAL.read_text(encoding="utf-8").split("\n## ")[1:]:
        name, _, text = section.partition("\n")
        sections[name] = text
    for name, kind in faults.kinds().items():
        assert kind.summary in sections[name]
        assert f"- Receipt: {kind.receipt}\n" in sections[name]
        assert f"- Example: `{kind.example}`\n" in sections[name]
        for parameter, meaning in kind.parameters.items():
            assert f"| `{parameter}` | {meaning}" in sections[name]


if __name__ == "__main__":
    MANUAL.write_text(fault_rules.manual(), encoding="utf-8")
