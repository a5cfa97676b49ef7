"""The command line: ``machineid-conformance run | rules | explain RULE | replay RUN``.

Exit codes of ``run`` (design.md, Command line): 0 conforming, 1 non-conforming, 2 usage, configuration or isolation
error, 3 inconclusive, 4 the harness itself failed; and, as shells have it, 130 and 143 when it was interrupted by SIGINT
(Ctrl-C) or SIGTERM: its results are written then, and are of what was judged until then.

Each command imports what it alone needs: rules and events are half a hundred modules, and a session without a violation shows none.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from machineid_conformance import __version__
from machineid_conformance.config.find import discover
from machineid_conformance.engine.stream import Message, Request
from machineid_conformance.report.progress import Progress
from machineid_conformance.report.style import Style
from machineid_conformance.report.terminal import summary
from machineid_conformance.session import EngineFailed, EngineSession
from machineid_conformance.start import DEFAULT_REPORT, HOW_TO_START

CONFORMING, NON_CONFORMING, USAGE, INCONCLUSIVE, HARNESS = 0, 1, 2, 3, 4
INTERRUPTED, TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM

EXIT_CODES = (
    "Exit codes: 0 conforming, 1 non-conforming, 2 usage, configuration or isolation error, 3 inconclusive, "
    "4 the harness itself failed, 130 or 143 interrupted (SIGINT, SIGTERM): the results so far are written."
)

SAME_IN_EVERY_CASE = ("config", "profile", "speed", "isolation", "faults", "device", "report")
"""Options that a command for one case must repeat, because they change what a run is or where it is found."""


class Terminated(KeyboardInterrupt):
    """SIGTERM came: whoever started us wants us to end, as with Ctrl-C."""


@contextlib.contextmanager
def _interrupted_by_sigterm() -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, _terminated)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminated(_number: int, _frame: FrameType | None) -> None:
    signal.signal(
        signal.SIGTERM, signal.SIG_IGN
    )  # what ends already is not hurried by asking again; a second Ctrl-C hurries it
    raise Terminated


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    words, command = _split(words)
    parser = _parser()
    options = parser.parse_args(words)
    if command and options.action not in (run, replay):
        parser.error(f"{options.name} takes no command after --")
    options.command = tuple(command)
    try:
        action: Callable[[argparse.Namespace], int] = options.action
        return action(options)
    except EngineFailed as failed:
        print(f"machineid-conformance: {failed.message}", file=sys.stderr)
        return failed.exit
    except Terminated:
        return TERMINATED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone (`| head`): nothing may be flushed to it at the interpreter's end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return HARNESS


def _split(words: list[str]) -> tuple[list[str], list[str]]:
    """The options, and the target's command after the first ``--``."""
    if "--" not in words:
        return words, []
    at = words.index("--")
    return words[:at], words[at + 1 :]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="machineid-conformance",
        description="Proves that a runtime stops when MachineID says no.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="name", metavar="COMMAND", required=True)

    running = commands.add_parser(
        "run",
        help="judge the configured targets, or the command after --",
        usage="machineid-conformance run [options] [-- COMMAND ...]",
        epilog=EXIT_CODES,
        allow_abbrev=False,
    )
    _selection(running)
    _conditions(running)
    running.set_defaults(action=run)

    listing = commands.add_parser("rules", help="every rule, its level and what it says", allow_abbrev=False)
    listing.set_defaults(action=rules)

    explaining = commands.add_parser("explain", help="one rule in full, and what exercises it", allow_abbrev=False)
    explaining.add_argument("rule", metavar="RULE", help="a rule's id, as in stop/next-boundary")
    explaining.set_defaults(action=explain)

    replaying = commands.add_parser(
        "replay",
        help="run one case of an earlier session again, with its timeline",
        usage="machineid-conformance replay RUN [options] [-- COMMAND ...]",
        epilog="Exit codes: 0 no MUST is violated in this case, 1 one is, 2 no such run, 3 the case did not take "
        "place, 4 the harness itself failed, 130 or 143 interrupted.",
        allow_abbrev=False,
    )
    replaying.add_argument("run", metavar="RUN", help="a run's id in results.json, or its trace file")
    _conditions(replaying)
    replaying.set_defaults(action=replay)
    return parser


def _selection(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what to run")
    group.add_argument(
        "--target", action="append", default=[], metavar="NAME", help="only this target; may be repeated"
    )
    group.add_argument(
        "--rule", action="append", default=[], metavar="GLOB", help="only what exercises these rules; may be repeated"
    )
    group.add_argument(
        "--scenario", action="append", default=[], metavar="GLOB", help="only these scenarios; may be repeated"
    )
    group.add_argument(
        "--boundary", type=_positive, metavar="N", help="only the runs pinned to the N-th boundary or effect"
    )
    group.add_argument("--variant", metavar="ID", help="only this variant of each scenario's fault")
    group.add_argument(
        "--environment",
        type=_positive,
        metavar="N",
        help="only the runs under the N-th environment of bypass_env or variants",
    )


def _conditions(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("how to run it")
    group.add_argument("--config", metavar="FILE", help="default: machineid-conformance.toml, or pyproject.toml, here")
    group.add_argument(
        "--device", metavar="ID", help="the device of the command after --; default: the first that it registers"
    )
    group.add_argument("--profile", choices=("low", "medium", "high"), help="override the targets' profile")
    group.add_argument("--jobs", type=_positive, metavar="N", help="runs at a time; default: from the cores")
    group.add_argument("--speed", metavar="N", help="1, a factor, or auto")
    group.add_argument("--isolation", choices=("auto", "namespace", "proxy"), help="override the targets' isolation")
    group.add_argument(
        "--faults",
        choices=("built-in", "toxiproxy"),
        help="who delivers the network faults: the harness itself (default), or a Toxiproxy server",
    )
    group.add_argument("--strict", action="store_true", help="a SHOULD that fails is a failure")
    group.add_argument("--report", metavar="DIR", help=f"where results and traces go; default: {DEFAULT_REPORT}")


def _positive(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text!r}")
    return number


@dataclass
class Told:
    """What the stream has said so far."""

    targets: list[Mapping[str, Any]] = field(default_factory=list)
    finished: Mapping[str, Any] | None = None
    interrupted: int | None = None  # the exit code that says by what

    def take(self, message: Message) -> None:
        """Keep what the summary is made of. The same message again changes nothing."""
        if message.kind == "target-judged":
            target = message.payload["target"]
            self.targets = [*(known for known in self.targets if known["name"] != target["name"]), target]
        elif message.kind == "finished":
            self.finished = message.payload


def follow(session: EngineSession, progress: Progress, *, on_message: Callable[[Message], None] | None = None) -> Told:
    """Read the stream to its end.

    The first Ctrl-C, or SIGTERM, ends the targets and goes on reading; Ctrl-C after that kills the engine.
    """
    told = Told()
    message: Message | None = None  # until it was dealt with: Ctrl-C may come at any moment
    while True:
        try:
            message = message or session.next()
            if message is None:
                progress.clear()
                return told
            progress.show(message)
            told.take(message)
            if on_message is not None:
                on_message(message)
            message = None
        except KeyboardInterrupt as interrupt:
            if told.interrupted is not None:
                session.kill()
                raise
            told.interrupted = TERMINATED if isinstance(interrupt, Terminated) else INTERRUPTED
            progress.line("interrupted: ending the targets and writing what there is (Ctrl-C once more stops at once)")
            session.terminate()
        except EngineFailed as failed:
            progress.clear()
            if told.interrupted is None:
                raise
            progress.line(failed.message)
            return told


def run(options: argparse.Namespace) -> int:
    """``run``: all that was selected, then the failures and the summary."""
    root = Path.cwd()
    config = _configuration(options, root)
    if config is None and not options.command:
        print(HOW_TO_START, file=sys.stderr)
        return USAGE
    request = Request(
        root=str(root),
        config=config,
        command=options.command or None,
        device=options.device,
        targets=tuple(options.target),
        rules=tuple(options.rule),
        scenario_globs=tuple(options.scenario),
        boundary=options.boundary,
        variant=options.variant,
        environment=options.environment,
        profile=options.profile,
        jobs=options.jobs,
        speed=options.speed,
        isolation=options.isolation,
        faults=options.faults or "built-in",
        strict=options.strict,
        report=options.report,
    )
    with _interrupted_by_sigterm(), EngineSession(request) as session:
        told = follow(session, _progress(sys.stderr))
    style = Style.of(sys.stdout)
    found = any(row["findings"] for target in told.targets for row in target["rules"])
    lines = _violations(options, told, root, style) if found else []
    lines += summary(told.targets, told.finished, style)
    print("\n".join(lines), flush=True)
    if told.interrupted is not None:
        return told.interrupted
    return HARNESS if told.finished is None else int(told.finished["exit"])


def _violations(options: argparse.Namespace, told: Told, root: Path, style: Style) -> list[str]:
    from machineid_conformance.judge.registry import rules as known_rules  # noqa: PLC0415  (see the module's docstring)
    from machineid_conformance.report.failure import Reproduction, failures_of_target, render_grouped  # noqa: PLC0415
    from machineid_conformance.report.rules import texts  # noqa: PLC0415

    words, report = texts(known_rules()), root / (options.report or DEFAULT_REPORT)
    failures = [failure for target in told.targets for failure in failures_of_target(target, words, report)]
    again = Reproduction(
        program=("machineid-conformance", "run"),
        options=tuple(
            (name, str(value)) for name in SAME_IN_EVERY_CASE if (value := getattr(options, name)) is not None
        ),
        command=options.command,
    )
    return render_grouped(failures, style, again)


def rules(options: argparse.Namespace) -> int:
    """``rules``: the table."""
    from machineid_conformance.judge.registry import rules as known_rules  # noqa: PLC0415  (see the module's docstring)
    from machineid_conformance.report.rules import table  # noqa: PLC0415

    del options
    print("\n".join(table(known_rules(), Style.of(sys.stdout))))
    return 0


def explain(options: argparse.Namespace) -> int:
    """``explain RULE``: the page of one rule."""
    from machineid_conformance.judge.registry import rules as known_rules  # noqa: PLC0415  (see the module's docstring)
    from machineid_conformance.report.rules import nearest, page  # noqa: PLC0415
    from machineid_conformance.scenario.load import load_catalogue  # noqa: PLC0415

    every = known_rules()
    if options.rule not in every:
        said = f"no rule is called {options.rule!r}{nearest(options.rule, every)}"
        print(f"machineid-conformance: {said}; all: machineid-conformance rules", file=sys.stderr)
        return USAGE
    print("\n".join(page(every[options.rule], load_catalogue(), Style.of(sys.stdout))))
    return 0


def replay(options: argparse.Namespace) -> int:
    """``replay RUN``: one case again."""
    from machineid_conformance.judge.registry import rules as known_rules  # noqa: PLC0415  (see the module's docstring)
    from machineid_conformance.replay import NoSuchRun, Shown, find, replay_case  # noqa: PLC0415
    from machineid_conformance.report.rules import texts  # noqa: PLC0415

    root = Path.cwd()
    report = root / (options.report or DEFAULT_REPORT)
    try:
        case = find(options.run, report)
    except NoSuchRun as error:
        print(f"machineid-conformance: {error}", file=sys.stderr)
        return USAGE
    config = _configuration(options, root)
    if config is None and not options.command:
        print(f"machineid-conformance: {case.without_configuration}", file=sys.stderr)
        return USAGE
    request = Request(
        root=str(root),
        config=config,
        command=options.command or None,
        device=options.device,
        targets=(case.target,),
        scenario_globs=(case.scenario,),
        boundary=case.boundary,
        variant=case.variant,
        environment=case.environment,
        follow=case.run,
        profile=options.profile,
        jobs=options.jobs,
        speed=options.speed,
        isolation=options.isolation,
        faults=options.faults or "built-in",
        strict=options.strict,
        report=str(report / "replay"),
    )
    style = Style.of(sys.stdout)
    with _interrupted_by_sigterm(), EngineSession(request) as session:
        return replay_case(session, case, Shown(report / "replay", _progress(sys.stderr), style, texts(known_rules())))


def _configuration(options: argparse.Namespace, root: Path) -> str | None:
    """The configuration's path: the one that was given, or the one that stands here, unless there is a command."""
    if options.config is not None or options.command:
        return str(options.config) if options.config is not None else None
    found = discover(root)
    return str(found) if found is not None else None


def _progress(stream: TextIO) -> Progress:
    return Progress(stream, Style.of(stream), live=stream.isatty() and os.environ.get("TERM") != "dumb")
