"""The harness as its users start it, on a small target, with whatever it wrote checked against the published schemas."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema_rs

import machineid_conformance
from machineid_conformance import resources

WORKER = (Path(machineid_conformance.__file__).parent / "examples" / "worker.py").read_text(encoding="utf-8")
"""A conforming queue worker on the standard library: register, validate, then dequeue, validate and charge for each job."""

LIMIT = 240.0
"""Seconds; nothing waits for it but a test that fails."""

CLI = (sys.executable, "-m", "machineid_conformance")

CONFIG = """
edition = 1
{top}
[targets.worker]
command = ["python", "worker.py"]
device = "worker:dev:queue-consumer:01"
profile = "high"
horizon = 3
{keys}

[[targets.worker.effects]]
match = {{ method = "GET", host = "queue.example", path = "/next" }}
role = "task-source"
label = "dequeue"
answers = [{{ json = {{ id = 1 }} }}, {{ status = 204 }}]
"""


def config(keys: str = "", *, top: str = "") -> str:
    """The configuration of ``WORKER`` with one job in its queue: two boundaries, startup and task, and one charge."""
    return CONFIG.format(keys=keys, top=top)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What one session of the harness gave. ``results`` is empty where it wrote none; ``messages`` is the engine's stream,
    where it was asked for.
    """

    exit: int
    results: Mapping[str, Any]
    report: Path
    stdout: str
    stderr: str
    messages: Sequence[Mapping[str, Any]] = field(default=())

    @property
    def target(self) -> Mapping[str, Any]:
        """The only target of results.json."""
        (target,) = self.results["targets"]
        found: Mapping[str, Any] = target
        return found

    @property
    def rules(self) -> dict[str, Mapping[str, Any]]:
        """The rows of the only target, by rule."""
        return {row["id"]: row for row in self.target["rules"]}

    @property
    def traces(self) -> dict[str, list[dict[str, Any]]]:
        """Each run's trace, by the run's id."""
        return {run["id"]: lines(self.report / run["trace"]) for run in self.target["runs"]}

    @property
    def said(self) -> str:
        """All that it printed, for the message of a failing test."""
        return f"exit {self.exit}\n{self.stdout}\n{self.stderr}"


def judge(
    folder: Path,
    config_text: str | None,
    files: Mapping[str, str],
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    command: Sequence[str] = (*CLI, "run"),
    limit: float = LIMIT,
) -> Judged:
    """Write the configuration (None: there is none) and the files into ``folder`` and run the command line, or pytest, there; its
    report is in ``folder/report``.

    Whatever is written is validated: results.json and every line of every trace.
    """
    project = place(folder, config_text, files)
    done = subprocess.run(
        [*command, f"--{'machineid-' if 'pytest' in command else ''}report={folder / 'report'}", *arguments],
        cwd=project,
        env={**clean_environment(), **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=limit,
    )
    return _collect(done, folder / "report")


def engine(
    folder: Path,
    config_text: str,
    files: Mapping[str, str],
    *,
    command: Sequence[str] = (sys.executable, "-m", "machineid_conformance.engine"),
    environment: Mapping[str, str] | None = None,
    **request: Any,
) -> Judged:
    """The same with the engine's process alone: ``request`` are fields of ``engine.stream.Request``. Each message is validated."""
    project = place(folder, config_text, files)
    asked = {"root": str(project), "config": "machineid-conformance.toml", "report": str(folder / "report"), **request}
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as stderr,
        subprocess.Popen(
            command,
            cwd=project,
            env={**clean_environment(), **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        # It stays open: its end tells the engine that nobody waits any more.
        process.stdin.write(json.dumps(asked) + "\n")
        process.stdin.flush()
        stdout = process.stdout.read()
        stderr.seek(0)
        done = subprocess.CompletedProcess(command, process.wait(LIMIT), stdout, stderr.read())
    return _collect(done, folder / "report", stream=True)


def place(folder: Path, config_text: str | None, files: Mapping[str, str]) -> Path:
    """The folder ``project`` with the configuration, if there is one, and the files in it."""
    project = folder / "project"
    project.mkdir(parents=True, exist_ok=True)
    if config_text is not None:
        (project / "machineid-conformance.toml").write_text(config_text, encoding="utf-8")
    for name, text in files.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text, encoding="utf-8")
    return project


def clean_environment() -> dict[str, str]:
    """Ours, without what the session that runs these tests put there."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_", "COVERAGE_"))}


def _collect(done: subprocess.CompletedProcess[str], report: Path, *, stream: bool = False) -> Judged:
    path = report / "results.json"
    judged = Judged(
        exit=done.returncode,
        results=json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {},
        report=report,
        stdout=done.stdout,
        stderr=done.stderr,
        messages=[json.loads(line) for line in done.stdout.splitlines()] if stream else (),
    )
    check_schemas(judged)
    return judged


# -- schemas ------------------------------------------------------------------------------------------------------------


@functools.cache
def _validator(name: str) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(json.loads(resources.schema(name).read_text(encoding="utf-8")))


def problems(schema: str, documents: Iterable[Any]) -> list[str]:
    """Where documents are not what ``reports/schema/{schema}.schema.json`` says."""
    return [
        f"{schema} {number}: {'/'.join(('$', *map(str, error.instance_path)))}: {error.message}"
        for number, document in enumerate(documents, 1)
        for error in _validator(schema).iter_errors(document)
    ]


def check_schemas(judged: Judged) -> None:
    """Everything that a session wrote is what its schema says. A trace that was never closed ends in a whole line too."""
    found = problems("results", [judged.results] if judged.results else [])
    for trace in sorted(judged.report.rglob("*.jsonl")):
        found += [f"{trace.name}: {problem}" for problem in problems("trace", lines(trace))]
    found += problems("stream", judged.messages)
    assert found == [], "\n".join(found[:20])


def lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a JSON Lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write_lines(path: Path, events: Iterable[Mapping[str, Any]]) -> None:
    """Write a JSON Lines file as the trace's writer does."""
    text = "".join(json.dumps(event, ensure_ascii=False, separators=(",", ":")) + "\n" for event in events)
    path.write_text(text, encoding="utf-8")
