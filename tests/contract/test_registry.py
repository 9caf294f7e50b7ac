"""compose/registry.yaml: a lab's own registry takes the frozen image and gives the same one back."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from lab.compose import find_compose
from lab.container import Engine
from lab.image import Image, verify_image
from lab.settings import CHECKOUT, read_settings
from tests.contract.test_image_moved import built, engine, forget, has

__all__ = ["built", "engine"]  # fixtures

NAME = f"nightlab-registry-test-{os.getpid()}"


@pytest.fixture
def registry(engine: Engine) -> Iterator[str]:
    """HOST:PORT of a registry of the test's own; it and its storage are gone afterwards."""
    compose = find_compose(read_settings(os.environ), print)  # installed where there is none
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = os.environ | {
        "NIGHTLAB_REGISTRY_NAME": NAME,
        "NIGHTLAB_REGISTRY_PORT": str(port),
        "DOCKER_HOST": engine.url.replace("http+unix://", "unix://"),
    }
    made_here = engine.client.api.images(name="nightlab-base")
    if made_here:
        environment["NIGHTLAB_BASE"] = made_here[0]["RepoTags"][0]
    file = CHECKOUT / "compose" / "registry.yaml"
    command = [*compose, "-p", NAME, "-f", str(file)]
    try:
        subprocess.run(
            [*command, "up", "-d"], env=environment, check=True, capture_output=True, timeout=300
        )
        yield f"127.0.0.1:{port}"
    finally:
        subprocess.run([*command, "down", "-v"], env=environment, check=False, capture_output=True)


def answer(lines: Any) -> None:
    """Read an answer of the engine to its end."""
    errors = [line["error"] for line in lines if "error" in line]
    assert errors == []


def test_an_image_comes_back_from_the_registry_under_its_own_id(
    engine: Engine, built: Image, registry: str
) -> None:
    """A lab with many hosts builds once; what a host pulls must be what the ledger names."""
    api = engine.client.api
    _wait_until_healthy(engine)
    repository = f"{registry}/nightlab"
    assert api.tag(built.id, repository, tag="frozen")
    answer(api.push(repository, tag="frozen", stream=True, decode=True))
    forget(engine, built.id)
    assert not has(engine, built.id)
    answer(api.pull(repository, tag="frozen", stream=True, decode=True))
    assert has(engine, built.id)
    verify_image(engine, built)


def test_the_registry_listens_to_this_host_alone_and_can_change_nothing_but_its_storage(
    engine: Engine, registry: str
) -> None:
    """It asks nobody for a password."""
    described = engine.client.api.inspect_container(NAME)
    assert described["NetworkSettings"]["Ports"]["5000/tcp"] == [
        {"HostIp": "127.0.0.1", "HostPort": registry.rpartition(":")[2]}
    ]
    host = described["HostConfig"]
    assert host["ReadonlyRootfs"] and host["CapDrop"] == ["ALL"] and not host["Privileged"]
    assert "no-new-privileges" in host["SecurityOpt"]
    assert described["Config"]["User"] == "10001:10001"
    writable = [mount["Destination"] for mount in described["Mounts"] if mount["RW"]]
    assert writable == ["/var/lib/registry"]


def _wait_until_healthy(engine: Engine) -> None:
    """The file's own health check is what says that it is up."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        state = engine.client.api.inspect_container(NAME)["State"]
        if state["Health"]["Status"] == "healthy":
            return
        time.sleep(0.5)
    pytest.fail(f"the registry did not become healthy: {state}")
