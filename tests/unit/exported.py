"""Campaigns on disk that look as a night leaves them, small enough to be exported by the dozen."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import zstandard

from harness.manifest import manifest_sha256
from lab.bundle.archive import SEAL_HEAD, header
from lab.campaign import Campaign, open_campaign
from lab.facts import Facts
from lab.ledger import Record
from lab.settings import Settings, read_settings
from lab.show.results import write_results
from tests.unit.nights import make_night
from tests.unit.test_campaign import FACTS

PROGRAM = "Lower val_bpb.\n"
SEED_PY = "import torch\n\nDEPTH = 2\n" + "".join(f"VALUE_{n} = {n}\n" for n in range(40))


def make_settings(place: Path, **given: object) -> Settings:
    """Settings whose campaigns, data and brief lie below `place`."""
    (place / "program.md").write_text(PROGRAM)
    return read_settings(
        {},
        tag="nov23",
        runs=place / "runs",
        data=place / "data",
        state=place / "state",
        program=place / "program.md",
        **given,
    )


def make_campaign(
    settings: Settings,
    experiments: int = 5,
    *,
    change: Callable[[Record], Record] = lambda record: record,
    code: Callable[[int], str] | None = None,
    own_recipe: bool = True,
    more: Callable[[Campaign], object] | None = None,
) -> Path:
    """A finished campaign; its folder. `own_recipe` gives it a harness of its own, of one small file."""
    folder = settings.runs / "nov23"
    harness = folder / "recipe" / "harness"
    if own_recipe:
        harness.mkdir(parents=True)
        (folder / "recipe" / "images").mkdir()
        (harness / "judge.py").write_text("LOSS = 1\n")
        (folder / "recipe" / "images" / "Dockerfile").write_text("FROM scratch\n")
    source = harness if own_recipe else Path(__file__).resolve().parents[2] / "harness"
    facts = replace(FACTS, harness_sha256=manifest_sha256(source))
    with open_campaign(settings.runs, facts, seed_train_py=SEED_PY) as campaign:
        for record in _with_commits(campaign, make_night(experiments), code):
            campaign.ledger.append(change(record))
            _write_experiment(campaign, record)
        campaign.settle()
        (folder / "best").mkdir(exist_ok=True)
        (folder / "best" / "train.py").write_text(SEED_PY)
        (folder / "best" / "config.json").write_text("{}")
        (folder / "best" / "model.safetensors").write_bytes(b"weights" * 1000)
        best = campaign.ledger.best()
        (folder / "best" / "record.json").write_text(json.dumps({"number": best and best.number}))
        (folder / "events.jsonl").write_text('{"event": "overnight.started"}\n')
        (folder / "transcripts").mkdir()
        line = json.dumps({"kind": "begins", "brief": "Think."}).encode() + b"\n"
        (folder / "transcripts" / "0004.jsonl.gz").write_bytes(gzip.compress(line, mtime=0))
        if more:
            more(campaign)
    write_results(folder, campaign.ledger.records)
    return folder


def make_facts(settings: Settings) -> Facts:
    from lab.facts import FACTS_FILE, read_facts

    path = settings.runs / "nov23" / FACTS_FILE
    return read_facts(path, path.read_bytes())


def _with_commits(
    campaign: Campaign, night: Iterable[Record], code: Callable[[int], str] | None
) -> Iterable[Record]:
    """The records, with commits that are in the repository. Candidates start from the seed."""
    root = campaign.workspace.root()
    commits: dict[int, str] = {}
    for record in night:
        parent = commit = None
        if record.commit is not None:
            made_by = record.original or record.number
            text = code(made_by) if code else SEED_PY + f"NUMBER = {made_by}\n"
            stored = campaign.workspace.commit(
                text, number=record.number, parent=root, message=f"{record.number} {record.title}\n"
            )
            parent, commit = root, commits.setdefault(made_by, stored.commit)
        program = hashlib.sha256(PROGRAM.encode()).hexdigest()
        yield replace(record, parent=parent, commit=commit, program_sha256=program)


def _write_experiment(campaign: Campaign, record: Record) -> None:
    folder = campaign.folder_of(record.number)
    folder.mkdir(parents=True, exist_ok=True)
    draw = random.Random(record.number)
    lines = [f"step {step} | loss {draw.uniform(3, 7):.4f} | 8,000 tok/s\n" for step in range(20)]
    (folder / "train.log").write_text("".join(lines))
    (folder / "proposal.json").write_text("{}")
    (folder / "model.log").write_text("")


def pack(members: Sequence[tuple[bytes, bytes]], *, end: bytes = bytes(1024)) -> bytes:
    """A sealed bundle of raw tar headers and contents, whatever they are."""
    tar = b"".join(head + content + bytes(-len(content) % 512) for head, content in members)
    return seal(compress(tar + end))


def compress(tar: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(tar)


def seal(frame: bytes) -> bytes:
    return frame + SEAL_HEAD + hashlib.sha256(frame).digest()


def unpack(bundle: bytes) -> bytes:
    """The tar in a bundle."""
    return zstandard.ZstdDecompressor().stream_reader(io.BytesIO(bundle)).read()


def member(name: str, content: bytes = b"x", *, top: str = "nightlab-nov23") -> tuple[bytes, bytes]:
    return header(f"{top}/{name}", len(content)), content


def crooked(head: bytes, at: int, new: bytes) -> bytes:
    """A header with other bytes at a place, and the checksum that goes with them."""
    changed = bytearray(head)
    changed[at : at + len(new)] = new
    changed[148:156] = b" " * 8
    changed[148:156] = b"%06o\0 " % sum(changed)
    return bytes(changed)


def raw_header(name: str, size: int = 1, kind: bytes = b"0", link: str = "") -> bytes:
    """A header of any name and kind, as a hostile program would write it."""
    head = crooked(header("x", size), 0, name.encode()[:100].ljust(100, b"\0"))
    return crooked(head, 156, kind + link.encode().ljust(100, b"\0"))


def skippable(content: bytes) -> bytes:
    return struct.pack("<II", 0x184D2A50, len(content)) + content
