"""README's terminal pictures: made by ``docs/pictures.py`` from real runs, and noticed when they are stale.

One real session of the careless example, a single scenario of it, costs seconds and makes the picture of a violation. The picture
of a session in which all is in order takes the whole catalogue: CI makes that from what ``make conformance`` left.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[1] / "docs" / "pictures.py"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pictures", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


pictures = load()


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The report folder of a real session, and what the command printed."""
    report = tmp_path_factory.mktemp("pictures") / "report"
    said = pictures.judge(
        pictures.VIOLATING, report, "--scenario=startup-unreachable", f"--variant={pictures.SHOWN_VARIANT}"
    )
    return report, said


def standing(name: str) -> str:
    """The picture that stands in README."""
    found = {one["name"]: one["text"] for one in pictures.PICTURE.finditer(pictures.README.read_text(encoding="utf-8"))}
    return str(found[name])


def test_the_picture_of_a_violation_is_as_a_run_of_now(judged: tuple[Path, str]) -> None:
    report, _ = judged
    assert pictures.compared(standing("violating")) == pictures.compared(pictures.violating(report)), (
        "README.md is stale: python docs/pictures.py writes it anew"
    )


def test_a_picture_is_what_the_command_prints(judged: tuple[Path, str]) -> None:
    report, said = judged
    shown = [line for line in pictures.violating(report).splitlines()[3:-3] if "machineid-conformance run" not in line]
    printed = said.splitlines()
    assert len(shown) > 15
    assert [line for line in shown if line not in printed] == []
    # The other picture is the summary: that of this session stands at the end of what was printed, but for the folder.
    lines = pictures.conforming(report).splitlines()[2:-1]
    assert [line for line in lines if line not in printed] == [f"{'results':<14}{pictures.SHOWN_RESULTS}"]


def test_a_changed_word_is_stale_and_changed_seconds_are_not() -> None:
    readme = pictures.README.read_text(encoding="utf-8")
    now = {name: standing(name) for name in ("conforming", "violating")}
    assert pictures.stale(readme, now) == []
    assert pictures.placed(readme, now) == readme

    slower = {name: text.replace("0.0", "0.3") for name, text in now.items()}
    assert slower != now
    assert pictures.stale(readme, slower) == []
    assert pictures.placed(readme, slower) == readme

    other = {**now, "conforming": now["conforming"].replace("CONFORMING", "IN ORDER")}
    assert [line for line in pictures.stale(readme, other) if line.startswith("+verdict")] == [
        "+verdict       IN ORDER"
    ]
    assert "IN ORDER" in pictures.placed(readme, other)
    assert now["violating"] in pictures.placed(readme, other)


def test_where_a_line_was_broken_and_cut_is_no_change() -> None:
    short = "  stop latency  change to deny 0.00/0.05 s; deny to end\n                0.10/0.20 s\n  14  0.100s  hang after 1.9 s, wai…\n"
    wide = "  stop latency  change to deny 10.00/10.05 s;\n                deny to end 0.10/0.20 s\n  14 10.100s  hang after 1.9 s, w…\n"
    assert pictures.compared(short) == pictures.compared(wide)
    assert pictures.compared(short) != pictures.compared(wide.replace("14", "15"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{missing}"], "holds no results"),
        (["{judged}"], "no report is of worker; found careless-worker"),
    ],
)
def test_what_is_no_report_of_the_examples_is_said(
    arguments: list[str], said: str, judged: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [word.format(missing=tmp_path, judged=judged[0]) for word in arguments]
    assert pictures.main(["--check", *given]) == 2
    assert said in capsys.readouterr().err


def test_a_readme_without_a_place_for_a_picture_is_said() -> None:
    with pytest.raises(pictures.NoPictureError, match=r"README\.md has places for \['conforming'\]"):
        pictures.stale("<!-- picture: conforming -->\nx\n<!-- /picture -->", {"conforming": "", "violating": ""})
