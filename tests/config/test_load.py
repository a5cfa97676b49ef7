"""A configuration file becomes frozen values; the example is the one of the manual."""

from __future__ import annotations

import hashlib
from datetime import date
from pathlib import Path

import pytest

from machineid_conformance.config.errors import ConfigurationError
from machineid_conformance.config.find import discover
from machineid_conformance.config.load import from_command, load
from machineid_conformance.config.model import EffectRule, ExpectedFailure, Group, Match, ScriptedAnswer
from machineid_conformance.config.overrides import Overrides

EXAMPLE = """
edition = 1
scenarios = ["conformance/*.yaml"]     # the user's own, beside the catalogue

[targets.worker]
command = ["python", "worker.py"]
cwd = "."
env = { FEATURE = "1", KEY = "{org_key}" }
pass_env = ["AWS_REGION"]
device = "worker:dev:queue-consumer:01"
instances = 1
preregistered = false
profile = "medium"
concurrency = 1
sweep = "kinds"
horizon = 8
max_gap = 10
stop_within = "5s"
grace_window = "15m"
start_within = "30s"
run_within = "120s"
idle_after = "2s"
speed = "auto"
isolation = "auto"
passthrough = ["localhost:5432"]
expose = ["/run/postgresql"]
workdir = "overlay"
setup = "python reset_db.py"
control_plane = ["machineid.io"]
base_url = false
strict = false
logs = ["var/log/*.jsonl"]
bypass_env = [ { FAIL_OPEN = "1" } ]
variants = [ { APP_ENV = "prod" } ]
xfail = { "logging/structured" = { reason = "plain prints until OPS-1", until = 2027-01-31 } }

[[targets.worker.effects]]
match = { method = "GET", host = "queue.example", path = "/next" }
role = "task-source"
label = "dequeue"
device = "worker:dev:queue-consumer:01"
answers = [ { json = { id = 1 } }, { json = { id = 2 } }, { status = 204 } ]
group = "upload"

[targets.hook]
command = "python hook.py --port {port}"
cwd = "hook"

[targets.hook.stimulus]
listen = "http://127.0.0.1:{port}"
requests = [ { method = "POST", path = "/hook", json = { n = 1 } } ]
count = 4
denied_status = 403

[groups.pair]
targets = ["worker", "hook"]
"""


def write(folder: Path, text: str, name: str = "machineid-conformance.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_the_example_of_the_manual(tmp_path: Path) -> None:
    (tmp_path / "hook").mkdir()
    path = write(tmp_path, EXAMPLE)

    configuration = load(path, known_rules={"logging/structured"})

    worker, hook = configuration.targets
    assert configuration.path == path
    assert configuration.edition == 1
    assert configuration.scenarios == ("conformance/*.yaml",)
    assert configuration.groups == (Group(name="pair", targets=("worker", "hook")),)
    assert configuration.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert worker.name == "worker"
    assert worker.command == ("python", "worker.py")
    assert worker.cwd == tmp_path.resolve()
    assert worker.env == {"FEATURE": "1", "KEY": "{org_key}"}
    assert worker.devices == ("worker:dev:queue-consumer:01",)
    assert (worker.stop_within, worker.grace_window, worker.run_within, worker.idle_after) == (5.0, 900.0, 120.0, 2.0)
    assert worker.speed == "auto"
    assert worker.passthrough == ("localhost:5432",)
    assert worker.bypass_env == ({"FAIL_OPEN": "1"},)
    assert worker.variants == ({"APP_ENV": "prod"},)
    assert worker.xfail == {
        "logging/structured": ExpectedFailure(reason="plain prints until OPS-1", until=date(2027, 1, 31))
    }
    assert worker.effects == (
        EffectRule(
            match=Match(method="GET", host="queue.example", path="/next"),
            role="task-source",
            label="dequeue",
            device="worker:dev:queue-consumer:01",
            answers=(ScriptedAnswer(json={"id": 1}), ScriptedAnswer(json={"id": 2}), ScriptedAnswer(status=204)),
            group="upload",
        ),
    )
    assert hook.command == ("python", "hook.py", "--port", "{port}")
    assert hook.cwd == (tmp_path / "hook").resolve()
    assert hook.devices == ()
    assert hook.stimulus is not None
    assert hook.stimulus.listen == "http://127.0.0.1:{port}"
    assert [(r.method, r.path, r.json) for r in hook.stimulus.requests] == [("POST", "/hook", {"n": 1})]


def test_the_same_tables_in_pyproject(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        '[project]\nname = "x"\n\n[tool.machineid-conformance.targets.worker]\ncommand = ["python", "w.py"]\n',
        "pyproject.toml",
    )

    assert load(path).targets[0].command == ("python", "w.py")


def test_an_error_in_pyproject_names_the_whole_key(tmp_path: Path) -> None:
    path = write(tmp_path, "[tool.machineid-conformance.targets.worker]\ncommnd = []\n", "pyproject.toml")

    with pytest.raises(ConfigurationError) as raised:
        load(path)

    assert raised.value.key == "tool.machineid-conformance.targets.worker.commnd"
    assert "did you mean 'command'?" in str(raised.value)


def test_instances_have_devices_of_their_own(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        '[targets.w]\ncommand = ["w"]\ninstances = 3\ndevices = ["w:dev:a:{n:02}", "w:dev:shared"]\n'
        '[[targets.w.effects]]\nmatch = { host = "a.example" }\ndevice = "w:dev:a:{n:02}"\n',
    )

    target = load(path).targets[0]

    assert target.devices == ("w:dev:a:01", "w:dev:shared", "w:dev:a:02", "w:dev:a:03")
    assert target.devices_of(2) == ("w:dev:a:02", "w:dev:shared")


def test_durations_are_seconds(tmp_path: Path) -> None:
    path = write(tmp_path, '[targets.w]\ncommand = ["w"]\nidle_after = "250ms"\nrun_within = 90\ngrace_window = "1h"\n')

    target = load(path).targets[0]

    assert (target.idle_after, target.run_within, target.grace_window) == (0.25, 90.0, 3600.0)


def test_overrides_of_the_command_line(tmp_path: Path) -> None:
    path = write(tmp_path, '[targets.w]\ncommand = ["w"]\nprofile = "low"\n')

    target = load(path, overrides=Overrides(profile="high", isolation="proxy", speed="20", strict=True)).targets[0]

    assert (target.profile, target.isolation, target.speed, target.strict) == ("high", "proxy", 20.0, True)
    assert load(path, overrides=Overrides()).targets[0].profile == "low"


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (
            Overrides(profile="hihg"),
            "command line: profile: found 'hihg' (a string); expected one of low, medium, high",
        ),
        (Overrides(isolation="docker"), "command line: isolation: found 'docker'"),
        (Overrides(speed="0"), "command line: speed: found '0' (a string); expected auto, 1, or a factor above 1"),
    ],
)
def test_overrides_are_checked(tmp_path: Path, overrides: Overrides, words: str) -> None:
    path = write(tmp_path, '[targets.w]\ncommand = ["w"]\n')

    with pytest.raises(ConfigurationError) as raised:
        load(path, overrides=overrides)

    assert words in str(raised.value)


def test_from_a_command_alone(tmp_path: Path) -> None:
    configuration = from_command(["python", "agent.py"], device="agent:01", cwd=tmp_path)

    target = configuration.targets[0]
    assert configuration.path is None
    assert (target.name, target.command, target.devices) == ("command", ("python", "agent.py"), ("agent:01",))
    assert target.cwd == tmp_path.resolve()
    assert configuration.sha256 == from_command("python agent.py", device="agent:01", cwd=tmp_path).sha256
    assert configuration.sha256 != from_command("python agent.py", cwd=tmp_path).sha256


def test_an_empty_command_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"^command line: command: "):
        from_command([], cwd=tmp_path)


def test_discover_prefers_the_file_of_its_own_name(tmp_path: Path) -> None:
    assert discover(tmp_path) is None
    pyproject = write(tmp_path, '[project]\nname = "x"\n', "pyproject.toml")
    assert discover(tmp_path) is None
    pyproject.write_text("not [toml", encoding="utf-8")
    assert discover(tmp_path) is None
    pyproject.write_text("[tool.machineid-conformance]\n", encoding="utf-8")
    assert discover(tmp_path) == pyproject
    own = write(tmp_path, "")
    assert discover(tmp_path) == own
