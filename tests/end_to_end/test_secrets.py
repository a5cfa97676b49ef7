"""Secrets are in no output: a target that leaks all it knows, wherever it can, and nothing of it is in any file or on any screen."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from tests.end_to_end.equality import PYTEST
from tests.end_to_end.support import WORKER, Judged, config, judge

ENVIRONMENT = {
    "DB_PASSWORD": 'pl4nted/p@ss w+rd="Zoë&42"',
    "QUEUE_TOKEN": "pl4ntedQueueToken0123456789",
}
IN_HEADERS = {
    "Authorization": "Bearer pl4ntedBearerToken77",
    "Cookie": "session=pl4ntedCookie88; theme=dark",
    "x-api-key": "pl4ntedApiKey99",
}
MENTIONED = {"pl4ntedBearerToken77", "pl4ntedCookie88", "pl4ntedApiKey99"}

LEAK = (
    """
import base64, traceback, urllib.parse
HEADERS = """
    + repr(IN_HEADERS)
    + """
SECRETS = [ORG_KEY, os.environ["DB_PASSWORD"], os.environ["QUEUE_TOKEN"]]

def leak():
    print("reversed", ORG_KEY[::-1])
    print("inherited", os.environ.get("NOT_FOR_THE_TARGET"))
    print(json.dumps(dict(os.environ)), file=sys.stderr)
    print(dict(os.environ))
    for name, value in HEADERS.items():
        print(f"{name}: {value}")
        log(headers={name: value})
        print(f"curl -H '{name}: {value}'", file=sys.stderr)
    os.makedirs("var", exist_ok=True)
    with open("var/app.log", "a") as file:
        print("config", SECRETS, *SECRETS, sys.argv, file=file)
    for secret in SECRETS:
        spoken = urllib.parse.quote(secret, safe="")
        encoded = base64.b64encode(("user:" + secret).encode()).decode()
        headers = {**HEADERS, "x-customer": spoken, "Proxy-Authorization": "Basic " + encoded}
        body = {"secret": secret, "headers": HEADERS, "again": [secret]}
        request("POST", "api.example", f"/note/{spoken}?password={urllib.parse.quote_plus(secret)}", body, **headers)
        request("POST", "logs.example", "/ingest", {"message": f"the secret is {secret}", "headers": HEADERS}, **headers)
        request("GET", "machineid.io", f"/api/v1/devices/list?key={spoken}", None, **{"x-org-key": ORG_KEY})
        print("url", f"https://user:{spoken}@db.example/{spoken}?p={urllib.parse.quote_plus(secret)}")
    try:
        raise ValueError(SECRETS)
    except ValueError:
        traceback.print_exc()
    sys.stdout.flush()

def main() -> None:"""
)
LEAKY = (
    WORKER.replace("\ndef main() -> None:", LEAK)
    .replace('        gate("task")\n', '        leak()\n        gate("task")\n')
    .replace("except RefusedError:\n    sys.exit", "except RefusedError:\n    print(ORG_KEY)\n    sys.exit")
)
KEYS = """
pass_env = ["DB_*", "QUEUE_TOKEN"]
env = { COPY_OF_KEY = "{org_key}", DSN = "postgres://u:{org_key}@db.example/x" }
logs = ["var/*.log"]
"""
LOGS = """
[[targets.worker.effects]]
match = { host = "logs.example" }
role = "log"
"""
CHOSEN = ["revoke-at-boundary", "rotate-key-at-boundary", "fail-closed-redirect"]
VARIANT = "302-other-host"
INHERITED = "pl4ntedButNeverHandedOn"


def configuration() -> str:
    text = config(KEYS) + LOGS
    return text.replace('command = ["python", "worker.py"]', 'command = ["python", "worker.py", "--key={org_key}"]')


def spellings(secret: str) -> set[str]:
    """A secret as it is, and as URLs, JSON, Python and Basic authorization say it."""
    escaped = {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1]}
    return (
        {secret, quote(secret, safe=""), quote(secret), quote_plus(secret)}
        | escaped
        | {base64.b64encode(f"user:{secret}".encode()).decode()}
    )


def everything(session: Judged) -> dict[str, str]:
    """Whatever the session wrote, by where it stands; JSON also as it reads, its escapes undone."""
    found = {"stdout": session.stdout, "stderr": session.stderr}
    for path in sorted(session.report.parent.rglob("*")):
        if path.is_file() and "project" not in path.relative_to(session.report.parent).parts[:1]:
            found[str(path)] = path.read_text(encoding="utf-8")
    for name, text in list(found.items()):
        found[f"{name}, escapes undone"] = re.sub(r'\\(["\\/])', r"\1", text)
    return found


def org_keys(session: Judged) -> set[str]:
    """The keys of all runs: the target spelled its own backwards, which no redaction expects."""
    return {found[::-1] for text in everything(session).values() for found in re.findall(r"reversed (\w+_gro)\b", text)}


def leaks(session: Judged) -> list[str]:
    keys = org_keys(session)
    assert len(keys) > 3, session.said  # one a run
    secrets = keys | set(ENVIRONMENT.values()) | MENTIONED | {INHERITED}
    return [
        f"{where}: {spelling} in {text[max(0, at - 80) : at + 80]!r}"
        for where, text in everything(session).items()
        for secret in sorted(secrets)
        for spelling in sorted(spellings(secret))
        if (at := text.find(spelling)) >= 0
    ]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    chosen = [word for name in CHOSEN for word in ("--scenario", name)] + ["--variant", VARIANT]
    environment = {**ENVIRONMENT, "NOT_FOR_THE_TARGET": INHERITED}
    folder = tmp_path_factory.mktemp("leaky")
    return judge(folder, configuration(), {"worker.py": LEAKY}, *chosen, environment=environment)


def test_the_target_leaked(session: Judged) -> None:
    """Otherwise the other tests would show nothing: the harness saw it, and says so by the marks."""
    assert session.exit == 1, session.said
    assert session.rules["identity/no-secrets"]["status"] == "fail", session.said
    assert session.rules["logging/no-secrets"]["status"] == "fail", session.said
    text = "".join(everything(session).values())
    for mark in ("[redacted: org key]", "[redacted: secret]", "[redacted: old org key]"):
        assert mark in text


def test_no_secret_is_in_any_file_of_the_report_or_on_the_screen(session: Judged) -> None:
    assert leaks(session) == []


def test_what_is_not_passed_on_does_not_reach_the_target(session: Judged) -> None:
    assert "inherited None" in "".join(everything(session).values())


def test_nor_in_what_pytest_prints_and_writes(tmp_path: Path) -> None:
    session = judge(
        tmp_path,
        configuration(),
        {"worker.py": LEAKY},
        "--machineid-scenario=baseline",
        "--machineid-scenario=revoke-at-boundary",
        f"--junitxml={tmp_path / 'junit.xml'}",
        "-rA",
        environment={**ENVIRONMENT, "NOT_FOR_THE_TARGET": INHERITED},
        command=PYTEST,
    )
    assert session.exit == 1, session.said
    assert "FAILED" in session.stdout
    assert (tmp_path / "junit.xml").is_file()
    assert leaks(session) == []


def test_nor_in_the_words_of_a_setup_that_fails(tmp_path: Path) -> None:
    setup = config('setup = "echo connecting with $DB_PASSWORD; exit 3"\npass_env = ["DB_*"]')
    session = judge(tmp_path, setup, {"worker.py": WORKER}, environment=ENVIRONMENT)
    assert session.exit == 2, session.said
    assert "ended with status 3:\nconnecting with [redacted: secret]" in session.stderr
    assert "pl4nted" not in session.stderr


def test_nor_in_the_words_about_a_command_that_cannot_be_executed(tmp_path: Path) -> None:
    unknown = config().replace('["python", "worker.py"]', '["no-such-program", "--key={org_key}"]')
    session = judge(tmp_path, unknown, {"worker.py": WORKER})
    assert session.exit == 2, session.said
    assert "'--key=[redacted: org key]'] cannot be executed" in session.stderr
