"""The frozen image, built by the product: what is in it, who may change it, and which image is refused."""

from __future__ import annotations

import io
import json
import os
import tarfile
import time

import pytest

from harness import wire
from harness.profiles import GIB, MIB
from lab.container import Engine
from lab.errors import ImageError
from lab.image import Image, Target, ensure_image, find_image, verify_image
from lab.image.check import FROZEN_HARNESS
from lab.image.found import HARNESS
from lab.sandbox import SealedSpec
from lab.settings import Settings, read_settings
from lab.setup import Ready

LOOK = r"""
import json, os, pathlib, shutil, subprocess, sys, tempfile

def writable(top):
    found = []
    for folder, folders, files in os.walk(top):
        for name in [*folders, *files]:
            path = os.path.join(folder, name)
            if not os.path.islink(path) and os.access(path, os.W_OK):
                found.append(path)
    return found

def compiles():
    source = pathlib.Path(tempfile.mkdtemp(), "a.cpp")
    source.write_text("#include <Python.h>\n#include <omp.h>\nint main() { return omp_get_max_threads() < 1; }")
    include = __import__("sysconfig").get_paths()["include"]
    done = subprocess.run(["g++", "-fopenmp", f"-I{include}", str(source), "-o", str(source) + ".out"])
    return done.returncode == 0 and subprocess.run([str(source) + ".out"]).returncode == 0

import torch, harness.prepare
print(json.dumps({
    "user": [os.getuid(), os.getgid()],
    "torch": torch.__version__,
    "cuda": torch.version.cuda,
    "harness": harness.prepare.__file__,
    "writable": writable("/opt/nightlab") + writable("/usr")[:5] + writable("/etc")[:5],
    "compiles": compiles(),
    "corpus": os.path.isdir("/opt/nightlab/corpus"),
    "wheels": [str(path) for path in pathlib.Path("/opt").rglob("*.whl")],
    "pip": shutil.which("pip") or shutil.which("pip3"),
    "bytecode": os.path.exists(torch.__cached__),
    "kernels": os.environ["NIGHTLAB_KERNELS"],
}))
"""


@pytest.fixture(scope="module", params=["frozen", "data"])
def built(request: pytest.FixtureRequest, ready: Ready) -> tuple[Image, Engine]:
    """Each target of the cpu image, built if it is not there."""
    target: Target = request.param
    settings = read_settings(os.environ)
    return ensure_image(ready.bench.engine, settings, "cpu", target, print), ready.bench.engine


@pytest.fixture
def frozen(ready: Ready) -> tuple[Image, Engine]:
    """The image that experiments run in."""
    return ready.image, ready.bench.engine


def look_inside(engine: Engine, image: Image) -> dict[str, object]:
    spec = SealedSpec(
        role="tool",
        campaign="test-image",
        experiment=0,
        image=image.id,
        command=("python", "-c", LOOK),
        mounts=(),
        environment={wire.PROFILE_VARIABLE: "smoke"},
        gpu_uuid=None,
        cpus=None,
        memory_bytes=2 * GIB,
        scratch_bytes=256 * MIB,
        deadline_s=120,
    )
    with engine.start(spec) as container:
        lines = list(container.lines())
        assert container.finish().exit_code == 0, container.finish().log.decode()
    found: dict[str, object] = json.loads(lines[-1])
    return found


def test_the_image_holds_what_an_experiment_needs_and_nothing_it_could_change(
    built: tuple[Image, Engine],
) -> None:
    """An experiment that could write here would leave something for the next one, or for its judge."""
    image, engine = built
    found = look_inside(engine, image)
    assert found.pop("torch") == "2.13.0+cpu" or image.lock == "cuda.lock"
    found.pop("cuda")
    assert found == {
        "user": [10001, 10001],
        "harness": f"{FROZEN_HARNESS}/prepare.py",
        "writable": [],
        "compiles": True,
        # A train container that could read the corpus could read the validation text.
        "corpus": image.target == "data",
        "wheels": [],
        "pip": None,
        "bytecode": True,
        "kernels": "none",
    }


def test_a_second_build_finds_the_first_at_once(
    built: tuple[Image, Engine], settings: Settings
) -> None:
    """Every `make overnight` begins with this."""
    image, engine = built
    began = time.monotonic()
    again = ensure_image(engine, settings, "cpu", image.target, pytest.fail)  # type: ignore[arg-type]
    assert again == image
    assert time.monotonic() - began < 2


def test_an_image_of_this_checkout_passes(built: tuple[Image, Engine]) -> None:
    """The control: what is refused below is refused for its difference alone."""
    image, engine = built
    verify_image(engine, image)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        pytest.param("echo 'cheat = 1' >> judge.py", "judge.py differs", id="changed"),
        pytest.param("rm judge.py", "judge.py differs", id="removed"),
        pytest.param("echo x > extra.py", "extra.py differs", id="added"),
        pytest.param("echo x > torch.so", "torch.so differs", id="added-no-python"),
        pytest.param("ln -sf /tmp/judge.py judge.py", "judge.py differs", id="linked-elsewhere"),
        pytest.param("chmod o+w judge.py", "can be changed by others", id="writable"),
        pytest.param("chown 10001 judge.py", "can be changed by others", id="owned-by-the-agent"),
        pytest.param(
            "echo {} > ../harness-manifest.json", "harness-manifest.json differs", id="manifest"
        ),
    ],
)
def test_an_altered_image_is_refused_although_its_labels_are_right(
    frozen: tuple[Image, Engine], change: str, complaint: str
) -> None:
    """Labels are claims; only the files themselves are believed."""
    image, engine = frozen
    recipe = (
        f"FROM {image.id}\nUSER root\nWORKDIR {FROZEN_HARNESS}\nRUN {change}\nLABEL nightlab=test\n"
    )
    altered = build(engine, recipe)
    try:
        with pytest.raises(ImageError) as caught:
            verify_image(engine, Image(**{**as_dict(image), "id": altered}))
        assert complaint in caught.value.why
        assert "nothing was run" in caught.value.do
    finally:
        engine.client.api.remove_image(altered, force=True)


def test_an_image_that_is_gone_is_an_error_not_a_crash(frozen: tuple[Image, Engine]) -> None:
    """People prune images."""
    image, engine = frozen
    with pytest.raises(ImageError, match="gone"):
        verify_image(engine, Image(**{**as_dict(image), "id": "sha256:" + "0" * 64}))


def test_an_image_of_another_harness_is_not_found(
    built: tuple[Image, Engine], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a change in harness/ the lab builds again; it never runs yesterday's judge."""
    image, engine = built
    assert find_image(engine, settings, "cpu", image.target) == image  # type: ignore[arg-type]
    monkeypatch.setattr("lab.image.found.HARNESS", HARNESS.parent / "lab")
    assert find_image(engine, settings, "cpu", image.target) is None  # type: ignore[arg-type]


def build(engine: Engine, recipe: str) -> str:
    """Build a Dockerfile without a context; the id of the image."""
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        entry = tarfile.TarInfo("Dockerfile")
        entry.size = len(recipe)
        tar.addfile(entry, io.BytesIO(recipe.encode()))
    context.seek(0)
    lines = list(
        engine.client.api.build(
            fileobj=context, custom_context=True, rm=True, forcerm=True, decode=True
        )
    )
    ids = [line["aux"]["ID"] for line in lines if "aux" in line]
    assert ids, lines
    return str(ids[-1])


def as_dict(image: Image) -> dict[str, str]:
    return {name: getattr(image, name) for name in Image.__slots__}
