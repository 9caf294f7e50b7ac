"""A campaign as a bundle: the same bytes every time, all that a receiver needs, and nothing that is private."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import socket
import subprocess
import sys
import tarfile
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from lab.bundle import export as export_module
from lab.bundle.archive import BLOCK
from lab.bundle.export import Wanted, export
from lab.bundle.layout import most_bytes
from lab.bundle.unpacked import opened
from lab.campaign import Campaign
from lab.errors import BadInput, BundleError, CampaignBusy, CampaignError
from lab.ledger import Record
from lab.runs import is_running, locked
from lab.settings import Settings
from tests.unit.exported import SEED_PY, make_campaign, make_facts, make_settings, unpack

KEY = "sk-" + "planted0123456789abcdef"
GPU = "GPU-11112222-3333-4444-5555-666677778888"
HOST = "zebra-lab-7"
MACHINE = "0123456789abcdef0123456789abcdef"


@pytest.fixture(autouse=True)
def _host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host with a name, a user and a number that can be looked for."""
    home = tmp_path / "home" / "alice"
    home.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr(socket, "gethostname", lambda: HOST)
    (tmp_path / "machine-id").write_text(MACHINE + "\n")
    monkeypatch.setattr("lab.bundle.private._MACHINE_FILES", (str(tmp_path / "machine-id"),))


def make(place: Path, **given: object) -> Settings:
    place.mkdir(exist_ok=True)
    settings = make_settings(place)
    make_campaign(settings, **given)  # type: ignore[arg-type]
    return settings


def ship(
    settings: Settings, output: Path, lines: list[str] | None = None, **wanted: object
) -> Path:
    said = lines if lines is not None else []
    return export(settings, output, Wanted(**wanted), said.append).file  # type: ignore[arg-type]


def contents(bundle: Path) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(unpack(bundle.read_bytes()))) as tar:
        return {
            entry.name.partition("/")[2]: tar.extractfile(entry).read()  # type: ignore[union-attr]
            for entry in tar
        }


def test_two_exports_are_the_same_bytes(tmp_path: Path) -> None:
    """At another time, from another path, with loose objects or packed: a sha256 names a night."""
    settings = make(tmp_path / "a")
    first = ship(settings, tmp_path / "1.tar.zst").read_bytes()
    shutil.copytree(tmp_path / "a", tmp_path / "elsewhere")
    other = settings.model_copy(
        update={name: tmp_path / "elsewhere" / name for name in ("runs", "data", "state")}
    )
    repo = other.runs / "nov23" / "repo"
    for command in (
        ["repack", "-adfq", "--depth=50"],
        ["pack-refs", "--all"],
        ["commit-graph", "write"],
    ):
        subprocess.run(["git", "-C", str(repo), *command], check=True, capture_output=True)
    assert not list(repo.glob(".git/objects/??")), "every object is packed"
    assert ship(other, tmp_path / "2.tar.zst").read_bytes() == first


def test_what_is_in_a_bundle_is_what_the_layout_says(tmp_path: Path) -> None:
    """No event log, no proposal, no model's output; and every file of the records."""
    settings = make(tmp_path / "a")
    found = contents(ship(settings, tmp_path / "b.tar.zst"))
    assert all(most_bytes(name) for name in found)
    assert {
        "data/campaign.json",
        "data/ledger.jsonl",
        "data/results.tsv",
        "data/results.parquet",
        "data/program.md",
        "data/repo.bundle",
        "data/experiments/0001/train.log",
        "data/experiments/0001/audit.json",
        "data/best/train.py",
        "data/best/record.json",
        "data/recipe/harness/judge.py",
        "data/recipe/images/Dockerfile",
        "data/ro-crate-metadata.json",
    } <= found.keys()
    assert not any("model" in name or "transcripts" in name or "image/" in name for name in found)
    assert json.loads(found["data/experiments/0001/audit.json"])["passed"] is True


def test_weights_transcripts_and_telemetry_come_where_they_are(tmp_path: Path) -> None:
    """What is asked for, and what other parts of the lab left in an experiment's folder."""

    def more(campaign: Campaign) -> None:
        table = pa.table({"power_w": [1.0, 2.0]})
        parquet.write_table(table, campaign.folder_of(1) / "telemetry.parquet")
        (campaign.folder_of(1) / "audit.json").write_text('{"left": "of a killed run"}\n')
        (campaign.folder_of(5) / "audit.json").write_text('{"left": "of a killed run"}\n')
        (campaign.folder / "data-of-today").write_text("no")

    settings = make(tmp_path / "a", more=more)
    found = contents(ship(settings, tmp_path / "b.tar.zst", weights=True, transcripts=True))
    assert found["data/best/model.safetensors"] == b"weights" * 1000
    assert b"Think." in found["data/transcripts/0004.jsonl"]
    assert b"killed" not in found["data/experiments/0001/audit.json"]
    assert "data/experiments/0005/audit.json" not in found
    assert found["data/experiments/0001/telemetry.parquet"].startswith(b"PAR1")


def test_git_reads_the_commits_in_a_bundle(tmp_path: Path) -> None:
    """Branch and experiments, whole: fsck has nothing to say, and a file over a pack's block survives."""
    big = SEED_PY + "#" * 150_000 + "\n"
    settings = make(tmp_path / "a", experiments=6, code=lambda number: f"N = {number}\n" + big)
    (tmp_path / "repo.bundle").write_bytes(
        contents(ship(settings, tmp_path / "b.tar.zst"))["data/repo.bundle"]
    )
    git = ["git", "-C", str(tmp_path / "clone")]
    subprocess.run(["git", "init", "-q", str(tmp_path / "clone")], check=True)
    fetch = ["-c", "fetch.fsckObjects=true", "fetch", "-q", "../repo.bundle", "refs/*:refs/got/*"]
    subprocess.run([*git, *fetch], check=True)
    subprocess.run([*git, "fsck", "--strict"], check=True, capture_output=True)
    theirs = subprocess.check_output(
        [*git, "for-each-ref", "--format=%(objectname) %(refname:lstrip=2)"], text=True
    )
    mine = subprocess.check_output(
        ["git", "-C", str(settings.runs / "nov23" / "repo"), "for-each-ref", "--format=%(objectname) %(refname:lstrip=1)"], text=True,
    )  # fmt: skip
    assert theirs and sorted(theirs.splitlines()) == sorted(mine.splitlines())
    blob = subprocess.check_output([*git, "show", "refs/got/experiments/0004:train.py"], text=True)
    assert blob == "N = 4\n" + big


# Where a user, an agent or another part of the lab could leave something private.
def in_title(secret: str) -> dict[str, object]:
    return {"change": lambda record: replace(record, title=f"try {secret} now")}


def in_hypothesis(secret: str) -> dict[str, object]:
    return {"change": lambda record: replace(record, hypothesis=f"because {secret}")}


def in_reason(secret: str) -> dict[str, object]:
    return {
        "change": lambda record: replace(
            record, trial=replace(record.trial, reason=f"at {secret}: no")
        )
    }


def in_code(secret: str) -> dict[str, object]:
    return {"code": lambda number: f"# {number} {secret}\n"}


def in_file(name: str) -> Callable[[str], dict[str, object]]:
    def plant(secret: str) -> dict[str, object]:
        def more(campaign: Campaign) -> None:
            (campaign.folder / name).write_text(f"one\ntwo {secret} three\n")

        return {"more": more}

    return plant


def in_parquet(secret: str) -> dict[str, object]:
    def more(campaign: Campaign) -> None:
        # Enough other text that the compressor leaves no word of it as it was, and no statistics beside it.
        lines = [f"{hash(str(n)):x} python --run {n * n}" for n in range(400)] + [
            f"python {secret}/x.py"
        ]
        parquet.write_table(
            pa.table({"process": lines}),
            campaign.folder_of(1) / "telemetry.parquet",
            compression="zstd",
            write_statistics=False,
            use_dictionary=False,
        )

    return {"more": more}


def in_picture(secret: str) -> dict[str, object]:
    return in_file("progress.png")(secret)


REFUSING = {
    "title": in_title,
    "hypothesis": in_hypothesis,
    "reason": in_reason,
    "code": in_code,
    "best": in_file("best/train.py"),
    "config": in_file("best/config.json"),
    "telemetry": in_parquet,
    "picture": in_picture,
    "recipe": in_file("recipe/images/Dockerfile"),
}


@pytest.mark.parametrize("plant", REFUSING.values(), ids=REFUSING.keys())
@pytest.mark.parametrize("kind", ["key", "home", "checkout", "runs", "host", "gpu", "machine"])
def test_something_private_is_refused_with_the_name_of_its_file(
    tmp_path: Path, plant: Callable[[str], dict[str, object]], kind: str
) -> None:
    """The records vouch for these files, so they cannot be changed: they are not shipped."""
    settings = make_settings(tmp_path)
    secret = secret_of(kind, settings)
    make_campaign(settings, experiments=4, **plant(secret))  # type: ignore[arg-type]
    with pytest.raises(BundleError, match="nothing was written") as caught:
        ship(settings, tmp_path / "b.tar.zst")
    assert not (tmp_path / "b.tar.zst").exists()
    assert " holds " in caught.value.what and caught.value.exit_code == 9
    assert kind != "key" or KEY not in str(caught.value)


def secret_of(kind: str, settings: Settings) -> str:
    from lab.settings import CHECKOUT

    return {
        "key": KEY,
        "home": str(Path.home() / "notes"),
        "checkout": str(CHECKOUT / "lab"),
        "runs": str(settings.runs),
        "host": HOST.upper(),
        "gpu": GPU,
        "machine": MACHINE,
    }[kind]


@pytest.mark.parametrize("kind", ["key", "home", "checkout", "runs", "host", "gpu", "machine"])
def test_no_byte_of_a_bundle_is_private(tmp_path: Path, kind: str) -> None:
    """Planted where a night may leave it and the bundle may be changed; then the whole tar is searched."""
    settings = make_settings(tmp_path)
    secret = secret_of(kind, settings)

    def more(campaign: Campaign) -> None:
        for name in ("events.jsonl", "notebook.md", "experiments/0001/model.log"):
            (campaign.folder / name).write_text(secret)
        for name in ("train.log", "proposal.json", "change.diff"):
            (campaign.folder_of(1) / name).write_text(f"before {secret} after\n")
        line = json.dumps({"kind": "told", "text": f"x {secret} y", "api_key": secret})
        (campaign.folder / "transcripts" / "0004.jsonl.gz").write_bytes(
            gzip.compress(line.encode() + b"\n")
        )

    make_campaign(settings, experiments=4, more=more)
    lines: list[str] = []
    shipped = ship(settings, tmp_path / "b.tar.zst", lines, transcripts=True)
    assert secret.lower().encode() not in unpack(shipped.read_bytes()).lower()
    assert any("experiments/0001/train.log" in line and "[redacted]" in line for line in lines)
    found = contents(shipped)
    assert b"before [redacted]" in found["data/experiments/0001/train.log"]
    assert b"[redacted]" in found["data/transcripts/0004.jsonl"]


def test_a_key_of_the_environment_is_looked_for_whatever_it_looks_like(tmp_path: Path) -> None:
    """No pattern knows the keys of a server that somebody runs at home."""
    settings = make_settings(tmp_path).model_copy(
        update={"keys": {"COMPATIBLE_API_KEY": "open.sesame"}}
    )
    make_campaign(settings, **in_title("open.sesame"))  # type: ignore[arg-type]
    with pytest.raises(BundleError, match="a key"):
        ship(settings, tmp_path / "b.tar.zst")


def test_what_a_user_allows_is_shipped_and_said(tmp_path: Path) -> None:
    """A host that is named like an idea must not make a night unshareable; but never silently."""
    settings = make_settings(tmp_path)
    make_campaign(settings, **in_title(HOST))  # type: ignore[arg-type]
    lines: list[str] = []
    shipped = ship(settings, tmp_path / "b.tar.zst", lines, allowed=(HOST,))
    assert HOST.encode() in contents(shipped)["data/ledger.jsonl"]
    assert any(HOST in line and "allowed" in line for line in lines)


def test_common_words_are_not_taken_for_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """root, localhost and a host named `vm` are in every second file."""
    monkeypatch.setenv("HOME", "/root")
    monkeypatch.setattr(socket, "gethostname", lambda: "vm")
    settings = make_settings(tmp_path)
    make_campaign(settings, **in_title("a vm in /root on localhost"))  # type: ignore[arg-type]
    assert ship(settings, tmp_path / "b.tar.zst").exists()


def test_the_checkout_must_be_the_one_that_made_the_campaign(tmp_path: Path) -> None:
    """Else the receiver would rebuild another image, and blame the sender."""
    settings = make(tmp_path / "a", own_recipe=False)
    found = contents(ship(settings, tmp_path / "b.tar.zst"))
    assert "data/recipe/harness/audit.py" in found and "data/recipe/images/cpu.lock" in found
    settings = make(tmp_path / "b")
    shutil.rmtree(settings.runs / "nov23" / "recipe")
    with pytest.raises(BundleError, match="not the one that made") as caught:
        ship(settings, tmp_path / "c.tar.zst")
    assert "git worktree" in caught.value.do and not (tmp_path / "c.tar.zst").exists()


def test_a_brief_that_was_changed_is_left_out_and_said(tmp_path: Path) -> None:
    """The record has the sha256 of what the agent was told; another text is no evidence."""
    settings = make(tmp_path / "a")
    settings.program.write_text("Something else.\n")
    lines: list[str] = []
    assert "data/program.md" not in contents(ship(settings, tmp_path / "b.tar.zst", lines))
    assert any("program.md was changed" in line for line in lines)


def test_a_campaign_that_somebody_works_on_is_not_exported(tmp_path: Path) -> None:
    """Half a night would be shipped as a whole one."""
    settings = make(tmp_path / "a")
    with locked(settings.runs / "nov23"), pytest.raises(CampaignBusy):
        ship(settings, tmp_path / "b.tar.zst")


def test_who_bundles_a_campaign_does_not_run_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every page would show a night, with buttons to stop it; but no night may begin meanwhile."""
    settings = make(tmp_path / "a")
    folder, seal, seen = settings.runs / "nov23", export_module._seal, []

    def looking(*given: Any, **named: Any) -> list[str]:
        seen.append(is_running(folder))
        with pytest.raises(CampaignBusy), locked(folder):
            pass
        return seal(*given, **named)

    monkeypatch.setattr(export_module, "_seal", looking)
    ship(settings, tmp_path / "b.tar.zst")
    assert seen == [False]


def test_an_altered_ledger_is_not_shipped(tmp_path: Path) -> None:
    """The sender finds out before the receiver does."""
    settings = make(tmp_path / "a")
    ledger = settings.runs / "nov23" / "ledger.jsonl"
    content = ledger.read_bytes()
    ledger.write_bytes(content.replace(b'"number": 2', b'"number": 7'))
    with pytest.raises(CampaignError, match=f"{ledger} was altered"):
        ship(settings, tmp_path / "b.tar.zst")
    ledger.write_bytes(content + b'{"torn')
    assert contents(ship(settings, tmp_path / "b.tar.zst"))["data/ledger.jsonl"] == content
    assert ledger.read_bytes() == content + b'{"torn', "looking changes nothing"


@pytest.mark.parametrize("what", ["best", "branch", "repository"])
def test_a_night_that_was_killed_settles_before_it_is_shipped(tmp_path: Path, what: str) -> None:
    """Else an honest sender would ship what a receiver must take for a forgery."""
    settings = make(tmp_path / "a", experiments=6)
    folder = settings.runs / "nov23"
    if what == "best":
        (folder / "best" / "record.json").write_text('{"number": 99}')
    elif what == "branch":
        move = ["update-ref", "refs/heads/autoresearch/nov23", "refs/experiments/0004"]
        subprocess.run(["git", "-C", str(folder / "repo"), *move], check=True)
    else:
        shutil.rmtree(folder / "repo")
    with pytest.raises(BundleError, match="interrupted") as caught:
        ship(settings, tmp_path / "b.tar.zst")
    assert "EXPERIMENTS=0" in caught.value.do


def test_tables_that_a_killed_night_left_behind_are_not_shipped(tmp_path: Path) -> None:
    """They follow from the ledger, and a receiver will say so if they do not."""
    settings = make(tmp_path / "a")
    whole = (settings.runs / "nov23" / "results.tsv").read_bytes()
    (settings.runs / "nov23" / "results.tsv").write_bytes(whole[: len(whole) // 2])
    assert contents(ship(settings, tmp_path / "b.tar.zst"))["data/results.tsv"] == whole


def test_what_cannot_be_read_or_written_is_an_error_in_words(tmp_path: Path) -> None:
    """No traceback for a folder that is not there, and the campaign is as it was."""
    settings = make(tmp_path / "a")
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleError, match="could not be written"):
        ship(settings, tmp_path / "file" / "b.tar.zst")
    (settings.runs / "nov23" / "lock").unlink()
    (settings.runs / "nov23" / "lock").mkdir()
    with pytest.raises(BundleError, match="could not be written"):
        ship(settings, tmp_path / "b.tar.zst")


def test_a_bundle_may_be_replaced_and_nothing_else(tmp_path: Path) -> None:
    """`--output thesis.pdf` must not cost a thesis."""
    settings = make(tmp_path / "a")
    place = tmp_path / "b.tar.zst"
    assert ship(settings, place).read_bytes() == ship(settings, place).read_bytes()
    (tmp_path / "thesis.pdf").write_bytes(b"%PDF" * 100)
    with pytest.raises(BadInput, match="is no bundle"):
        ship(settings, tmp_path / "thesis.pdf")
    assert (tmp_path / "thesis.pdf").read_bytes() == b"%PDF" * 100


def test_weights_that_are_not_there_are_not_promised(tmp_path: Path) -> None:
    """--with-weights without weights is an error, and not a bundle without them."""
    settings = make(tmp_path / "a")
    (settings.runs / "nov23" / "best" / "model.safetensors").unlink()
    with pytest.raises(BundleError, match="no weights"):
        ship(settings, tmp_path / "b.tar.zst", weights=True)


def test_the_image_travels_as_an_oci_layout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the engine hands out goes in as it is, under names that the layout knows."""
    asked: list[object] = []

    def export_oci(engine: object, image_id: str, into: Path) -> None:
        asked.extend([engine, image_id])
        blobs = into / "blobs" / "sha256"
        blobs.mkdir(parents=True)
        (blobs / ("a" * 64)).write_bytes(bytes(BLOCK))
        (into / "index.json").write_text("{}")
        (into / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')

    moved = ModuleType("lab.image.moved")
    moved.export_oci = export_oci  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lab.image.moved", moved)
    monkeypatch.setattr("lab.bundle.export.ensure_engine", lambda settings, say: "unix:///sock")
    monkeypatch.setattr("lab.container.Engine.connect", lambda host: nullcontext(f"engine {host}"))
    settings = make(tmp_path / "a")
    with opened(ship(settings, tmp_path / "b.tar.zst", image=True)) as bundle:
        assert (bundle.payload / "image" / "blobs" / "sha256" / ("a" * 64)).stat().st_size == BLOCK
    assert asked == ["engine unix:///sock", make_facts(settings).image_id]


def test_an_empty_campaign_is_a_bundle_too(tmp_path: Path) -> None:
    """A night that was stopped before its first experiment has facts, and they can be asked for."""
    settings = make(tmp_path / "a", experiments=0)
    with opened(ship(settings, tmp_path / "b.tar.zst")) as bundle:
        assert all(check.passed in (True, None) for check in bundle.checks)


def test_a_record_of_every_kind_can_be_described(tmp_path: Path) -> None:
    """Crashes, rejections and re-runs have entities too, each with the file that it left."""

    def human(record: Record) -> Record:
        return replace(record, agent="human" if record.number % 2 else "anthropic")

    settings = make(tmp_path / "a", experiments=60, change=human)
    crate = json.loads(
        contents(ship(settings, tmp_path / "b.tar.zst"))["data/ro-crate-metadata.json"]
    )
    actions = [one for one in crate["@graph"] if one["@type"] == "CreateAction"]
    assert len(actions) == 60
    assert {action["actionStatus"].rpartition("/")[2] for action in actions} == {
        "CompletedActionStatus",
        "FailedActionStatus",
    }
    assert all("error" in action for action in actions if "Failed" in action["actionStatus"])
    names = [one["@id"] for one in crate["@graph"]]
    assert len(names) == len(set(names))
