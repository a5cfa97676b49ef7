"""The pytest plugin at work: what makes a pytest session a conformance session.

There is one engine a session, whoever asks for its results:

- Plain pytest, ``only``: the engine is started before the first item, and its messages come through a pipe.
- ``with-tests``: it is started at the first conformance item and writes to a spool file, so that the user's tests
  between two of ours never hold it up (a full pipe would, and a held-up engine would bend the timing of a target).
- xdist: the **controller** starts it, when the first worker reports what it collected, with the selection that all
  workers have agreed on; it writes to a spool file, which every worker follows. So each worker may get any items, in
  any order, and the results are those of one engine. The controller ends the engine when the session is stopped.

The spool lies in a temporary folder of the controller's and goes with it.
"""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Generator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from machineid_conformance import session as engine
from machineid_conformance.plugin_items import ConformanceItem, Context, root
from machineid_conformance.plugin_ledger import Ledger
from machineid_conformance.plugin_plan import Plan, make_plan
from machineid_conformance.report.style import NARROWEST, WIDEST, Style
from machineid_conformance.report.terminal import summary

SPOOL = "machineid_spool"
WIDTH = "machineid_width"
STOPPED = (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.INTERNAL_ERROR, pytest.ExitCode.USAGE_ERROR)


class ConformancePlugin:
    """Registered with ``--machineid-conformance``; one a process of the session."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._only = config.option.machineid_conformance == "only"
        self._input: dict[str, Any] | None = getattr(config, "workerinput", None)
        self.plan: Plan = make_plan(config)
        self.context = Context(self.plan, self.ledger)
        self._wanted = self._take_arguments()
        self._chosen: set[tuple[str, str]] = set()
        self._engine: engine.EngineSession | None = None
        self._spool: engine.Spool | None = None
        self._ledger: Ledger | None = None
        self._folder: Path | None = None
        self._coverage_lifted = self._only and self._lift_coverage()
        self._stopped_early = False
        self._failures = 0
        if self._input is not None:
            self.context.shown.style = Style(width=self._input.get(WIDTH, 100))

    # -- collection ----------------------------------------------------------------------------------------------------

    def _take_arguments(self) -> tuple[str, ...]:
        """Take our node ids off pytest's arguments, and in ``only`` all others too: they select other tests."""
        config = self._config
        # A worker's arguments are the controller's, as it left them; our node ids come with the options.
        known: list[str] = getattr(config.option, "machineid_ids", None) or []
        path = self.plan.configuration.path
        names = {"command"} if path is None else {str(path)}
        given = [*config.args, *(getattr(config.option, "machineid_paths", None) or [])]
        ours = [argument for argument in given if "::" in argument and self._first(argument, path is not None) in names]
        config.option.machineid_ids = known or ours
        config.args = [] if self._only else [argument for argument in config.args if argument not in ours]
        return tuple("::".join(argument.split("::")[1:]) for argument in config.option.machineid_ids)

    def _first(self, argument: str, is_path: bool) -> str:
        first = argument.partition("::")[0]
        return str((self._config.invocation_params.dir / first).resolve()) if is_path else first

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Our collector goes below the session: beside the user's tests, or, with ``only``, instead of them."""
        report = yield
        if isinstance(collector, pytest.Session) and report.passed:
            ours = root(collector, self.context)
            report.result = [ours] if self._only else [*report.result, ours]
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Keep the items that were named by their node ids."""
        if not self._wanted:
            return
        left: list[pytest.Item] = []
        dropped: list[pytest.Item] = []
        found: set[str] = set()
        for item in items:
            name = "::".join(_case(item)) if isinstance(item, ConformanceItem) else None
            matching = {
                one for one in self._wanted if name is not None and (name == one or name.startswith(one + "::"))
            }
            found |= matching
            (left if matching or (name is None and not self._only) else dropped).append(item)
        if missing := [one for one in self._wanted if one not in found]:
            raise pytest.UsageError(f"no conformance item is called {missing[0]}; see --collect-only -q")
        items[:] = left
        if dropped:
            config.hook.pytest_deselected(items=dropped)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """What was collected and is left is what the engine is asked for."""
        self._chosen = {_case(item) for item in session.items if isinstance(item, ConformanceItem)}

    # -- the engine ----------------------------------------------------------------------------------------------------

    def ledger(self) -> Ledger:
        """The session's ledger, for whoever asks first."""
        if self._ledger is None:
            if self._input is not None:
                self._spool = engine.Spool(Path(self._input[SPOOL]))
                self._ledger = Ledger(self._spool.next)
            else:
                self._start(None if self._only else self._spool_path())
        assert self._ledger is not None
        return self._ledger

    def _start(self, spool: Path | None) -> None:
        self._interrupt_at_sigterm()
        self._engine = engine.EngineSession(self.plan.request_for(self._chosen), command=engine.ENGINE, spool=spool)
        self._ledger = Ledger(self._engine.next)

    def _interrupt_at_sigterm(self) -> None:
        """A CI machine cancels a job with SIGTERM: as with Ctrl-C, the results so far are wanted.

        With the user's tests in this process the signal is left alone: they may be about it.
        """
        if self._only and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _terminated)
            self._config.add_cleanup(_at_sigterm_end)

    def _spool_path(self) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="machineid-conformance-"))
        return self._folder / "messages.jsonl"

    def _check_start(self) -> None:
        """With ``only``, what keeps the engine from starting is an error of the whole session, and not of each item."""
        assert self._ledger is not None
        if not self._only:
            return
        try:
            self._ledger.started()
        except engine.EngineFailed as failed:
            raise pytest.UsageError(failed.message) from failed

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        """Start the engine of a plain session in which nothing else is run."""
        distributed = self._config.pluginmanager.hasplugin("dsession")
        if session.testsfailed and not session.config.option.continue_on_collection_errors:
            return
        if (
            self._only
            and self._chosen
            and self._input is None
            and not distributed
            and not self._config.option.collectonly
        ):
            self.context.shown.style = Style(width=self._width())
            self.ledger()
            self._check_start()

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell an xdist worker where the spool will be."""
        node.workerinput[SPOOL] = str(self._spool_path())
        node.workerinput[WIDTH] = self._width()

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: Sequence[str]) -> None:
        """Start the engine in xdist's controller, before any item is given to a worker."""
        del node
        if self._ledger is not None:
            return
        names = set(self.plan.names())
        prefix = "command::" if self.plan.configuration.path is None else None
        for nodeid in ids:
            case = tuple(nodeid.split("::")[-2:])
            if len(case) == 2 and case in names and (prefix is None or nodeid.startswith(prefix)):
                self._chosen.add((case[0], case[1]))
        if self._chosen:
            self._start(self._spool_path())
            self._check_start()

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """End the engine when the session has its last failure (-x, --maxfail).

        xdist's controller lets each worker finish the item that it is at; one that waits for the engine would wait for
        all that the engine has still to do.
        """
        self._failures += report.failed and not hasattr(report, "wasxfail")
        maxfail: int = self._config.getvalue("maxfail")
        if self._engine is not None and maxfail and self._failures >= maxfail:
            self._stop()

    def _stop(self) -> None:
        assert self._engine is not None
        if not self._stopped_early:
            self._stopped_early = True
            self._engine.terminate()

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Read the stream to its end.

        A session that was stopped ends the engine first, so that results so far are written.
        """
        if self._engine is None or self._ledger is None:
            return
        try:
            if exitstatus in STOPPED or session.shouldstop or session.shouldfail:
                self._stop()
            if self._ledger.failure is None:
                self._ledger.rest()
        except engine.EngineFailed as failed:
            self._ledger.failure = failed
        except KeyboardInterrupt:
            self._engine.kill()
            raise
        finally:
            self._engine.close()
        finished = self._ledger.finished
        if finished and finished.get("complete") and finished.get("exit") and session.exitstatus == pytest.ExitCode.OK:
            # No item says what the engine says: an expired xfail, say, in a target whose verdict was deselected.
            # Never green.
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_unconfigure(self) -> None:
        """Leave nothing behind, however the session ended."""
        if self._engine is not None:
            self._engine.close()
        if self._spool is not None:
            self._spool.close()
            self._spool = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    # -- what is shown -------------------------------------------------------------------------------------------------

    def pytest_report_header(self) -> list[str]:
        """What this session judges."""
        configuration = self.plan.configuration
        where = configuration.path if configuration.path is not None else "a command"
        names = ", ".join(target.name for target in self.plan.targets)
        beside = "testpaths and other tests are left out" if self._only else "beside the other tests"
        lines = [
            f"machineid-conformance: {where}, targets: {names}, {len(self.plan.scenarios)} scenarios each; {beside}"
        ]
        if self._coverage_lifted:
            lines.append(
                "machineid-conformance: coverage's fail-under is lifted: the runtime does not run in this process"
            )
        return lines

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Target by area, stop latency, isolation, completeness, verdict."""
        ledger = self._ledger
        if ledger is None or self._input is not None:
            return
        style = Style(colour=terminalreporter.hasmarkup, unicode=_unicode(terminalreporter), width=self._width())
        terminalreporter.section("MachineID conformance")
        for notice in ledger.notices:
            for line in style.labelled("note", notice, indent=0, column=6):
                terminalreporter.write_line(line)
        if ledger.failure is not None and not self._stopped_early:
            terminalreporter.write_line(ledger.failure.message)
            return
        for line in summary(list(ledger.targets.values()), ledger.finished, style):
            terminalreporter.write_line(line)

    def _width(self) -> int:
        writer = self._config.get_terminal_writer()
        return max(NARROWEST, min(WIDEST, writer.fullwidth))

    def _lift_coverage(self) -> bool:
        """pytest-cov would fail the session for want of coverage.

        None of the user's tests is run, and the runtime runs elsewhere.
        """
        plugin = self._config.pluginmanager.getplugin("_cov")
        options: Any = getattr(plugin, "options", None)
        if not getattr(options, "cov_fail_under", None):
            return False
        options.cov_fail_under = 0.0  # None would make pytest-cov read coverage's own configuration again
        return True


def _case(item: ConformanceItem) -> tuple[str, str]:
    """Target and scenario of an item, as the plan names it."""
    return item.target.name, item.name


def _at_sigterm_end() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _terminated(_number: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: what ends already is not to be cut short
    raise KeyboardInterrupt("SIGTERM")


def _unicode(terminalreporter: Any) -> bool:
    encoding = getattr(getattr(terminalreporter, "_tw", None), "_file", None)
    try:
        "─·…→".encode(getattr(encoding, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
