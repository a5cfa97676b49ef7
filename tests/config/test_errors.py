"""Every mistake is an error that names the file, the key, what was found and what was expected."""

from __future__ import annotations

from pathlib import Path

import pytest

from machineid_conformance.config.errors import ConfigurationError
from machineid_conformance.config.load import load

HEAD = '[targets.w]\ncommand = ["w"]\n'


def message(folder: Path, text: str | bytes, *, rules: set[str] | None = None) -> str:
    path = folder / "machineid-conformance.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigurationError) as raised:
        load(path, known_rules=rules)
    text = str(raised.value)
    assert text.startswith(str(path))
    return text.removeprefix(str(path)).removeprefix(": ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # the file
        ("edition = \n", ":1:11: not TOML: Invalid value"),
        ('[targets.w]\ncommand = ["w"\n', ":3: not TOML: Unclosed array"),
        (b"\n# \xff\n", ":2: byte 0xff is not UTF-8"),
        ("", "has no target; expected [targets.NAME] with a command"),
        ("[targets]\n", "has no target; expected [targets.NAME] with a command"),
        ("targets = 3\n", "targets: found 3 (an integer); expected a table"),
        ("[targets]\nw = 3\n", "targets.w: found 3 (an integer); expected a table"),
        # unknown keys
        (
            "editon = 1\n" + HEAD,
            "editon: unknown key; did you mean 'edition'? known: edition, groups, scenarios, targets",
        ),
        (HEAD + 'profil = "low"\n', "targets.w.profil: unknown key; did you mean 'profile'? known: allow_remote,"),
        (HEAD + 'pass-env = ["A"]\n', "targets.w.pass-env: unknown key; did you mean 'pass_env'?"),
        (HEAD + '"a b" = 1\n', 'targets.w."a b": unknown key; known: allow_remote,'),
        # edition
        ("edition = 2\n" + HEAD, "edition: found 2 (an integer); expected 1, the only edition"),
        ("edition = true\n" + HEAD, "edition: found true (a boolean); expected 1"),
        ('edition = "1"\n' + HEAD, "edition: found '1' (a string); expected 1"),
        # the command
        ("[targets.w]\n", 'targets.w: has no command; expected command = ["python", "worker.py"]'),
        ("[targets.w]\ncommand = []\n", "targets.w.command: found [] (a list); expected a program and its arguments"),
        ('[targets.w]\ncommand = ""\n', "targets.w.command: found '' (a string); expected a program"),
        ("[targets.w]\ncommand = 3\n", "targets.w.command: found 3 (an integer); expected a list of strings, or one"),
        (
            '[targets.w]\ncommand = ["w", 3]\n',
            "targets.w.command[1]: found 3 (an integer); expected a string; put it in",
        ),
        (
            '[targets.w]\ncommand = "sh -c \'x"\n',
            "expected a command line; its quotes do not match (No closing quotation)",
        ),
        (
            '[targets.w]\nimage = "x"\n',
            "targets.w.image: container images are not available in this version; expected command; use command instead",
        ),
        ('[targets.w]\ncallable = "a:b"\n', "targets.w.callable: Python callables are not available in this version"),
        ('[targets.w]\nremote = "r"\n', "targets.w.remote: remote targets are not available in this version"),
        ('[targets."a b"]\ncommand = ["w"]\n', 'targets."a b": found a name that cannot stand on a command line'),
        (HEAD + 'cwd = "nowhere"\n', "expected a folder that exists, relative to the configuration file"),
        # devices
        (HEAD + 'device = "a"\ndevices = ["b"]\n', "targets.w: has both device and devices; expected one of them"),
        (HEAD + "devices = []\n", "targets.w.devices: found [] (a list); expected at least one device id"),
        (HEAD + 'devices = ["a", "a"]\n', "expected device ids that differ"),
        (HEAD + 'device = "a:{n:02}"\n', "targets.w.device: found {n} in 'a:{n:02}'; expected instances = 2 or more"),
        (HEAD + 'device = "a:{m}"\ninstances = 2\n', "targets.w.device: found '{m}' in 'a:{m}'; expected a device id"),
        (HEAD + 'device = "{org_key}"\n', "targets.w.device: found '{org_key}' in '{org_key}'; expected a device id"),
        (HEAD + "device = 7\n", "targets.w.device: found 7 (an integer); expected a string that is not empty"),
        # values
        (HEAD + "instances = 0\n", "targets.w.instances: found 0 (an integer); expected a whole number of 1 or more"),
        (HEAD + "instances = true\n", "targets.w.instances: found true (a boolean); expected a whole number"),
        (HEAD + 'strict = "yes"\n', "targets.w.strict: found 'yes' (a string); expected true or false"),
        (
            HEAD + 'profile = "hihg"\n',
            "targets.w.profile: found 'hihg' (a string); expected one of 'low', 'medium', 'high'; did you mean 'high'?",
        ),
        (
            HEAD + 'stop_within = "5 parsecs"\n',
            "targets.w.stop_within: found '5 parsecs' (a string); expected a duration",
        ),
        (HEAD + 'stop_within = "0s"\n', "targets.w.stop_within: found '0s' (a string); expected a duration above zero"),
        (HEAD + "idle_after = inf\n", "targets.w.idle_after: found inf (not a finite number); expected a duration"),
        (HEAD + "idle_after = true\n", "targets.w.idle_after: found true (a boolean); expected a duration"),
        (HEAD + 'idle_after = "3m"\n', "targets.w.idle_after: found 180 s; expected no more than run_within (120 s)"),
        (HEAD + "speed = 0.5\n", 'targets.w.speed: found 0.5 (a number); expected "auto", 1, or a factor above 1'),
        (HEAD + "env = { A = 1 }\n", "targets.w.env.A: found 1 (an integer); expected a string; put it in quotes"),
        (HEAD + 'env = { "a.b" = 1 }\n', 'targets.w.env."a.b": found 1'),
        (HEAD + "env = 1\n", 'targets.w.env: found 1 (an integer); expected a table such as { NAME = "value" }'),
        (
            HEAD + "bypass_env = { A = '1' }\n",
            "targets.w.bypass_env: found {'A': '1'} (a table); expected a list of tables",
        ),
        (HEAD + "bypass_env = [ {} ]\n", "targets.w.bypass_env[0]: found an empty table; expected a table such as"),
        (HEAD + "logs = 'x'\n", "targets.w.logs: found 'x' (a string); expected a list of strings"),
        (HEAD + "logs = [1]\n", "targets.w.logs[0]: found 1 (an integer); expected a string that is not empty"),
        (
            HEAD + "logs = ['/var/log/x']\n",
            "targets.w.logs[0]: found '/var/log/x' (a string); expected a glob relative",
        ),
        (HEAD + "logs = ['../x']\n", "targets.w.logs[0]: found '../x' (a string); expected a glob relative"),
        (HEAD + "expose = ['run/x']\n", "targets.w.expose[0]: found 'run/x' (a string); expected an absolute path"),
        (HEAD + "passthrough = ['db']\n", "targets.w.passthrough[0]: found 'db' (a string); expected \"host:port\""),
        (HEAD + "passthrough = ['db:0']\n", "targets.w.passthrough[0]: found 'db:0' (a string); expected"),
        (
            HEAD + "passthrough = ['localhost:1', 'db.example:5432']\n",
            "expected a service on this machine (localhost, 127.0.0.1, [::1]); with allow_remote = true",
        ),
        (HEAD + "control_plane = []\n", "targets.w.control_plane: found [] (a list); expected at least one host name"),
        (
            HEAD + "control_plane = ['https://x']\n",
            "targets.w.control_plane[0]: found 'https://x' (a string); expected a host",
        ),
        (HEAD + "env = { P = '{port}' }\n", "targets.w.env: found {port}; expected a stimulus table"),
        (
            '[targets.w]\ncommand = ["w", "{device}"]\n',
            "targets.w.command: found {device}; expected device, or devices",
        ),
        # xfail
        (HEAD + 'xfail = { "a/b" = { reason = "x" } }\n', 'targets.w.xfail."a/b": unknown rule; known: stop/exits'),
        (HEAD + 'xfail = { "stop/exit" = { reason = "x" } }\n', "unknown rule; did you mean 'stop/exits'?"),
        (HEAD + 'xfail = { "stop/exits" = {} }\n', 'targets.w.xfail."stop/exits": has no reason; expected reason ='),
        (
            HEAD + 'xfail = { "stop/exits" = "x" }\n',
            "targets.w.xfail.\"stop/exits\": found 'x' (a string); expected a table",
        ),
        (
            HEAD + 'xfail = { "stop/exits" = { reason = "x", until = 2027-01-31T00:00:00 } }\n',
            "found 2027-01-31 00:00:00 (a date); expected a day, such as 2027-01-31",
        ),
        (HEAD + 'xfail = { "stop/exits" = { reason = "x", until = "soon" } }\n', "expected a day, such as 2027-01-31"),
        # groups
        (
            HEAD + '[groups.g]\ntargets = ["w", "x"]\n',
            "groups.g.targets[1]: found 'x' (a string); expected a target; known: w",
        ),
        (
            HEAD + '[groups.g]\ntargets = ["w"]\n',
            "groups.g.targets: found 1 targets; expected two or more targets that differ",
        ),
        (HEAD + '[groups.g]\ntargets = ["w", "w"]\n', "groups.g.targets: found 2 targets; expected two or more"),
        (HEAD + "[groups.g]\nmembers = []\n", "groups.g.members: unknown key; known: targets"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str | bytes, expected: str) -> None:
    assert expected in message(tmp_path, text, rules={"stop/exits"})


EFFECT = HEAD + 'device = "a"\n[[targets.w.effects]]\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (HEAD + "effects = {}\n", "targets.w.effects: found {} (a table); expected a list of tables"),
        (EFFECT, "targets.w.effects[0]: has no match; expected match = {"),
        (
            EFFECT + "match = {}\n",
            "targets.w.effects[0].match: is empty and would match everything; expected at least one of",
        ),
        (EFFECT + 'match = { hots = "x" }\n', "targets.w.effects[0].match.hots: unknown key; did you mean 'host'?"),
        (
            EFFECT + 'match = { host = "x", stdout = "y" }\n',
            "targets.w.effects[0].match: has host, stdout together; expected",
        ),
        (EFFECT + 'match = { stdout = "(" }\n', "expected a regular expression; missing ), unterminated subpattern"),
        (
            EFFECT + 'match = { tcp = "x" }\n',
            "targets.w.effects[0].match.tcp: found 'x' (a string); expected \"host:port\"",
        ),
        (
            EFFECT + "match = { smtp = false }\n",
            "targets.w.effects[0].match.smtp: found false (a boolean); expected true",
        ),
        (EFFECT + 'match = { host = "x" }\nrole = "sideeffect"\n', "did you mean 'side-effect'?"),
        (
            EFFECT + 'match = { host = "x" }\ndevice = "b"\n',
            "targets.w.effects[0].device: found 'b' (a string); expected a",
        ),
        (
            EFFECT + 'match = { stdout = "x" }\nanswers = []\n',
            "targets.w.effects[0].answers: goes with HTTP matches only",
        ),
        (
            EFFECT + 'match = { host = "x" }\npersona = "openai"\nanswers = [{}]\n',
            "targets.w.effects[0].persona: stands beside answers; expected one of persona and answers",
        ),
        (
            EFFECT + 'match = { host = "x" }\npersona = "ai"\n',
            "targets.w.effects[0].persona: found 'ai' (a string); expected",
        ),
        (
            EFFECT + 'match = { host = "x" }\nanswers = [ { status = 99 } ]\n',
            "targets.w.effects[0].answers[0].status: found 99 (an integer); expected a whole number from 200 to 599",
        ),
        (
            EFFECT + 'match = { host = "x" }\nanswers = [ { json = 1, text = "a" } ]\n',
            "targets.w.effects[0].answers[0]: has both json and text; expected one body",
        ),
        (
            HEAD + "[targets.w.stimulus]\n",
            'targets.w.stimulus: has no listen; expected listen = "http://127.0.0.1:{port}"',
        ),
        (
            HEAD + '[targets.w.stimulus]\nlisten = "http://example.com:80"\nrequests = [{}]\n',
            "targets.w.stimulus.listen: found 'http://example.com:80' (a string); expected the loopback address",
        ),
        (
            HEAD + '[targets.w.stimulus]\nlisten = "http://127.0.0.1:{port}"\n',
            "targets.w.stimulus: has no requests; expected requests = [",
        ),
        (
            HEAD + '[targets.w.stimulus]\nlisten = "http://127.0.0.1:{port}"\nrequests = [ { path = "hook" } ]\n',
            "targets.w.stimulus.requests[0].path: found 'hook' (a string); expected a path that begins with \"/\"",
        ),
        (
            HEAD + '[targets.w.stimulus]\nlisten = "http://127.0.0.1:{port}"\nrequests = [ { method = "P T" } ]\n',
            "targets.w.stimulus.requests[0].method: found 'P T' (a string); expected an HTTP method",
        ),
    ],
)
def test_a_mistake_in_effects_or_stimulus_is_named(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in message(tmp_path, text)


def test_the_file_itself(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no such file; write a machineid-conformance.toml"):
        load(tmp_path / "none.toml")
    with pytest.raises(ConfigurationError, match="found a folder; expected a file"):
        load(tmp_path)
    pyproject = tmp_path / "pyproject.toml"
    pyproject.write_text("[tool.ruff]\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"has no \[tool.machineid-conformance\] table"):
        load(pyproject)


def test_remote_services_with_allow_remote(tmp_path: Path) -> None:
    path = tmp_path / "machineid-conformance.toml"
    path.write_text(HEAD + "allow_remote = true\npassthrough = ['db.example:5432', '[::1]:6379']\n", encoding="utf-8")

    assert load(path).targets[0].passthrough == ("db.example:5432", "[::1]:6379")
