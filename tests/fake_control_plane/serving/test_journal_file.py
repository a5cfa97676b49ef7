from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from fake_control_plane.serving import journal_file
from fake_control_plane.serving.journal import Journal
from fake_control_plane.serving.journal_file import JournalFile
from fake_control_plane.serving.service import Service
from tests.fake_control_plane.serving.ports import Loop, on_both_loops, run, serving
from tests.fake_control_plane.serving.servers import disk_of


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]


def record(journal: Journal, device: str = "a") -> None:
    journal.record(1.0, "call", "org-1", "validate", device)


def test_what_was_flushed_is_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(capacity=2, file=JournalFile(path))
    for number in range(5):
        record(journal, f"device-{number}")
    assert path.read_bytes() == b""
    journal.flush()
    # The memory has dropped three of them; the file has them all.
    assert journal.dropped == 3
    assert [(line["number"], line["device"]) for line in lines(path)] == [(n + 1, f"device-{n}") for n in range(5)]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_server_goes_on_behind_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    for _ in range(2):
        journal = Journal(file=JournalFile(path))
        record(journal)
        record(journal)
        assert journal.recorded == 2
        journal.close()
    assert [line["number"] for line in lines(path)] == [1, 2, 3, 4]
    journal = Journal(file=JournalFile(path))
    # Numbers go on, and none of the earlier server's are said to be dropped.
    assert (journal.first, journal.last, journal.dropped) == (5, 4, 0)
    assert journal.since(0).missed == 0
    journal.close()


def test_a_line_that_was_cut_off_stays_and_the_next_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b'{"number":41,"device":"a"}\n{"number":42,"dev')
    journal = Journal(file=JournalFile(path))
    record(journal)
    journal.close()
    written = path.read_text(encoding="ascii").splitlines()
    assert written[1] == '{"number":42,"dev'
    assert json.loads(written[2])["number"] == 42


@pytest.mark.parametrize("content", [b"hello\n", b"[1]\n", b'{"name": 1}\n', b"\xff" * 100_000])
def test_a_file_of_something_else_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="expected a new file, or a journal"):
        JournalFile(path)
    assert path.read_bytes() == content


def test_two_servers_do_not_write_one_file(tmp_path: Path) -> None:
    first = JournalFile(tmp_path / "journal")
    with pytest.raises(ValueError, match="another server writes this file"):
        JournalFile(tmp_path / "journal")
    first.close()
    JournalFile(tmp_path / "journal").close()


def test_a_full_disk_is_said_and_survived_and_nothing_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = Journal(file=JournalFile(path))
    with disk_of(250):
        for number in range(3):
            record(journal, f"device-{number}")
            journal.flush()
        assert journal.problem is not None
        assert "File too large" in journal.problem
        assert str(path) in journal.problem
        assert path.stat().st_size == 250  # in the middle of a line
    record(journal, "device-3")
    journal.flush()
    assert journal.problem is None
    assert [line["device"] for line in lines(path)] == [f"device-{number}" for number in range(4)]
    journal.close()


def test_what_the_memory_cannot_hold_is_counted_where_it_would_have_stood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_file, "HELD", 1000)
    path = tmp_path / "journal"
    journal = Journal(file=JournalFile(path))
    with disk_of(0):
        for _ in range(100):
            record(journal)
            journal.flush()
        assert journal.problem is not None
        held = len(journal._file._unwritten)  # type: ignore[union-attr]
        assert held <= 1000
    record(journal)
    journal.flush()
    found = lines(path)
    kept = [line["number"] for line in found if "number" in line]
    lost = [line["lost"] for line in found if "lost" in line]
    assert kept == list(range(1, len(kept) + 1))
    assert lost == [101 - len(kept)]  # the one after there was room came behind what waited, and is among them
    assert list(found[-1]) == ["lost"]
    journal.close()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no /dev/full")  # noqa: PTH110
def test_a_device_that_takes_nothing(tmp_path: Path) -> None:
    del tmp_path
    journal = Journal(file=JournalFile(Path("/dev/full")))
    record(journal)
    journal.flush()
    assert "No space left on device" in (journal.problem or "")
    journal.close()


@on_both_loops
def test_an_answer_leaves_when_its_call_is_in_the_file(loop: Loop, tmp_path: Path) -> None:
    """Validates of one round, with other calls among them, and more of them than the memory keeps."""
    path = tmp_path / "journal.jsonl"
    operations = ["validate", "validate", "register", "validate", "revoke", "validate"] * 10

    async def test() -> None:
        service = Service(journal=Journal(capacity=8, file=JournalFile(path)))
        async with serving(service=service) as running:
            client = await running.connect()
            client.send(*(client.post(operation, "allowed") for operation in operations))
            for number in range(len(operations)):
                await client.response()
                assert len([line for line in lines(path) if line["kind"] == "call"]) > number
            last = await client.ask(client.post("validate", "allowed"))
            assert lines(path)[-1]["request_id"] == last.json["request_id"]
        service.close()

    run(loop, test())
    written = lines(path)
    assert [line["number"] for line in written] == list(range(1, len(written) + 1))
    assert [line["operation"] for line in written if line["kind"] == "call"] == [*operations, "validate"]
