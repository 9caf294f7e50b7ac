"""What a container may touch: the whole policy, on one screen.

A sealed container has no network and no parameter that could give it one. Only `prepare`, which runs
our own code to fetch the training data, has a type with a network, and it never sees a train.py.

Owns    every limit, mount and variable of every container
Takes   a profile, and paths of the host
Gives   specs; equal specs give equal containers
Never   talks to the engine
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from harness import wire
from harness.profiles import GIB, MIB, Profile

USER = "10001:10001"
PIDS = 512  # Inductor's compile workers need some dozens
OPEN_FILES = 4096
LOG_BYTES = 1 * MIB  # the engine rotates: the end is kept, the rest is gone
SHM_BYTES = 64 * MIB
JUDGE_MEMORY_BYTES = 2 * GIB
WIPE_MEMORY_BYTES = 8 * GIB  # of the host: torch with a CUDA context
WIPE_DEADLINE_S = 60.0  # most of it is the import of torch

# Ten shards of 100 MB over a slow line, a tokenizer, and half a billion tokens to pack.
PREPARE_DEADLINE_S = 4 * 3600.0

# The containers of one experiment live this much longer than their deadlines, for the host to come first.
FUSE_SLACK_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A folder or file of the host inside a container."""

    source: Path
    target: str
    writable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedSpec:
    """One sealed run, described completely: no network, nothing to write but /tmp."""

    role: str  # "train", "model", "blind", "judge", "wipe", "device" or "tool"; with campaign and experiment, the name
    campaign: str
    experiment: int
    image: str  # by id or digest; a tag may point elsewhere tomorrow
    command: tuple[str, ...]
    mounts: tuple[Mount, ...]
    environment: dict[str, str] = field(default_factory=dict)
    gpu_uuid: str | None  # None runs on the CPU
    cpus: float | None  # None gives every core
    memory_bytes: int  # swap is never added
    scratch_bytes: int  # size of /tmp, the only place that can be written; also the largest file
    deadline_s: float  # wall clock from start to kill, kept by the host and by a fuse inside

    @property
    def name(self) -> str:
        return f"nightlab-{self.campaign}-{self.experiment:04d}-{self.role}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareSpec:
    """The data preparation: our code alone, as the host's user, with a network if it must download."""

    image: str
    command: tuple[str, ...]
    mounts: tuple[Mount, ...]
    environment: dict[str, str]
    user: str
    network: bool
    deadline_s: float

    @property
    def name(self) -> str:
        return "nightlab-prepare"


def prepare_spec(
    *,
    profile: Profile,
    image: str,
    data: Path,
    parquet: Path | None,
    shards: int | None,
    hub_mirror: str | None,
    user: str,
) -> PrepareSpec:
    """The container that makes the data. It needs a network only where text must be downloaded."""
    mounts = [Mount(source=data, target="/out", writable=True)]
    command = ["python", "-m", "harness.data", "--profile", profile.name]
    command += ["--out", f"/out/{profile.name}"]
    if parquet is not None:
        mounts.append(Mount(source=parquet, target="/parquet"))
        command += ["--parquet", "/parquet"]
    if shards is not None:
        command += ["--shards", str(shards)]
    download = profile.dataset == "climbmix" and parquet is None
    environment = {"HF_HUB_OFFLINE": "0"} if download else {}
    if download and hub_mirror:
        environment["HF_ENDPOINT"] = hub_mirror
    return PrepareSpec(
        image=image,
        command=tuple(command),
        mounts=tuple(mounts),
        environment=environment,
        user=user,
        network=download,
        deadline_s=PREPARE_DEADLINE_S,
    )


def train_spec(
    *,
    profile: Profile,
    campaign: str,
    experiment: int,
    image: str,
    train_file: Path,
    gate: Path,
    data: Path,
    seed: int,
    gpu_uuid: str | None,
    cpus: float | None,
) -> SealedSpec:
    """The container that trains: the candidate's file, a socket to the gate, and a folder still empty."""
    return SealedSpec(
        role="train",
        campaign=campaign,
        experiment=experiment,
        image=image,
        command=("python", "-m", "harness.launch"),
        mounts=(
            Mount(source=train_file, target=wire.TRAIN_FILE),
            Mount(source=gate, target=str(Path(wire.GATE_SOCKET).parent)),
            Mount(source=data, target=wire.TRAIN_DATA),
        ),
        environment={wire.PROFILE_VARIABLE: profile.name, wire.SEED_VARIABLE: str(seed)},
        gpu_uuid=gpu_uuid,
        cpus=cpus,
        memory_bytes=profile.memory_bytes,
        scratch_bytes=profile.scratch_bytes,
        deadline_s=(
            profile.startup_cap_s + profile.train_budget_s + profile.save_grace_s + FUSE_SLACK_S
        ),
    )


def model_spec(
    *,
    role: Literal["model", "blind"],
    profile: Profile,
    campaign: str,
    experiment: int,
    image: str,
    train_file: Path,
    checkpoint: Path,
    bench: Path,
    gpu_uuid: str | None,
    cpus: float | None,
) -> SealedSpec:
    """A container that runs the model: the checkpoint and its code, no data, and a socket of the judge's.

    "model" claims the losses, "blind" is audited; they are alike, and share no folder but the checkpoint's.
    """
    return SealedSpec(
        role=role,
        campaign=campaign,
        experiment=experiment,
        image=image,
        command=("python", "-m", "harness.model_server"),
        mounts=(
            Mount(source=train_file, target=wire.TRAIN_FILE),
            Mount(source=checkpoint, target=wire.CHECKPOINT),
            Mount(source=bench, target=str(Path(wire.BENCH_SOCKET).parent)),
        ),
        environment={wire.PROFILE_VARIABLE: profile.name},
        gpu_uuid=gpu_uuid,
        cpus=cpus,
        memory_bytes=profile.memory_bytes,
        scratch_bytes=profile.scratch_bytes,
        deadline_s=2 * profile.evaluation_cap_s + FUSE_SLACK_S,  # validation, and holdout after it
    )


def judge_spec(
    *,
    profile: Profile,
    campaign: str,
    experiment: int,
    image: str,
    judge_data: Path,
    train_data: Path,
    bench: Path,
    blind: Path,
    tribune: Path,
) -> SealedSpec:
    """The container that knows the targets. It alone mounts them, and it runs none of the agent's code."""
    return SealedSpec(
        role="judge",
        campaign=campaign,
        experiment=experiment,
        image=image,
        command=("python", "-m", "harness.judge"),
        mounts=(
            Mount(source=judge_data, target=wire.JUDGE_DATA),
            Mount(source=train_data, target=wire.TRAIN_DATA),  # what it continues cut rows with
            # The judge makes its sockets here; each model container mounts one of the two, read-only.
            Mount(source=bench, target=str(Path(wire.BENCH_SOCKET).parent), writable=True),
            Mount(source=blind, target=str(Path(wire.BLIND_SOCKET).parent), writable=True),
            Mount(source=tribune, target=str(Path(wire.TRIBUNE_SOCKET).parent)),
        ),
        environment={wire.PROFILE_VARIABLE: profile.name},
        gpu_uuid=None,
        cpus=None,
        memory_bytes=JUDGE_MEMORY_BYTES,
        scratch_bytes=64 * MIB,
        deadline_s=5 * profile.evaluation_cap_s
        + FUSE_SLACK_S,  # A on two splits, B on both, B again
    )


def wipe_spec(
    *, campaign: str, experiment: int, image: str, gpu_uuid: str, cpus: float | None
) -> SealedSpec:
    """The container that overwrites the GPU's memory after one that saw validation text. It mounts nothing."""
    return SealedSpec(
        role="wipe",
        campaign=campaign,
        experiment=experiment,
        image=image,
        command=("python", "-m", "harness.wipe", "--expect-gpu"),
        mounts=(),
        gpu_uuid=gpu_uuid,
        cpus=cpus,
        memory_bytes=WIPE_MEMORY_BYTES,
        scratch_bytes=64 * MIB,
        deadline_s=WIPE_DEADLINE_S,
    )


def device_spec(
    *, campaign: str, image: str, gpu_uuid: str | None, cpus: float | None
) -> SealedSpec:
    """The container that says what torch computes on. It mounts nothing, and runs our own code alone."""
    return SealedSpec(
        role="device",
        campaign=campaign,
        experiment=0,
        image=image,
        command=("python", "-m", "harness.device"),
        mounts=(),
        gpu_uuid=gpu_uuid,
        cpus=cpus,
        memory_bytes=WIPE_MEMORY_BYTES,
        scratch_bytes=64 * MIB,
        deadline_s=WIPE_DEADLINE_S,
    )
