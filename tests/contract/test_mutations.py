"""Every kind of edit that the offline agent knows, built and trained for a moment inside the frozen image."""

from __future__ import annotations

import json
from pathlib import Path

from harness.profiles import GIB
from lab.agents.offline import every_mutation
from lab.contract import check
from lab.sandbox import Mount, SealedSpec
from lab.settings import CHECKOUT
from lab.trial import Bench


def test_every_mutation_trains_saves_and_stays_causal(bench: Bench, tmp_path: Path) -> None:
    """A catalogue with a broken entry wastes five minutes of a GPU each time it comes up, and one
    that looks ahead would be the best idea of every night.
    """
    seed = (CHECKOUT / "workspace" / "train.py").read_text()
    moves: dict[str, str] = {}
    for name, train_py in every_mutation(seed, "smoke").items():
        check(train_py)
        moves.setdefault(name.partition("=")[0], train_py)
    assert len(moves) >= 25
    files = {"seed": seed} | moves
    tmp_path.chmod(0o755)  # the container's user is another one
    for name, train_py in files.items():
        (tmp_path / f"{name}.py").write_text(train_py)
    spec = SealedSpec(
        role="tool",
        campaign=bench.campaign,
        experiment=0,
        image=bench.image,
        command=("python", "/driver/mutation_driver.py", "/mutations"),
        mounts=(
            Mount(source=tmp_path, target="/mutations"),
            Mount(source=Path(__file__).parent, target="/driver"),
            Mount(source=bench.data / "train", target="/data/train"),
        ),
        environment={
            "NIGHTLAB_PROFILE": "smoke",
            "NIGHTLAB_DEV": "1",
            "NIGHTLAB_DEV_DATA": "/data/train",
        },
        gpu_uuid=None,
        cpus=None,
        memory_bytes=4 * GIB,
        scratch_bytes=1 * GIB,
        deadline_s=900.0,
    )
    with bench.engine.start(spec) as container:
        results = [json.loads(line) for line in container.lines()]
        ended = container.finish()
    assert ended.exit_code == 0, ended.log.decode()[-2000:]
    assert {result["file"].removesuffix(".py") for result in results} == files.keys()
    assert [result for result in results if not result["ok"]] == []
