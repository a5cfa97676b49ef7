from __future__ import annotations

import json
from pathlib import Path

import pytest

from machineid_conformance.trace.events import ControlAnswered, Event, Output, RunStarted, from_json
from machineid_conformance.trace.reader import TraceError, read
from machineid_conformance.trace.redact import OLD_KEY_MARK, ORG_KEY_MARK, SECRET_MARK, Redactor
from machineid_conformance.trace.writer import TraceWriter

HEADER = RunStarted(run="worker/baseline/1", target="worker", scenario="baseline", rules=("startup/gate",))
OUTPUT = Output(instance=1, start=1, stream="stdout", text="hello")
ANSWER = ControlAnswered(call=1, operation="validate", device="d", status=200, decision="allow", request_id="r")


def write(path: Path, *events: Event, redactor: Redactor | None = None) -> tuple[Event, ...]:
    times = iter(range(1, 100))
    writer = TraceWriter(path, clock=lambda: next(times) / 10, redactor=redactor or Redactor())
    written = tuple(writer.write(event) for event in events)
    writer.close()
    return written


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    written = write(tmp_path / "t.jsonl", HEADER, OUTPUT, ANSWER)
    assert read(tmp_path / "t.jsonl") == written
    assert [(event.seq, event.at) for event in written] == [(1, 0.1), (2, 0.2), (3, 0.3)]


def test_time_never_runs_backwards(tmp_path: Path) -> None:
    times = iter([0.5, 0.2, 0.7])
    writer = TraceWriter(tmp_path / "t.jsonl", clock=lambda: next(times), redactor=Redactor())
    assert [writer.write(event).at for event in (HEADER, OUTPUT, ANSWER)] == [0.5, 0.5, 0.7]
    writer.close()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "found an empty file"),
        ([1], "expected run-started on the first line, found output"),
        ([0, 2], "expected seq 2, found 3"),
        ([0, 0], "expected seq 2, found 1"),
    ],
)
def test_a_trace_that_was_tampered_with_is_not_judged(tmp_path: Path, lines: list[int], message: str) -> None:
    path = tmp_path / "t.jsonl"
    write(path, HEADER, OUTPUT, ANSWER)
    whole = path.read_text().splitlines()
    kept = [whole[number] for number in lines]
    if lines == [1]:
        kept = [whole[1].replace('"seq":2', '"seq":1')]
    path.write_text("".join(line + "\n" for line in kept))
    with pytest.raises(TraceError, match=message):
        read(path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"seq": 1, "at": 0, "event": "applause"}, "unknown event 'applause'"),
        ({"seq": 1, "at": 0, "event": "output", "text": "x"}, "missing 3 required"),
        ({"seq": 1, "at": 0, "event": "run-ended", "reason": "gone", "mood": "good"}, "unexpected keyword"),
    ],
)
def test_an_event_that_is_none_is_named(line: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_json(line)


def test_known_secrets_get_the_mark_that_says_which_they_were(tmp_path: Path) -> None:
    redactor = Redactor({"org_current1": ORG_KEY_MARK, "org_previous": OLD_KEY_MARK})
    redactor.learn("s3cr3t-of-pass-env")
    redactor.learn("abc")  # too short to be a secret: replacing it would mangle every text
    text = "org_current1 org_previous s3cr3t-of-pass-env abc org_0fSomebodyElse"
    write(tmp_path / "t.jsonl", HEADER, Output(instance=1, start=1, stream="stdout", text=text), redactor=redactor)
    (_, output) = read(tmp_path / "t.jsonl")
    assert isinstance(output, Output)
    assert output.text == f"{ORG_KEY_MARK} {OLD_KEY_MARK} {SECRET_MARK} abc {SECRET_MARK}"


@pytest.mark.parametrize(
    "spelled",
    [
        'p@ss/w+rd "Zoë"',
        "p%40ss%2Fw%2Brd%20%22Zo%C3%AB%22",  # a URL's path
        "p%40ss%2fw%2brd%20%22Zo%c3%ab%22",
        "p%40ss/w%2Brd%20%22Zo%C3%AB%22",
        "p%40ss%2Fw%2Brd+%22Zo%C3%AB%22",  # a form
        r"p@ss/w+rd \"Zo\u00eb\"",  # JSON
        r"p@ss/w+rd \"Zoë\"",
    ],
)
def test_a_known_secret_is_known_however_it_is_spelled(spelled: str) -> None:
    redactor = Redactor()
    redactor.learn('p@ss/w+rd "Zoë"')
    assert redactor.text(f"<{spelled}>") == f"<{SECRET_MARK}>"


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("Authorization: Bearer abcdef", f"Authorization: {SECRET_MARK}"),
        ('{"Cookie": "session=1"}', f'{{"Cookie": "{SECRET_MARK}"}}'),
        ("x-api-key=abcdef next", f"x-api-key={SECRET_MARK}"),
        ("an organisation, authorization granted", "an organisation, authorization granted"),
        (
            "code ORG_DISABLED, error org_not_found, invalid_org_key",
            "code ORG_DISABLED, error org_not_found, invalid_org_key",
        ),
    ],
)
def test_what_looks_like_a_secret_is_replaced(text: str, redacted: str) -> None:
    assert Redactor().text(text) == redacted


def test_secrets_are_replaced_at_every_depth_and_in_keys() -> None:
    redactor = Redactor({"hunter22": SECRET_MARK})
    value = {"hunter22": ["a", {"b": "xhunter22x"}], "n": 1}
    assert json.dumps(redactor.redact(value)) == json.dumps({SECRET_MARK: ["a", {"b": f"x{SECRET_MARK}x"}], "n": 1})
