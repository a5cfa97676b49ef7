"""The engine's process as its reader holds it; the engines here are one-liners."""

from __future__ import annotations

import json
import os
import signal
import sys
import textwrap
from pathlib import Path

import pytest

from machineid_conformance.engine.stream import Request
from machineid_conformance.session import EngineFailed, EngineSession, Spool

REQUEST = Request(root="/nowhere", targets=("worker",))


def engine(program: str) -> tuple[str, ...]:
    return (sys.executable, "-S", "-c", "import json, os, signal, sys\n" + textwrap.dedent(program))


SAY = """
def say(kind, **payload):
    os.write(1, json.dumps({"kind": kind, **payload}).encode() + b"\\n")
"""


@pytest.fixture(params=["pipe", "spool"])
def spool(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path / "messages.jsonl" if request.param == "spool" else None


def test_messages_come_in_order_until_finished(spool: Path | None) -> None:
    program = SAY + 'say("notice", text=sys.stdin.readline()); say("finished", exit=0)'
    with EngineSession(REQUEST, command=engine(program), spool=spool) as session:
        first, second, third = session.next(), session.next(), session.next()
    assert first is not None
    assert json.loads(first.payload["text"])["targets"] == ["worker"]
    assert second is not None
    assert (second.kind, third) == ("finished", None)


def test_failed_is_raised_with_its_exit_code(spool: Path | None) -> None:
    program = SAY + 'say("failed", error="isolation", message="no namespaces", exit=2)'
    with EngineSession(REQUEST, command=engine(program), spool=spool) as session:
        with pytest.raises(EngineFailed, match="no namespaces") as raised:
            session.next()
        assert (raised.value.error, raised.value.exit) == ("isolation", 2)


def test_a_crash_shows_the_end_of_standard_error(spool: Path | None) -> None:
    program = 'os.write(2, b"x" * 9000 + b"the disk is full"); sys.exit(7)'
    with EngineSession(REQUEST, command=engine(program), spool=spool) as session:
        with pytest.raises(EngineFailed, match="the disk is full") as raised:
            session.next()
        assert raised.value.exit == 4
        assert len(raised.value.message) < 5000


def test_how_it_ended_is_said() -> None:
    for program, how in (("sys.exit(7)", "status 7"), ("os.kill(os.getpid(), signal.SIGKILL)", "ended by SIGKILL")):
        with EngineSession(REQUEST, command=engine(program)) as session, pytest.raises(EngineFailed, match=how):
            session.next()


def test_what_is_no_message_is_an_error_of_the_harness(spool: Path | None) -> None:
    command = engine('os.write(1, b"hello\\n")')
    said = pytest.raises(EngineFailed, match="not a message: 'hello'")
    with EngineSession(REQUEST, command=command, spool=spool) as session, said:
        session.next()


def test_an_engine_that_cannot_be_started_is_an_error_of_the_harness() -> None:
    with pytest.raises(EngineFailed, match="could not be started"):
        EngineSession(REQUEST, command=("/no/such/program",))


def test_terminate_lets_it_say_what_it_has(spool: Path | None) -> None:
    program = (
        SAY
        + """
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    say("notice", text="ready")
    signal.sigwait([signal.SIGTERM])
    say("finished", complete=False)
    """.replace("\n    ", "\n")
    )
    with EngineSession(REQUEST, command=engine(program), spool=spool) as session:
        assert session.next() is not None
        session.terminate()
        last = session.next()
    assert last is not None
    assert last.payload == {"complete": False}


def test_close_ends_it_and_leaves_no_process(spool: Path | None) -> None:
    session = EngineSession(REQUEST, command=engine(SAY + 'say("notice", text="ready"); signal.pause()'), spool=spool)
    assert session.next() is not None
    pid = session.pid
    assert pid is not None
    session.close()
    session.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_an_engine_that_ignores_sigterm_is_killed(monkeypatch: pytest.MonkeyPatch, spool: Path | None) -> None:
    monkeypatch.setattr("machineid_conformance.session.PATIENCE", 0.1)
    program = (
        SAY + 'signal.signal(signal.SIGTERM, signal.SIG_IGN); say("notice", text="ready")\nwhile True: signal.pause()'
    )
    session = EngineSession(REQUEST, command=engine(program), spool=spool)
    assert session.next() is not None
    pid = session.pid
    session.close()
    assert pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_its_standard_input_stays_open_until_we_let_go() -> None:
    program = (
        SAY
        + """
    sys.stdin.readline()
    say("notice", text="ready")
    say("finished", rest=sys.stdin.read())
    """.replace("\n    ", "\n")
    )
    session = EngineSession(REQUEST, command=engine(program))
    assert session.next() is not None
    lifeline = session._lifeline
    os.close(lifeline)  # what the death of our process would do
    session._lifeline = -1
    last = session.next()
    session.close()
    assert last is not None
    assert last.kind == "finished"


def test_what_would_bend_the_engine_is_not_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COVERAGE_PROCESS_START", "x")
    monkeypatch.setenv("PYTEST_CURRENT_TEST", "x")
    monkeypatch.setenv("KEPT", "yes")
    program = SAY + 'say("finished", names=sorted(os.environ), group=os.getpgrp() == os.getpid())'
    with EngineSession(REQUEST, command=engine(program)) as session:
        last = session.next()
    assert last is not None
    assert "KEPT" in last.payload["names"]
    assert not {"COVERAGE_PROCESS_START", "PYTEST_CURRENT_TEST"} & set(last.payload["names"])
    assert last.payload["group"] is True  # Ctrl-C in a terminal reaches us, and not the engine


def test_many_can_follow_one_spool(tmp_path: Path) -> None:
    path = tmp_path / "messages.jsonl"
    program = SAY + 'say("notice", text="1"); say("finished", exit=0)'
    with EngineSession(REQUEST, command=engine(program), spool=path) as session:
        followers = [Spool(path), Spool(path)]
        kinds = [[follower.next().kind for _ in range(2)] for follower in followers]  # type: ignore[union-attr]
        assert kinds == [["notice", "finished"]] * 2
        while session.next() is not None:
            pass
    for follower in followers:
        follower.close()


def test_a_signal_that_interrupts_the_wait_leaves_the_session_whole() -> None:
    program = (
        SAY
        + """
    say("notice", text="ready")
    os.kill(os.getppid(), signal.SIGUSR1)
    signal.sigwait([signal.SIGTERM])
    say("finished", exit=3)
    """.replace("\n    ", "\n")
    )
    program = "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])\n" + program

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with EngineSession(REQUEST, command=engine(program)) as session:
            # The signal comes before the message is read, or while the next one is waited for.
            with pytest.raises(KeyboardInterrupt):
                _ = [session.next(), session.next()]
            session.terminate()
            last = session.next()
            while last is not None and last.kind != "finished":
                last = session.next()
        assert last is not None
        assert last.payload == {"exit": 3}
    finally:
        signal.signal(signal.SIGUSR1, before)
