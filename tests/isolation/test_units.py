"""The parts that need no process."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from machineid_conformance.config.model import Target
from machineid_conformance.isolation import packets, remedies, trust
from machineid_conformance.isolation.environment import target_environment
from machineid_conformance.isolation.lines import Line, LineSplitter
from machineid_conformance.isolation.wire import Channel
from tests.isolation.support import program

# -- lines -----------------------------------------------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=40)), st.integers(min_value=1, max_value=16))
def test_no_byte_is_lost_and_chunks_do_not_matter(chunks: list[bytes], limit: int) -> None:
    whole, parts = LineSplitter(limit=limit), LineSplitter(limit=limit)
    data = b"".join(chunks)
    at_once = [*whole.feed(data), *whole.flush()]
    bit_by_bit = [line for chunk in chunks for line in parts.feed(chunk)]
    bit_by_bit += parts.flush()
    assert bit_by_bit == at_once
    text = "".join(line.text + ("" if line.continues else "\n") for line in at_once)
    expected = data.replace(b"\r\n", b"\n")
    assert all(len(line.text) <= limit * 4 for line in at_once)
    if all(byte < 0x80 for byte in expected) and b"\r" not in expected:
        assert text == expected.decode() + ("" if not expected or expected.endswith(b"\n") else "\n")


def test_lines_are_split_where_they_end() -> None:
    splitter = LineSplitter()
    assert list(splitter.feed(b"one\ntw")) == [Line(text="one")]
    assert list(splitter.feed(b"o\r\n\n")) == [Line(text="two"), Line(text="")]
    assert splitter.flush() == ()
    assert list(splitter.feed("ü".encode()[:1])) == []
    assert list(splitter.feed("ü".encode()[1:] + b"\xff\n")) == [Line(text="ü\\xff")]


def test_a_long_line_is_not_split_inside_a_character() -> None:
    splitter = LineSplitter(limit=4)
    lines = [*splitter.feed("aüüü\n".encode()), *splitter.flush()]
    assert lines == [Line(text="aü", continues=True), Line(text="üü")]


# -- environment -------------------------------------------------------------------------------------------------------------


def target(**fields: object) -> Target:
    return Target(name="t", command=("x",), cwd=Path("/"), **fields)  # type: ignore[arg-type]


def environment(
    inherited: dict[str, str], device: str | None = "d:1", port: int | None = None, **fields: object
) -> dict[str, str]:
    return target_environment(
        target(**fields),
        {"HOME": "/machineid/home"},
        org_key="org_1",
        device=device,
        port=port,
        n=3,
        inherited=inherited,
    )


def test_only_what_is_needed_is_inherited() -> None:
    inherited = {
        "PATH": "/bin:/usr/bin", "LANG": "C.UTF-8", "HOME": "/home/me", "HTTPS_PROXY": "http://x", "AWS_SECRET": "s",
        "MACHINEID_ORG_KEY": "org_real", "PYTEST_ADDOPTS": "-x", "COV_CORE_SOURCE": "x", "VIRTUAL_ENV": "/v", "AWS_REGION": "eu",
        "PYTHONPATH": "/p", "LC_ALL": "C",
    }  # fmt: skip
    found = environment(inherited, pass_env=("AWS_R*", "*"[:0] + "PYTHONPATH"))
    first, *rest = found.pop("PATH").split(":")
    assert (Path(first) / "python").exists() or (Path(first) / "python3").exists()
    assert rest == ["/bin", "/usr/bin"]
    assert found == {
        "LANG": "C.UTF-8", "LC_ALL": "C", "VIRTUAL_ENV": "/v", "AWS_REGION": "eu", "PYTHONPATH": "/p", "HOME": "/machineid/home",
        "MACHINEID_ORG_KEY": "org_1", "MACHINEID_DEVICE_ID": "d:1", "PYTHONUNBUFFERED": "1",
    }  # fmt: skip


def test_a_glob_does_not_let_the_harness_in_but_a_name_does() -> None:
    inherited = {"HTTP_PROXY": "x", "PYTEST_X": "x", "MACHINEID_X": "x", "OTHER": "x"}
    assert "HTTP_PROXY" not in environment(inherited, pass_env=("*",))
    assert environment(inherited, pass_env=("*",))["OTHER"] == "x"
    assert environment(inherited, pass_env=("HTTP_PROXY",))["HTTP_PROXY"] == "x"


def test_declared_values_are_filled_in() -> None:
    found = environment(
        {},
        port=8123,
        env={"KEY": "{org_key}", "ID": "w:{n:02}:{n}", "URL": "http://x:{port}/{device}", "JSON": '{"a": 1}'},
    )
    assert (found["KEY"], found["ID"], found["URL"], found["JSON"]) == (
        "org_1",
        "w:03:3",
        "http://x:8123/d:1",
        '{"a": 1}',
    )
    assert found["PORT"] == "8123"
    assert "MACHINEID_BASE_URL" not in found
    assert environment({}, base_url=True)["MACHINEID_BASE_URL"] == "https://machineid.io"
    assert "MACHINEID_DEVICE_ID" not in environment({}, device=None)


# -- trust -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("organization", ["trustme", "  Two   Words  and  MORE ", "Ünïcode AG", "x" * 64])
def test_the_subject_hash_is_that_of_openssl(tmp_path: Path, organization: str) -> None:
    authority = trustme.CA(organization_name=organization)
    pem = authority.cert_pem.bytes()
    path = tmp_path / "ca.pem"
    path.write_bytes(pem)
    shown = subprocess.run(
        [program("openssl"), "x509", "-noout", "-subject_hash", "-in", str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert trust.subject_hash(x509.load_pem_x509_certificate(pem)) == shown.stdout.strip()


def test_the_bundles_of_the_interpreter_behind_a_command_are_found(tmp_path: Path) -> None:
    packages = tmp_path / "venv" / "lib" / "python3.11" / "site-packages" / "certifi"
    packages.mkdir(parents=True)
    (packages / "cacert.pem").touch()
    python = tmp_path / "venv" / "bin" / "python"
    python.parent.mkdir()
    python.symlink_to("/bin/sh")
    script = tmp_path / "agent"
    script.write_text(f"#!{python} -u\n")
    script.chmod(0o755)
    for command in (
        [str(python), "-m", "agent"],
        ["./agent"],
        ["/usr/bin/env", str(python), "agent.py"],
        ["sh", "-c", str(python)],
    ):
        assert ("ca.pem", str(packages / "cacert.pem")) in trust.trust_binds(command, tmp_path), command


# -- packets -----------------------------------------------------------------------------------------------------------------


def packet(protocol: int, source: str, transport: bytes) -> bytes:
    return (
        bytes([0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0])
        + socket.inet_aton(source)
        + socket.inet_aton("127.0.0.1")
        + transport
    )


def test_only_the_rst_that_answers_a_connect_to_the_control_plane_counts() -> None:
    def rst(sequence: int, flags: int) -> bytes:
        return struct.pack("!HHIIBBHHH", 443, 50000, sequence, 1, 0x50, flags, 0, 0, 0)

    def parse(source: str, transport: bytes, protocol: int = 6) -> tuple[str, str, int, int] | None:
        return packets.parse(packet(protocol, source, transport), control_address="198.18.0.1")

    assert parse("198.18.0.1", rst(0, 0x14)) == ("refused", "198.18.0.1", 443, 0)
    assert parse("198.18.0.1", rst(77, 0x14)) is None  # a connection that was reset later
    assert parse("198.18.0.2", rst(0, 0x14)) is None
    assert parse("198.18.0.1", struct.pack("!HHHH", 5000, 443, 13, 0) + b"quic?", 17) == (
        "datagram",
        "127.0.0.1",
        443,
        5,
    )
    assert parse("198.18.0.1", b"", 6) is None
    assert packets.parse(b"short", control_address="198.18.0.1") is None


# -- wire --------------------------------------------------------------------------------------------------------------------


def test_messages_and_their_descriptors_arrive_together() -> None:
    left, right = socket.socketpair()
    a, b = Channel(left), Channel(right)
    read, write = os.pipe()
    a.send({"n": 1})
    a.send({"n": 2, "text": "ü\n"}, (read, write))
    a.send({"n": 3})
    received: list[tuple[dict[str, Any], list[int]]] = []
    while len(received) < 3:
        received += b.receive()
    assert [message["n"] for message, _ in received] == [1, 2, 3]
    assert received[1][0]["text"] == "ü\n"
    fds = received[1][1]
    os.write(fds[1], b"x")
    assert os.read(read, 1) == b"x"
    assert not os.get_inheritable(fds[0])
    for fd in (read, write, *fds):
        os.close(fd)
    a.close()
    assert b.receive() == []
    assert b.ended
    b.close()


# -- remedies ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stage", "number", "words"),
    [
        ("user namespace", 28, "sudo sysctl -w user.max_user_namespaces="),
        ("user namespace", 1, "--security-opt seccomp=unconfined"),
        ("mount a tmpfs", 13, "--security-opt apparmor=unconfined"),
        ("nf_tables", 95, "sudo modprobe -a nf_tables"),
        ("working folder overlay", 22, 'workdir = "copy"'),
        ("something else", 5, "please report it"),
    ],
)
def test_every_refusal_says_why_what_to_do_and_what_is_weaker(stage: str, number: int, words: str) -> None:
    message = remedies.explain(stage, number, "detail")
    assert words in message
    assert 'isolation = "proxy"' in message


def test_ubuntus_restriction_is_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        remedies, "_sysctl", lambda name: "1" if name == "kernel.apparmor_restrict_unprivileged_userns" else None
    )
    assert "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0" in remedies.explain("loopback", 1, "")
    assert "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0" in remedies.explain("private mounts", 13, "")
