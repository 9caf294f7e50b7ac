"""Running any spec in the container engine, and leaving nothing behind.

Owns    the connection to the engine, and every call that makes or ends a container
Takes   a SealedSpec or a PrepareSpec
Gives   a Container, open until its `with` block ends; a ContainerExit
Never   knows what research is, and never lets one of the engine's exceptions out
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self

import docker
import requests
from docker.types import DeviceRequest, LogConfig, Ulimit
from docker.types import Mount as EngineMount

from lab.cgroup import read_peak_memory
from lab.engine import default_sockets
from lab.errors import EngineError
from lab.sandbox import (
    LOG_BYTES,
    OPEN_FILES,
    PIDS,
    SHM_BYTES,
    USER,
    Mount,
    PrepareSpec,
    SealedSpec,
)

LABEL = "nightlab"  # on everything we make: "image", or the role of a container
LABEL_CAMPAIGN = "nightlab.campaign"
LABEL_EXPERIMENT = "nightlab.experiment"
LABEL_DEADLINE = "nightlab.deadline"  # Unix time after which nobody can still want it

# What Compose, v1 and v2, puts on all that it makes.
PROJECT_LABEL = "com.docker.compose.project"
SERVICE_LABEL = "com.docker.compose.service"

API_TIMEOUT_S = 60
TAIL_LINES = 60  # the engine cuts a line at 16 KiB, so this is bounded by about a MiB
SILENCE_S = 3600  # tokenising half a billion tokens says nothing for minutes


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerExit:
    """How a container ended. Exit 137 alone proves nothing: it may be memory, a fuse, or us."""

    exit_code: int
    out_of_memory: bool  # the engine saw the kernel kill a process of it
    wall_s: float
    log: bytes  # stdout and stderr, at most LOG_BYTES, the end of it


class Engine:
    """An open connection to a container engine."""

    def __init__(self, client: docker.DockerClient, url: str) -> None:
        self.client = client
        self.url = url
        self.seconds = 0.0  # spent waiting for the engine to make and remove containers
        self.made: set[str] = set()  # ids of every container so far, removed ones too

    @classmethod
    def connect(cls, docker_host: str | None) -> Engine:
        """Connect to the engine at `docker_host`, else at the first usual socket that answers.

        Raises:
            EngineError: nothing answers.
        """
        candidates = [docker_host] if docker_host else default_sockets()
        why = "no socket of an engine was found"
        for url in candidates:
            try:
                client = docker.DockerClient(base_url=url, timeout=API_TIMEOUT_S)
                client.ping()
            except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
                why = f"{url}: {error}"
                continue
            return cls(client, url)
        raise EngineError(
            "no container engine answers.",
            why=why,
            do="start Docker or Podman's Docker-compatible socket, or set DOCKER_HOST; "
            "`make doctor` shows what was tried.",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def answers(self) -> bool:
        """Whether the engine answers now."""
        try:
            return bool(self.client.ping())
        except (docker.errors.DockerException, requests.exceptions.RequestException):
            return False

    def version(self) -> str:
        """Name and version of the engine, for people."""
        return self.versions()[0]

    def versions(self) -> list[str]:
        """Names and versions of the engine, and after it of what it uses: containerd, runc."""
        with self.timed("say its version"):
            version = self.client.version()
        parts = version.get("Components") or [{"Name": "Engine"}]
        parts[0] = parts[0] | {"Version": version.get("Version", "")}
        return [f"{part['Name']} {part.get('Version', '')}".strip() for part in parts]

    @contextlib.contextmanager
    def start(self, spec: SealedSpec | PrepareSpec) -> Iterator[Container]:
        """A running container, which is gone when the block ends, however it ends."""
        container: Container | None = None
        try:
            with self.timed(f"start {spec.name}"):
                self._remove_leftover(spec.name)
                handle = self.client.containers.create(**_arguments(spec))
                container = Container(self, handle, spec.name)
                self.made.add(container.id)
                handle.start()
                container.started = time.monotonic()
            yield container
        finally:
            if container is not None:
                container.remove()

    @contextlib.contextmanager
    def start_both(
        self, first: SealedSpec, second: SealedSpec
    ) -> Iterator[tuple[Container, Container]]:
        """Two running containers, started at the same time; both are gone when the block ends."""
        with contextlib.ExitStack() as stack, ThreadPoolExecutor(max_workers=1) as pool:
            before, began = self.seconds, time.monotonic()
            starting = pool.submit(stack.enter_context, self.start(first))
            other = stack.enter_context(self.start(second))
            both = starting.result(), other
            self.seconds = before + time.monotonic() - began  # by the wall: the two overlapped
            yield both

    def reap(self, *, campaign: str | None = None) -> list[str]:
        """Remove the containers of a campaign that nobody drives any more, or all past their deadline."""
        removed = []
        with self.timed("look for leftovers"):
            label = f"{LABEL_CAMPAIGN}={campaign}" if campaign else LABEL_DEADLINE
            for handle in self.client.containers.list(
                all=True, filters={"label": label}, ignore_removed=True
            ):
                deadline = float(handle.labels.get(LABEL_DEADLINE, "0"))
                if campaign or deadline < time.time():
                    _remove(handle)
                    removed.append(str(handle.name))
        return removed

    def attach(self, project: str, service: str) -> Container | None:
        """The container of a Compose service, running or not; None where there is none."""
        with self.timed(f"find {service}"):
            found = self.client.containers.list(
                all=True,
                filters={
                    "label": [f"{PROJECT_LABEL}={project}", f"{SERVICE_LABEL}={service}"],
                },
                ignore_removed=True,
            )
        return Container(self, found[0], service) if found else None

    def remove_project(self, project: str) -> None:
        """Remove the containers and networks of a Compose project, whatever state they are in."""
        with self.timed(f"remove {project}"):
            label = f"{PROJECT_LABEL}={project}"
            for handle in self.client.containers.list(
                all=True, filters={"label": label}, ignore_removed=True
            ):
                _remove(handle)
            for network in self.client.networks.list(filters={"label": label}):
                # One that somebody else has joined stays, and is tried again at the next start.
                with contextlib.suppress(docker.errors.APIError):
                    network.remove()

    @contextlib.contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Count the engine's time, and turn its exceptions into ours."""
        began = time.monotonic()
        try:
            with self.asked(what):
                yield
        finally:
            self.seconds += time.monotonic() - began

    @contextlib.contextmanager
    def asked(self, what: str) -> Iterator[None]:
        """Turn the engine's exceptions into ours; for a thread beside the controller's, whose time nobody waits."""
        try:
            yield
        except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
            raise EngineError(
                f"the container engine could not {what}.",
                why=str(error),
                do="see that the engine runs (`make doctor`), then start the same TAG again; "
                "every finished experiment is in the ledger.",
            ) from error

    def _remove_leftover(self, name: str) -> None:
        with contextlib.suppress(docker.errors.NotFound):
            _remove(self.client.containers.get(name))


class Container:
    """One container that runs, or has run."""

    def __init__(self, engine: Engine, handle: Any, name: str) -> None:
        self.name = name
        self.started = time.monotonic()
        self._engine = engine
        self._handle = handle
        self._exit: ContainerExit | None = None

    @property
    def id(self) -> str:
        return str(self._handle.id)

    def is_running(self) -> bool:
        """Ask the engine; costs about a millisecond.

        Raises:
            EngineError: the engine does not answer, or the container vanished.
        """
        with self._engine.timed(f"look at {self.name}"):
            self._handle.reload()
        state = self._handle.attrs["State"]
        return bool(state["Running"]) and not state["Restarting"]

    def pid(self) -> int:
        """The id of its first process, as the host counts; 0 once it has ended.

        Raises:
            EngineError: the engine does not answer, or the container vanished.
        """
        with self._engine.timed(f"look at {self.name}"):
            self._handle.reload()
        return int(self._handle.attrs["State"]["Pid"])

    def peak_memory_bytes(self) -> int | None:
        """The most memory it has used so far; None once it has ended, or where the kernel hides it."""
        return read_peak_memory(self.pid())

    def lines(self) -> Iterator[str]:
        """What it prints, line by line as it comes, until it ends.

        Raises:
            EngineError: the engine does not answer.
        """
        # A client of its own that waits for as long as the fuse inside lets the program be silent.
        with (
            self._engine.timed(f"follow {self.name}"),
            contextlib.closing(
                docker.DockerClient(base_url=self._engine.url, timeout=SILENCE_S)
            ) as client,
        ):
            pending = b""
            follow = client.containers.get(self.id).logs
            for chunk in follow(stream=True, follow=True, stderr=False):
                *lines, pending = (pending + chunk).split(b"\n")
                for line in lines:
                    yield line.decode("utf-8", "replace").rstrip()

    def tail(self) -> bytes:
        """The last TAIL_LINES that it printed so far; for a thread that only looks.

        Raises:
            EngineError: the engine does not answer, or the container is gone.
        """
        with self._engine.asked(f"read the log of {self.name}"):
            return bytes(self._handle.logs(stdout=True, stderr=True, tail=TAIL_LINES))

    def finish(self) -> ContainerExit:
        """Kill it if it still runs, and read how it ended: state first, then its log.

        Raises:
            EngineError: the engine does not answer, or the container vanished.
        """
        if self._exit is None:
            with self._engine.timed(f"end {self.name}"):
                with contextlib.suppress(docker.errors.APIError):  # it ended by itself meanwhile
                    self._handle.kill()
                self._handle.wait(timeout=API_TIMEOUT_S)
                self._handle.reload()
                state = self._handle.attrs["State"]
                log = self._handle.logs(stdout=True, stderr=True)
            self._exit = ContainerExit(
                exit_code=int(state["ExitCode"]),
                out_of_memory=bool(state["OOMKilled"]),
                wall_s=time.monotonic() - self.started,
                log=bytes(log[-LOG_BYTES:]),
            )
        return self._exit

    def remove(self) -> None:
        """Remove it, running or not. Called on every path; a second call does nothing."""
        with (
            contextlib.suppress(docker.errors.NotFound),
            self._engine.timed(f"remove {self.name}"),
        ):
            _remove(self._handle)


def _remove(handle: Any) -> None:
    try:
        handle.remove(force=True, v=True)
    except docker.errors.NotFound:
        pass
    except docker.errors.APIError as error:
        if error.status_code != 409:  # 409: someone else is removing it already
            raise


def _arguments(spec: SealedSpec | PrepareSpec) -> dict[str, Any]:
    common: dict[str, Any] = {
        "image": spec.image,
        "name": spec.name,
        "init": True,
        # The fuse inside: it ends the run even when the controller and the engine's clients are gone.
        "command": ["timeout", "--signal=KILL", f"{spec.deadline_s:.0f}", *spec.command],
        "entrypoint": [],
        "environment": spec.environment,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "ipc_mode": "private",
        "log_config": LogConfig(
            type=LogConfig.types.JSON, config={"max-size": str(LOG_BYTES), "max-file": "1"}
        ),
        "mounts": [_mount(mount) for mount in spec.mounts],
        "working_dir": "/tmp",
    }
    deadline = {LABEL_DEADLINE: f"{time.time() + spec.deadline_s + 60:.0f}"}
    if isinstance(spec, PrepareSpec):
        return common | {
            "user": spec.user,
            "network_mode": "bridge" if spec.network else "none",
            "labels": {LABEL: "prepare"} | deadline,
        }
    return (
        common
        | {
            "user": USER,
            "network_mode": "none",
            "read_only": True,
            "tmpfs": {"/tmp": f"rw,exec,nosuid,nodev,mode=1777,size={spec.scratch_bytes}"},
            "mem_limit": spec.memory_bytes,
            "memswap_limit": spec.memory_bytes,
            "shm_size": SHM_BYTES,
            "pids_limit": PIDS,
            "nano_cpus": int(spec.cpus * 1e9) if spec.cpus else None,
            "oom_score_adj": 500,  # if the host itself runs dry, an experiment goes before the controller
            "ulimits": [
                Ulimit(name="fsize", soft=spec.scratch_bytes, hard=spec.scratch_bytes),
                Ulimit(name="nofile", soft=OPEN_FILES, hard=OPEN_FILES),
                Ulimit(name="core", soft=0, hard=0),
            ],
            "device_requests": (
                [DeviceRequest(device_ids=[spec.gpu_uuid], capabilities=[["gpu"]])]
                if spec.gpu_uuid
                else None
            ),
            "labels": {
                LABEL: spec.role,
                LABEL_CAMPAIGN: spec.campaign,
                LABEL_EXPERIMENT: str(spec.experiment),
            }
            | deadline,
        }
    )


def _mount(mount: Mount) -> EngineMount:
    return EngineMount(
        target=mount.target,
        source=str(mount.source.resolve()),
        type="bind",
        read_only=not mount.writable,
    )
