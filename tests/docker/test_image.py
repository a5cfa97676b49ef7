"""The image of ``Dockerfile``, built and run for real: by whatever Docker engine answers. ``.ci/docker`` provides one."""

from __future__ import annotations

import gc
import json
import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import docker
import httpx
import pytest
from docker.errors import DockerException
from docker.models.containers import Container
from docker.models.images import Image

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0

# The docker package closes the sockets of its streams and leaves the files over them to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def engine() -> Iterator[docker.DockerClient]:
    try:
        client = docker.from_env(timeout=300)
        client.ping()
    except DockerException as error:
        pytest.skip(f"no Docker engine answers (.ci/docker starts one): {error}")
    yield client
    client.close()
    gc.collect()  # now, while the warnings of it are ignored, and not when pytest ends


@pytest.fixture(scope="module")
def image(engine: docker.DockerClient) -> Iterator[Image]:
    """Built from the context and with the arguments that the environment names, else as a user builds it."""
    arguments = json.loads(os.environ.get("MACHINEID_TEST_IMAGE_ARGUMENTS", "{}"))
    context = os.environ.get("MACHINEID_TEST_IMAGE_CONTEXT", str(ROOT))
    network = "none" if "MACHINEID_TEST_IMAGE_CONTEXT" in os.environ else None
    built, _ = engine.images.build(path=context, buildargs=arguments, rm=True, forcerm=True, network_mode=network)
    yield built
    engine.images.remove(str(built.id), force=True)


@contextmanager
def running(engine: docker.DockerClient, image: Image, *arguments: str, **options: Any) -> Iterator[Container]:
    """A container whose ports are published on this machine's loopback, on free ports."""
    ports: Any = {"8080/tcp": ("127.0.0.1", None), "8081/tcp": ("127.0.0.1", None)}
    container: Container = engine.containers.run(image, ["--json", *arguments], detach=True, ports=ports, **options)
    try:
        yield container
    finally:
        container.remove(force=True, v=True)
        gc.collect()


def announced(container: Container) -> dict[str, Any]:
    """What the server says when it listens."""
    with closing(container.logs(stream=True, follow=True)) as lines:
        for line in lines:
            value: dict[str, Any] = json.loads(line)
            return value
    raise AssertionError(f"it ended: {container.wait(timeout=PATIENCE)}")


def said(container: Container, *command: str) -> str:
    """What a command in the container writes."""
    output = container.exec_run(list(command)).output
    assert isinstance(output, bytes)
    return output.decode().strip()


def published(container: Container, port: int) -> str:
    container.reload()
    bindings = container.ports[f"{port}/tcp"]
    assert bindings, "the port is not published"
    return f"http://127.0.0.1:{bindings[0]['HostPort']}"


def healthy(engine: docker.DockerClient, container: Container) -> None:
    """Returns when the HEALTHCHECK has said so; fails when it says something else, or nothing."""
    since = int(time.time()) - 60
    events = engine.events(
        since=since, until=since + 60 + int(PATIENCE), decode=True, filters={"container": container.id}
    )
    with closing(events):
        for event in events:
            if event["Action"].startswith("health_status"):
                assert event["Action"] == "health_status: healthy"
                return
    raise AssertionError(f"no word of its health: {container.attrs['State']}")


def test_it_serves_is_healthy_and_ends_in_good_order(engine: docker.DockerClient, image: Image) -> None:
    with running(engine, image, "--expires", "1h") as container:
        ready = announced(container)
        assert ready["expires_in"] == 3600
        headers = {"x-org-key": ready["org_key"]}
        with httpx.Client(base_url=published(container, 8080), headers=headers, trust_env=False) as client:
            body = {"deviceId": "worker:staging:queue:01"}
            assert client.post("/api/v1/devices/register", json=body).json()["status"] == "ok"
            answer = client.post("/api/v1/devices/validate", json=body)
            assert answer.json()["allowed"] is True
            assert answer.headers["x-machineid-fake"] == "1"
            revoked = container.exec_run(["fake-control-plane", "revoke", body["deviceId"]])
            assert revoked.exit_code == 0, revoked.output
            assert client.post("/api/v1/devices/validate", json=body).json()["allowed"] is False
        healthy(engine, container)
        # The admin port is the container's own until it has a token.
        with (
            httpx.Client(base_url=published(container, 8081), trust_env=False) as client,
            pytest.raises(httpx.TransportError),
        ):
            client.get("/healthz")
        container.stop(timeout=int(PATIENCE))  # SIGTERM; SIGKILL would be 137
        assert container.wait(timeout=PATIENCE)["StatusCode"] == 0


def test_it_runs_as_an_ordinary_user_on_a_read_only_root(engine: docker.DockerClient, image: Image) -> None:
    with running(
        engine,
        image,
        "--state",
        "/state/state.db",
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
    ) as container:
        assert announced(container)["expires_in"] == 2 * 3600  # beyond loopback nothing lives for ever
        assert said(container, "id", "-u") == "10001"
        assert container.exec_run(["test", "-s", "/state/state.db"]).exit_code == 0


def test_the_published_admin_port_asks_for_its_token(engine: docker.DockerClient, image: Image) -> None:
    with running(engine, image, "--admin-host", "0.0.0.0", "--admin-token-file", "/state/token") as container:
        announced(container)
        token = said(container, "cat", "/state/token")
        with httpx.Client(base_url=published(container, 8081), trust_env=False) as client:
            assert client.get("/admin/v1/orgs").status_code == 401
            given = client.get("/admin/v1/orgs", headers={"authorization": f"Bearer {token}"})
            assert given.status_code == 200, given.text
        healthy(engine, container)
