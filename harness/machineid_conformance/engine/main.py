"""From a request to results.json: configuration, catalogue, isolation, targets, verdict."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fake_control_plane.certificates import Authority
from machineid_conformance.config import find, load
from machineid_conformance.config.model import Configuration, Target
from machineid_conformance.config.overrides import Overrides
from machineid_conformance.dilation.build import Library, Unavailable, build
from machineid_conformance.engine import results
from machineid_conformance.engine.api import Session
from machineid_conformance.engine.interruption import Interruption
from machineid_conformance.engine.selection import Selection, SelectionError
from machineid_conformance.engine.slots import Slots, default_jobs
from machineid_conformance.engine.stream import Message, Request
from machineid_conformance.engine.target import TargetSession
from machineid_conformance.isolation import namespace, probe, proxy
from machineid_conformance.isolation.api import IsolationError
from machineid_conformance.isolation.spawn import Spawner
from machineid_conformance.judge.registry import rules
from machineid_conformance.scenario.load import load_catalogue, load_globs
from machineid_conformance.toxics.find import opened

REPORT_FOLDER = ".machineid-conformance"
_EXITS = {"conforming": 0, "non-conforming": 1, "inconclusive": 3}

Emit = Callable[[Message], None]


async def judge(request: Request, emit: Emit, interruption: Interruption) -> Message:
    """Do what the request asks; returns the ``finished`` message. Interrupted, it writes what there is.

    Raises:
        ConfigurationError, ScenarioError, SelectionError, SetupError, IsolationError, ReportError, ToxiproxyUnavailable: exit code 2, each
            with its remedy.
        asyncio.CancelledError: interrupted before the first run, when there is nothing to write.
    """
    started_at = datetime.now(tz=UTC)
    root = Path(request.root)
    known = rules()
    configuration = _configuration(request, root, known)
    scenarios = load_catalogue(known_rules=known)
    if configuration.scenarios:
        folder = configuration.path.parent if configuration.path else root
        scenarios = (*scenarios, *load_globs(configuration.scenarios, folder, known_rules=known, taken=scenarios))
    selection = Selection(request=request)
    selection.check(scenarios, known)
    targets = selection.targets(configuration.targets)
    report = _report_folder(Path(request.report) if request.report else root / REPORT_FOLDER)
    slots = Slots(request.jobs or default_jobs())
    async with AsyncExitStack() as stack:
        with interruption.ends_here():
            spawner = await stack.enter_async_context(_spawner())
            modes = await _modes(targets, spawner)
            toxiproxy = await stack.enter_async_context(opened()) if request.faults == "toxiproxy" else None
        scratch = Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(prefix="machineid-conformance-", ignore_cleanup_errors=True)
            )
        )
        library = await _library(targets)
        authority = Authority()
        pem = scratch / "authority.pem"
        pem.write_bytes(authority.pem)
        sessions = [
            TargetSession(
                target=target,
                scenarios=scenarios,
                companions=_companions(target, configuration),
                selection=selection,
                session=Session(
                    report=report,
                    authority=authority,
                    authority_pem=pem,
                    scratch=scratch,
                    mode=modes[target.name],
                    open_world=_opener(modes[target.name], spawner),
                    tell=_teller(request.follow, emit),
                    library=library,
                    toxiproxy=toxiproxy,
                ),
                slots=slots,
                rules=known,
                emit=emit,
                interruption=interruption,
            )
            for target in targets
        ]
        async with asyncio.TaskGroup() as group:
            judging = [group.create_task(session.judge()) for session in sessions]
    document = results.results_json(
        configuration, [task.result() for task in judging], started_at=started_at, root=root
    )
    path = results.write(document, report)
    return Message(
        kind="finished",
        payload={
            "results": str(path), "verdict": document["verdict"], "complete": document["complete"],
            "interrupted": document["interrupted"], "exit": _exit(document),
        },
    )  # fmt: skip


async def _library(targets: Sequence[Target]) -> Library | Unavailable:
    """The library of target time, compiled if it is not yet, where a target wants it."""
    if all(target.speed == 1 for target in targets):
        return Unavailable(reason="no target asks for another time")
    return await asyncio.to_thread(build)


def _teller(run: str | None, emit: Emit) -> Callable[[str, Mapping[str, Any]], None] | None:
    """Says each event of the run that is followed, as it stands in its trace."""
    if run is None:
        return None

    def tell(recorded: str, event: Mapping[str, Any]) -> None:
        if recorded == run:
            emit(Message(kind="event", payload={"run": run, "event": event}))

    return tell


def _configuration(request: Request, root: Path, known: Collection[str]) -> Configuration:
    overrides = Overrides(
        profile=request.profile, isolation=request.isolation, speed=request.speed, strict=request.strict
    )
    if request.command is not None:
        return load.from_command(request.command, device=request.device, cwd=root, overrides=overrides)
    path = root / request.config if request.config else find.discover(root)
    if path is None:
        raise SelectionError(
            f"no {find.FILE} and no [{load.SECTION}] in pyproject.toml in {root}, and no command: "
            "give the command of your runtime, as in `machineid-conformance run -- python worker.py`"
        )
    return load.load(path, known_rules=known, overrides=overrides)


def _companions(target: Target, configuration: Configuration) -> Sequence[Target]:
    names = {name for group in configuration.groups if target.name in group.targets for name in group.targets}
    return tuple(other for other in configuration.targets if other.name in names and other.name != target.name)


def _report_folder(folder: Path) -> Path:
    """The report folder, which ignores itself in git; traces of an earlier session are not mixed with this one's.

    Raises:
        SelectionError: nothing can be written there.
    """
    folder = folder.resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".gitignore").write_text("*\n", encoding="utf-8")
        shutil.rmtree(folder / "traces", ignore_errors=True)
        (folder / "results.json").unlink(missing_ok=True)
    except OSError as error:
        raise SelectionError(
            f"the report folder {folder} cannot be written: {error.strerror or error}; name another with --report"
        ) from error
    return folder


@asynccontextmanager
async def _spawner() -> AsyncIterator[Spawner]:
    spawner = await Spawner.start()
    try:
        yield spawner
    finally:
        await spawner.close()


async def _modes(targets: Sequence[Target], spawner: Spawner) -> dict[str, str]:
    """How each target is isolated; a namespace that cannot be had is an error that says why, never a silent fallback."""
    modes = {target.name: "proxy" if target.isolation == "proxy" else "namespace" for target in targets}
    if "namespace" in modes.values():
        capability = await probe.probe(spawner)
        if not capability.namespace:
            raise IsolationError("\n".join(capability.reasons))
    return modes


def _opener(mode: str, spawner: Spawner) -> Callable[..., Any]:
    module = namespace if mode == "namespace" else proxy

    def open_world(spec: Any) -> Any:
        return module.open_world(spec, spawner=spawner)

    return open_world


def _exit(document: dict[str, Any]) -> int:
    """The worst verdict's exit code. Failures that are all declared (``xfail``) exit 0, unless the session was interrupted; an entry
    that is expired or that passes exits 1.
    """
    targets = document["targets"]
    if any(target["xfail_problems"] for target in targets):
        return 1
    rows = [row for target in targets for row in target["rules"]]
    if document["verdict"] == "non-conforming" and not any(row["status"] == "fail" for row in rows):
        inconclusive = any(row["status"] == "inconclusive" and row["level"] == "MUST" for row in rows)
        return _EXITS["inconclusive"] if inconclusive or document["interrupted"] else 0
    return _EXITS[document["verdict"]]
