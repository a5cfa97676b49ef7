"""``python -m tests.soak STAGE``: what takes too long for every change, judged again and again, here and under load.

Each stage prints one line a pass, what differed if anything did, and a table at the end. Exit code 0: no difference; 1: there
is one; 2: the options are wrong, or this machine lacks a program. Reports are kept where there was a difference.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.end_to_end.equality import WAYS
from tests.matrix.catalogue import Isolation
from tests.soak import concurrency, equality
from tests.soak.load import load
from tests.soak.matrix import Matrix
from tests.soak.outcome import Pass, table


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the stages that were asked for; returns the exit code."""
    options = _parser().parse_args(arguments)
    passes: list[Pass] = []
    try:
        for one in _stages(options):
            passes.append(one)
            print(one.line(), flush=True)
            for text in one.differences:
                print("\n".join(f"    {line}" for line in text.splitlines()), flush=True)
    except ValueError as error:
        print(f"python -m tests.soak: {error}", file=sys.stderr)
        return 2
    print("\n".join(["", *table(passes)]), flush=True)
    return 1 if any(one.differences for one in passes) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__, allow_abbrev=False)
    stages = parser.add_subparsers(dest="stage", metavar="STAGE", required=True)
    matrix = stages.add_parser("matrix", help="every bundled runtime: each scores what is written down, in every pass")
    matrix.add_argument("--isolation", choices=("namespace", "proxy"), default="namespace")
    matrix.add_argument(
        "--only", action="append", default=[], metavar="GLOB", help="only these runtimes; may be repeated"
    )
    matrix.add_argument(
        "--sweep",
        choices=("kinds", "classes", "all"),
        help="of every conforming runtime (default: what its table says)",
    )
    together = stages.add_parser("concurrency", help="the runtime that does four jobs at a time: nobody accuses it")
    together.add_argument("--runs", type=_positive, default=200, metavar="N", help="judge until there are so many runs")
    equal = stages.add_parser(
        "equality", help="run, pytest, -n 2 and --jobs 1 find the same; so do run and pytest on a script alone"
    )
    every = stages.add_parser(
        "all", help="what has to be shown before a release: each of the others, here and under load"
    )
    for stage in (matrix, equal, every):
        stage.add_argument("--times", type=_positive, default=10 if stage is every else 1, metavar="N", help="passes")
    for stage in (matrix, together, equal):
        stage.add_argument("--busy", action="store_true", help="keep every core busy with other work all the while")
    for stage in (matrix, together, equal, every):
        stage.add_argument("--report", type=Path, default=Path(".machineid-conformance/soak"), metavar="DIR")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text!r}")
    return int(text)


def _stages(options: argparse.Namespace) -> Iterator[Pass]:
    report = options.report.resolve()
    if options.stage == "matrix":
        yield from _matrix(
            report, options.times, options.isolation, busy=options.busy, only=options.only, sweep=options.sweep
        )
    elif options.stage == "concurrency":
        yield from _concurrency(report, options.runs, busy=options.busy)
    elif options.stage == "equality":
        yield from _equality(report, options.times, busy=options.busy)
    else:
        yield from _equality(report, 1)
        yield from _concurrency(report, 200, busy=True)
        yield from _matrix(report, 1, "proxy")
        yield from _matrix(report, 1, "namespace", busy=True)
        yield from _matrix(report, 1, "namespace", sweep="kinds")
        yield from _matrix(report, options.times, "namespace")


def _matrix(
    report: Path,
    times: int,
    isolation: Isolation,
    *,
    busy: bool = False,
    only: Sequence[str] = (),
    sweep: str | None = None,
) -> Iterator[Pass]:
    of = f", sweep {sweep}" if sweep else ""
    stage = _name(f"matrix in {isolation} isolation{of}", busy=busy)
    folder = report / stage.replace(",", "").replace(" ", "-")
    matrix = Matrix(stage, folder, isolation=isolation, only=only, sweep=sweep)
    for number in range(1, times + 1):
        with load(busy=busy):
            one = matrix.judge(number)
        yield one


def _concurrency(report: Path, runs: int, *, busy: bool = False) -> Iterator[Pass]:
    stage, judged, number = _name("concurrency 4", busy=busy), 0, 0
    while judged < runs:
        number += 1
        with load(busy=busy):
            one = concurrency.judge(stage, number, report / stage.replace(" ", "-"))
        judged += one.runs
        yield one
        if not one.runs:
            return  # the harness failed, which is a difference; it would fail for ever


def _equality(report: Path, times: int, *, busy: bool = False) -> Iterator[Pass]:
    stages = (("equality", WAYS, True), ("equality, a script alone", equality.WITHOUT_CONFIGURATION, False))
    for name, ways, traces in stages:
        stage = _name(name, busy=busy)
        folder = report / stage.replace(",", "").replace(" ", "-")
        for number in range(1, times + 1):
            with load(busy=busy):
                one = equality.compare_ways(stage, number, folder, ways=ways, traces=traces)
            yield one


def _name(stage: str, *, busy: bool) -> str:
    return f"{stage}, busy" if busy else stage


if __name__ == "__main__":
    sys.exit(main())
