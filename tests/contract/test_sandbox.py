"""The sealed container: every limit is set, and every limit holds from inside."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from harness import wire
from harness.profiles import MIB
from lab import sandbox
from lab.container import LABEL, LABEL_CAMPAIGN, LABEL_DEADLINE, LABEL_EXPERIMENT, Engine
from lab.sandbox import Mount, SealedSpec, train_spec
from lab.trial import Bench

# Each probe runs as the experiment would; it prints one JSON object of what it found.
PROBE = r"""
import json, os, resource, socket, subprocess, sys

def refused(action):
    try:
        action()
    except OSError as error:
        return type(error).__name__
    return None

def write(path):
    with open(path, "w") as file:
        file.write("x")

def connect():
    socket.create_connection(("192.0.2.1", 80), timeout=2).close()

def large_file():
    with open("/tmp/large", "wb") as file:
        file.seek(LARGE)
        file.write(b"x")

def fork_bomb():
    children = []
    try:
        while True:
            pid = os.fork()
            if pid == 0:
                import time
                time.sleep(30)
                os._exit(0)
            children.append(pid)
    except OSError:
        for pid in children:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
        return len(children)

status = dict(
    line.split(":\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\t" in line
)
mounts = [line.split()[4] for line in open("/proc/self/mountinfo")]
found = {
    "uid": os.getuid(),
    "gid": os.getgid(),
    "groups": os.getgroups(),
    "capabilities": [status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")],
    "no_new_privileges": status["NoNewPrivs"],
    "interfaces": sorted(os.listdir("/sys/class/net")),
    "connect": refused(connect),
    "write_root": refused(lambda: write("/x")),
    "write_harness": refused(lambda: write("/opt/nightlab/harness/prepare.py")),
    "chmod_harness": refused(lambda: os.chmod("/opt/nightlab/harness/prepare.py", 0o666)),
    "write_train_file": refused(lambda: write("/work/train.py")),
    "write_data": refused(lambda: write("/data/train/x")),
    "write_gate": refused(lambda: write("/gate/x")),
    "write_tmp": refused(lambda: write("/tmp/x")),
    "large_file": refused(large_file),
    "forks": fork_bomb(),
    "data": os.listdir("/data/train"),
    "judge_data": os.path.exists("/data/judge"),
    "corpus": os.path.exists("/opt/nightlab/corpus"),
    "engine_socket": os.path.exists("/var/run/docker.sock"),
    "other_processes": [
        p for p in os.listdir("/proc") if p.isdigit() and int(p) not in (1, os.getpid(), os.getppid())
    ],
    "environment": sorted(os.environ),
    "open_files": resource.getrlimit(resource.RLIMIT_NOFILE),
    "core": resource.getrlimit(resource.RLIMIT_CORE),
    "setuid": refused(lambda: os.setuid(0)),
    "mknod": refused(lambda: os.mknod("/tmp/device", 0o600 | 0o020000, os.makedev(1, 1))),
    "mount": subprocess.run(["mount", "-t", "tmpfs", "x", "/tmp"], capture_output=True).returncode,
    "executes_from_tmp": None,
    "mounts": mounts,
}
open("/tmp/script", "w").write("#!/bin/sh\nexit 7\n")
os.chmod("/tmp/script", 0o755)
found["executes_from_tmp"] = subprocess.run(["/tmp/script"]).returncode
print(json.dumps(found))
"""


@pytest.fixture
def spec(bench: Bench, tmp_path: Path) -> SealedSpec:
    """The real policy of a train container, with a probe in place of the training."""
    for name in ("gate", "data"):
        (tmp_path / name).mkdir()
    probe = tmp_path / "train.py"
    probe.write_text(PROBE.replace("LARGE", str(bench.profile.scratch_bytes + 1)))
    probe.chmod(0o644)
    spec = train_spec(
        profile=bench.profile,
        campaign=bench.campaign,
        experiment=7,
        image=bench.image,
        train_file=probe,
        gate=tmp_path / "gate",
        data=tmp_path / "data",
        seed=1,
        gpu_uuid=None,
        cpus=1.5,
    )
    return replace(spec, command=("python", wire.TRAIN_FILE))


def test_every_limit_is_set(engine: Engine, spec: SealedSpec) -> None:
    """What the engine was told, read back from the engine itself."""
    with engine.start(replace(spec, command=("sleep", "30"))) as container:
        facts = engine.client.api.inspect_container(container.id)
    host, config = facts["HostConfig"], facts["Config"]
    assert host["NetworkMode"] == "none"
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert "no-new-privileges" in host["SecurityOpt"][0]
    assert host["Privileged"] is False
    assert host["IpcMode"] == "private"
    assert host["PidMode"] == ""
    assert host["Init"] is True
    assert host["AutoRemove"] is False
    assert host["PidsLimit"] == sandbox.PIDS
    assert host["Memory"] == host["MemorySwap"] == spec.memory_bytes
    assert host["NanoCpus"] == 1_500_000_000
    assert host["ShmSize"] == sandbox.SHM_BYTES
    assert host["OomScoreAdj"] == 500
    assert host["LogConfig"] == {
        "Type": "json-file",
        "Config": {"max-size": str(sandbox.LOG_BYTES), "max-file": "1"},
    }
    assert host["Tmpfs"].keys() == {"/tmp"}
    assert f"size={spec.scratch_bytes}" in host["Tmpfs"]["/tmp"]
    limits = {limit["Name"]: (limit["Soft"], limit["Hard"]) for limit in host["Ulimits"]}
    assert limits["fsize"] == (spec.scratch_bytes, spec.scratch_bytes)
    assert limits["nofile"] == (sandbox.OPEN_FILES, sandbox.OPEN_FILES)
    assert limits["core"] == (0, 0)
    assert config["User"] == sandbox.USER
    assert config["Image"].startswith("sha256:")
    assert config["Cmd"][:2] == ["timeout", "--signal=KILL"]
    assert all(not mount["RW"] for mount in facts["Mounts"])
    labels = config["Labels"]
    assert labels[LABEL] == "train"
    assert labels[LABEL_CAMPAIGN] == spec.campaign
    assert labels[LABEL_EXPERIMENT] == "7"
    assert float(labels[LABEL_DEADLINE]) > time.time()


def test_every_limit_holds_from_inside(engine: Engine, spec: SealedSpec) -> None:
    """A limit that is set and does not hold is worse than none: somebody relies on it."""
    with engine.start(spec) as container:
        printed = "\n".join(container.lines())
        ended = container.finish()
    assert ended.exit_code == 0, ended.log.decode()
    found = json.loads(printed.splitlines()[-1])
    assert (found["uid"], found["gid"]) == (10001, 10001)
    assert set(found["groups"]) <= {10001}
    assert all(int(mask, 16) == 0 for mask in found["capabilities"])
    assert found["no_new_privileges"] == "1"
    assert found["interfaces"] == ["lo"]
    assert found["connect"] is not None
    for name in ("root", "harness", "train_file", "data", "gate"):
        assert found[f"write_{name}"] is not None, name
    assert found["chmod_harness"] is not None
    assert found["write_tmp"] is None
    assert found["large_file"] is not None
    assert 100 < found["forks"] < sandbox.PIDS
    assert found["data"] == []
    assert found["judge_data"] is False
    assert found["corpus"] is False
    assert found["engine_socket"] is False
    assert found["other_processes"] == []
    assert not any("KEY" in name or "TOKEN" in name for name in found["environment"])
    assert found["open_files"] == [sandbox.OPEN_FILES, sandbox.OPEN_FILES]
    assert found["core"] == [0, 0]
    assert found["setuid"] is not None
    assert found["mknod"] is not None
    assert found["mount"] != 0
    assert found["executes_from_tmp"] == 7, "Triton and Inductor load what they compile from /tmp"


def test_the_hosts_environment_does_not_come_in(
    engine: Engine, spec: SealedSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys live in the host's environment."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "a-planted-secret")
    with engine.start(replace(spec, command=("env",))) as container:
        printed = "\n".join(container.lines())
    assert "NIGHTLAB_PROFILE=smoke" in printed
    assert "a-planted-secret" not in printed


def test_memory_is_capped_and_the_engine_says_so(engine: Engine, spec: SealedSpec) -> None:
    """Exit 137 alone proves nothing; the kernel's own word does."""
    hoard = "hoard = [bytearray(b'x' * 2**20) for _ in range(4096)]"
    with engine.start(
        replace(spec, memory_bytes=256 * MIB, command=("python", "-c", hoard))
    ) as container:
        list(container.lines())
        ended = container.finish()
    assert ended.out_of_memory
    assert ended.exit_code != 0


def test_a_killed_container_is_not_mistaken_for_memory(engine: Engine, spec: SealedSpec) -> None:
    """The host's own kill gives the same exit code."""
    with engine.start(replace(spec, command=("sleep", "30"))) as container:
        ended = container.finish()
    assert ended.exit_code == 137
    assert not ended.out_of_memory


def test_the_fuse_inside_ends_a_run_that_nobody_watches(engine: Engine, spec: SealedSpec) -> None:
    """If the controller dies, its containers must not compute until morning."""
    with engine.start(replace(spec, deadline_s=1.0, command=("sleep", "30"))) as container:
        list(container.lines())
        assert container.finish().wall_s < 15


def test_the_reaper_takes_what_is_past_its_deadline_and_leaves_the_rest(
    engine: Engine, spec: SealedSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The third fuse: the next start removes what the last one left."""
    with engine.start(replace(spec, command=("sleep", "60"))) as alive:
        assert alive.name not in engine.reap()
        assert alive.is_running()
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + spec.deadline_s + 120)
        assert alive.name in engine.reap()


def test_an_unknown_image_is_an_error_that_says_what_to_do(
    engine: Engine, spec: SealedSpec
) -> None:
    """The engine's own exceptions must not reach the user."""
    from lab.errors import EngineError

    missing = "sha256:" + "0" * 64
    with pytest.raises(EngineError) as caught, engine.start(replace(spec, image=missing)):
        pass
    assert caught.value.do


def test_a_writable_mount_is_the_exception(bench: Bench) -> None:
    """The policy itself: nothing of a train or model container can be written."""
    assert Mount(source=Path("/x"), target="/y").writable is False
