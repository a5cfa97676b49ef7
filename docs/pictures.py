# ruff: noqa: INP001  (a script beside what it keeps true, and no package)
"""README's terminal pictures, made from real runs of the two bundled examples.

    python docs/pictures.py                       judge both examples now, and write the pictures that have changed
    python docs/pictures.py REPORT REPORT         the same from what is there: the report folders that `make conformance` left
    python docs/pictures.py --check [REPORT …]    write nothing; exit code 1 and the difference if a picture is stale

A picture is the text between ``<!-- picture: NAME -->`` and ``<!-- /picture -->``. What is different in each run (seconds) is no change.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from machineid_conformance.judge.registry import rules
from machineid_conformance.report.failure import Reproduction, failures_of_target, render
from machineid_conformance.report.rules import texts
from machineid_conformance.report.style import Style
from machineid_conformance.report.terminal import summary

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
EXAMPLES = ROOT / "harness" / "machineid_conformance" / "examples" / "machineid-conformance.toml"
CONFORMING, VIOLATING = "worker", "careless-worker"
SHOWN_RULE, SHOWN_VARIANT = "startup/unreachable", "hang"
"""The violation that is shown in full: of this rule, in the run with this variant."""
SHOWN_RESULTS = ".machineid-conformance/results.json"  # where a user finds them, whatever folder these came from
STYLE = Style(width=100)
PICTURE = re.compile(r"(<!-- picture: (?P<name>[a-z-]+) -->\n)(?P<text>.*?)(<!-- /picture -->)", re.DOTALL)
MEASURED = re.compile(r"(^  deadline +).*|(?<=up to )\d+(?= times as fast)")
"""What a busy machine measures otherwise: the client's deadlines and their likely setting, and how fast time was at most."""
SECONDS = re.compile(r" *\b\d+\.\d+(/\d+\.\d+)* ?s\b")


class NoPictureError(Exception):
    """A picture cannot be made, or has no place; says why and what to do."""


def judge(target: str, report: Path, *selection: str) -> str:
    """Judge one example for real; returns what the command printed, which is what a picture shows.

    Raises:
        NoPictureError: the command gave no results.
    """
    options = ("--config", str(EXAMPLES), "--target", target, "--report", str(report), *selection)
    done = subprocess.run(
        [sys.executable, "-m", "machineid_conformance", "run", *options],
        env={**os.environ, "COLUMNS": str(STYLE.width)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if not (report / "results.json").is_file():
        raise NoPictureError(f"`run {' '.join(options)}` ended with {done.returncode} and no results:\n{done.stderr}")
    return done.stdout


def conforming(report: Path) -> str:
    """The picture of a session in which everything is in order: all that it prints on its standard output."""
    document = _results(report)
    lines = [f"$ machineid-conformance run --target {CONFORMING}"]
    lines += summary(document["targets"], {**document, "results": SHOWN_RESULTS}, STYLE)
    return _block(lines)


def violating(report: Path) -> str:
    """The picture of one violation, and of the verdict.

    Raises:
        NoPictureError: the violation that is to be shown is not in the results.
    """
    (target,) = _results(report)["targets"]
    again = Reproduction(program=("machineid-conformance", "run"))
    for failure in failures_of_target(target, texts(rules()), report):
        if (failure.rule.id, failure.variant) == (SHOWN_RULE, SHOWN_VARIANT):
            shown = render(failure, STYLE, again)
            break
    else:
        raise NoPictureError(
            f"{report}: {target['name']} did not violate {SHOWN_RULE} in a run with {SHOWN_VARIANT}; name another "
            "rule and variant in docs/pictures.py"
        )
    last = f"{'verdict':<14}{target['verdict'].upper()}"
    return _block([f"$ machineid-conformance run --target {VIOLATING}", "…", *shown, "…", last])


def compared(picture: str) -> list[str]:
    """The lines of a picture as they are the same in every run: without seconds, and without the line breaks and cuts that
    depend on how many digits those have.
    """
    lines: list[str] = []
    wrapped = False
    for line in picture.splitlines():
        if wrapped and line.startswith(" " * 4):
            lines[-1] += " " + line.strip()
            continue
        wrapped = line.lstrip().startswith(("stop latency", "deadline"))
        lines.append(line)
    plain = (re.sub(r"\S*…$", "…", SECONDS.sub(" <seconds>", line)) for line in lines)
    return [MEASURED.sub(r"\1<measured>", line) for line in plain]


def stale(readme: str, pictures: Mapping[str, str]) -> list[str]:
    """How the pictures that stand in README differ from these, as the lines of a diff; [] if none is stale.

    Raises:
        NoPictureError: README has no place for one of them, or one for a picture that nobody makes.
    """
    standing = {found["name"]: found["text"] for found in PICTURE.finditer(readme)}
    if standing.keys() != pictures.keys():
        raise NoPictureError(
            f"README.md has places for {sorted(standing)}, and there are pictures of {sorted(pictures)}"
        )
    return [
        line
        for name, text in pictures.items()
        for line in difflib.unified_diff(
            compared(standing[name]), compared(text), f"README.md, {name}", "a run of now", lineterm=""
        )
    ]


def placed(readme: str, pictures: Mapping[str, str]) -> str:
    """README with these pictures in it; one that only differs in its seconds stays as it is."""

    def place(found: re.Match[str]) -> str:
        text = pictures[found["name"]]
        same = compared(found["text"]) == compared(text)
        return f"{found[1]}{found['text'] if same else text}{found[4]}"

    return PICTURE.sub(place, readme)


def _results(report: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((report / "results.json").read_text(encoding="utf-8"))
    return document


def _block(lines: Sequence[str]) -> str:
    return "\n".join(["```console", *(line.rstrip() for line in lines), "```", ""])


def _reports(given: Sequence[Path], folder: Path) -> dict[str, Path]:
    """The report folder of each example: the given ones, or those of two sessions of now."""
    if not given:
        for name in (CONFORMING, VIOLATING):
            judge(name, folder / name)
        return {name: folder / name for name in (CONFORMING, VIOLATING)}
    found = {}
    for report in given:
        try:
            found.update({target["name"]: report for target in _results(report)["targets"]})
        except (OSError, ValueError) as error:
            raise NoPictureError(f"{report} holds no results ({error}); `make conformance` leaves some") from error
    if missing := {CONFORMING, VIOLATING} - found.keys():
        raise NoPictureError(f"no report is of {' or '.join(sorted(missing))}; found {', '.join(found) or 'none'}")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the pictures; returns the exit code: 0 as they should be, 1 stale, 2 they cannot be made."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing, and fail if a picture is stale")
    parser.add_argument("reports", nargs="*", type=Path, metavar="REPORT", help="a report folder of an example")
    options = parser.parse_args(arguments)
    readme = README.read_text(encoding="utf-8")
    try:
        with tempfile.TemporaryDirectory() as folder:
            reports = _reports(options.reports, Path(folder))
            pictures = {"conforming": conforming(reports[CONFORMING]), "violating": violating(reports[VIOLATING])}
        difference = stale(readme, pictures)
    except NoPictureError as error:
        print(f"docs/pictures.py: {error}", file=sys.stderr)
        return 2
    if options.check and difference:
        print("\n".join([*difference, "", "README.md is stale: python docs/pictures.py writes it anew"]))
        return 1
    if difference:
        README.write_text(placed(readme, pictures), encoding="utf-8")
        print("README.md: pictures written anew; look at the difference before you commit it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
