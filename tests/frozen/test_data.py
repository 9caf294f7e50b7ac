"""Data folders: the same text gives the same bytes, nothing held out is learned from, complete or absent."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import conftest
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness import books, data, datafolder
from harness.books import Books
from harness.climbmix import HOLDOUT_SHARD, VAL_SHARD, shard_name
from harness.corpus import read_sections
from harness.data import check_data, make_data
from harness.errors import DataError
from harness.packing import DocumentStore
from harness.profiles import Profile
from harness.tokenizer import bos_id, load_tokenizer


def make(corpus: Path, tiny: Profile, out: Path) -> tuple[dict[str, Any], list[str]]:
    lines: list[str] = []
    out.mkdir(parents=True, exist_ok=True)
    return make_data(tiny, Books(corpus, tiny), out, lines.append), lines


@pytest.fixture(scope="module")
def made(corpus: Path, tiny: Profile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete data folder, read by many tests and changed by none."""
    out = tmp_path_factory.mktemp("made")
    make(corpus, tiny, out)
    return out


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    """A data folder to damage."""
    return shutil.copytree(made, tmp_path / "copy")


def test_the_folder_holds_what_each_container_may_see(made: Path) -> None:
    """train/ is linked into the training container, judge/ never is: a file in the wrong one leaks it."""
    files = {path.relative_to(made).as_posix() for path in made.rglob("*") if path.is_file()}
    assert files == {
        "manifest.json",
        "train/tokenizer.json",
        "train/tokens-00000.npy",
        "train/documents-00000.npy",
        "train/rows-32.npy",
        "judge/val.npy",
        "judge/holdout.npy",
        "judge/byte_lengths.npy",
        "judge/upstream_byte_lengths.npy",
    }
    assert set(json.loads((made / "manifest.json").read_text())["files"]) == files - {
        "manifest.json"
    }


def test_two_runs_give_the_same_bytes(
    corpus: Path, tiny: Profile, made: Path, tmp_path: Path
) -> None:
    """Two labs can only compare scores if they trained and judged on the same tokens."""
    again, _ = make(corpus, tiny, tmp_path / "again")
    assert again["files"] == json.loads((made / "manifest.json").read_text())["files"]


def texts_of_rows(rows: np.ndarray, made: Path) -> list[str]:
    tokenizer = load_tokenizer(made / "train" / "tokenizer.json")
    bos = bos_id(tokenizer)
    out = []
    for row in rows.tolist():
        starts = [index for index, token in enumerate(row) if token == bos] + [len(row)]
        out += [tokenizer.decode(row[a + 1 : b]) for a, b in itertools.pairwise(starts)]
    return out


def test_no_held_out_text_stands_in_train(made: Path) -> None:
    """Validation on text that was trained on measures memory."""
    documents = DocumentStore.open(made / "train")
    train_rows = [
        documents.shards[0][start:end][None]
        for start, end in zip(documents.starts, documents.ends, strict=True)
    ]
    train = "\n".join(text for row in train_rows for text in texts_of_rows(row, made))
    for split in ("val", "holdout"):
        held_out = texts_of_rows(np.load(made / "judge" / f"{split}.npy"), made)
        sentences = {s for text in held_out for s in re.findall(r"[a-z]+(?: [a-z]+){3,}", text)}
        assert len(sentences) > 10
        assert not [sentence for sentence in sentences if sentence in train]


def test_the_tokenizer_learns_from_train_alone(corpus: Path, tiny: Profile, tmp_path: Path) -> None:
    """Merges learned from validation text would carry some of it into every model."""
    heard: list[str] = []

    class Listening(Books):
        def tokenizer_text(self) -> Iterator[str]:
            for document in super().tokenizer_text():
                heard.append(document)
                yield document

    make_data(tiny, Listening(corpus, tiny), tmp_path, lambda line: None)
    splits = books.read_books(corpus, tiny)
    assert heard == splits["train"]
    assert not set(heard) & {*splits["val"], *splits["holdout"]}


def test_a_section_is_never_divided_between_splits(corpus: Path, tiny: Profile) -> None:
    """The end of a chapter is easy to predict for who has read its beginning."""
    where: dict[str, set[str]] = {}
    splits = books.read_books(corpus, tiny)
    owner = {
        word: (file, section.title)
        for file in books.corpus_files(tiny)
        for section in read_sections(corpus / file)
        for word in [section.text[:40]]
    }
    for split, documents in splits.items():
        for document in documents:
            if document[:40] in owner:
                where.setdefault(str(owner[document[:40]]), set()).add(split)
    assert len(where) == len(owner) and all(len(found) == 1 for found in where.values())
    sizes = {split: sum(map(len, documents)) for split, documents in splits.items()}
    assert min(sizes["val"], sizes["holdout"]) > 0.05 * sizes["train"]


def test_a_section_stays_in_its_split_when_others_come(corpus: Path, tiny: Profile) -> None:
    """A corrected corpus must not move old validation text into training."""
    section = read_sections(corpus / "austen.txt")[3]
    assert books.split_of("austen.txt", section) == books.split_of(
        "austen.txt", replace(section, text="another text")
    )


def test_rows_are_exactly_as_many_as_the_profile_says(made: Path, tiny: Profile) -> None:
    """The judge scores every one; one more or less would be another validation set."""
    manifest = json.loads((made / "manifest.json").read_text())
    bos = tiny.vocab_size - 4
    for split, wanted in (("val", tiny.val_rows), ("holdout", tiny.holdout_rows)):
        rows = np.load(made / "judge" / f"{split}.npy")
        assert rows.shape == (wanted, tiny.sequence_len + 1) and rows.dtype == np.uint16
        assert (rows[:, 0] == bos).all()
        assert manifest["counts"][split]["rows"] == wanted
    train = np.load(made / "train" / "rows-32.npy")
    counts = manifest["counts"]["train"]
    assert train.shape == (counts["rows"], tiny.sequence_len + 1)
    assert counts["row_tokens"] == train.size
    assert counts["tokens"] == len(np.load(made / "train" / "tokens-00000.npy"))
    assert 0 < counts["cropped_share"] < 1


def test_byte_counts_are_of_the_text_itself(made: Path, corpus: Path, tiny: Profile) -> None:
    """Bytes a token is what turns a loss into bits a byte."""
    counts = json.loads((made / "manifest.json").read_text())["counts"]["train"]
    lengths = np.load(made / "judge" / "byte_lengths.npy")
    assert lengths[np.load(made / "train" / "tokens-00000.npy")].sum() == counts["bytes"]
    documents = books.read_books(corpus, tiny)["train"]
    assert counts["bytes"] == sum(len(document.encode()) for document in documents)
    assert counts["documents"] == len(documents)


def test_a_second_call_finds_it_complete(corpus: Path, tiny: Profile, copy: Path) -> None:
    """`make overnight` calls it every time."""
    before = {path: path.stat().st_mtime_ns for path in copy.rglob("*")}
    _, lines = make(corpus, tiny, copy)
    assert lines == ["data is complete"]
    assert {path: path.stat().st_mtime_ns for path in copy.rglob("*")} == before


def drop_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def cut_rows(folder: Path) -> None:
    path = folder / "train" / "rows-32.npy"
    path.write_bytes(path.read_bytes()[:-10])


def drop_val(folder: Path) -> None:
    (folder / "judge" / "val.npy").unlink()


def leave_half_made(folder: Path) -> None:
    drop_manifest(folder)
    (folder / "train").rename(folder / ".making")
    (folder / ".making" / "judge").write_text("a file where a folder should be")


@pytest.mark.parametrize("damage", [drop_manifest, cut_rows, drop_val, leave_half_made])
def test_what_is_incomplete_is_made_again(
    corpus: Path, tiny: Profile, copy: Path, made: Path, damage: Any
) -> None:
    """A night that was killed while it prepared must not train on half the text."""
    damage(copy)
    manifest, _ = make(corpus, tiny, copy)
    assert manifest == json.loads((made / "manifest.json").read_text())
    check_data(copy, lambda line: None)
    assert not (copy / ".making").exists()


def test_another_profile_or_text_or_code_makes_it_again(
    corpus: Path, tiny: Profile, copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old data under new code would be scored as if it were new."""
    for profile in (tiny, replace(tiny, val_rows=21)):
        _, lines = make(corpus, profile, copy)
    assert "making it again" in lines[0]
    other = conftest.write_made_up_corpus(tmp_path / "other", words=160)
    _, lines = make(other, profile, copy)
    assert "making it again" in lines[0]
    monkeypatch.setattr(data, "_CODE", ("books",))
    _, lines = make(other, profile, copy)
    assert "making it again" in lines[0]


def test_until_all_is_in_place_there_is_no_manifest(
    corpus: Path, tiny: Profile, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash while the old files are replaced must not leave the old manifest over new files."""
    cut_rows(copy)

    remove = shutil.rmtree

    def power_cut(path: Path) -> None:
        if path.parent == copy:
            raise RuntimeError("power cut")
        remove(path)

    monkeypatch.setattr(datafolder.shutil, "rmtree", power_cut)
    with pytest.raises(RuntimeError, match="power cut"):
        make(corpus, tiny, copy)
    assert datafolder.read_manifest(copy) is None


def test_check_finds_one_changed_byte(copy: Path) -> None:
    """A size is the same when a byte flips on a disk."""
    path = copy / "judge" / "val.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"altered or missing: judge/val\.npy"):
        check_data(copy, lambda line: None)


def test_check_of_an_unfinished_folder_is_an_error(copy: Path) -> None:
    """Complete and absent are the only two states."""
    drop_manifest(copy)
    with pytest.raises(DataError, match="no complete data"):
        check_data(copy, lambda line: None)


def test_too_little_text_is_an_error(corpus: Path, tiny: Profile, tmp_path: Path) -> None:
    """A shorter validation set would be another one under the same name."""
    with pytest.raises(DataError, match=r"too little text for val\.npy"):
        make(corpus, replace(tiny, val_rows=100_000), tmp_path)
    assert datafolder.read_manifest(tmp_path) is None


@pytest.mark.parametrize("content", ["", "[1]", "{}", '{"files": 3, "request": {}, "source": {}}'])
def test_a_manifest_that_is_none_is_an_error(copy: Path, content: str) -> None:
    """It decides what is trained on; nothing may be guessed from half of one."""
    (copy / "manifest.json").write_text(content)
    with pytest.raises(DataError, match="not a manifest"):
        datafolder.read_manifest(copy)


def test_documents_end_where_a_reader_would_pause(corpus: Path) -> None:
    """A document is scored without what came before it, so it should begin at a beginning."""
    text = ("One sentence here. " * 30).strip() + "\n\n" + "Another paragraph follows it. " * 8
    first, *rest = books.cut(text, 500)
    assert first == ("One sentence here. " * 30).strip()
    assert "".join([first, *rest]).replace(" ", "") == text.replace(" ", "").replace("\n", "")
    long_sentences = books.cut("word " * 19 + "stop. " + "word " * 100, 40)
    assert all(len(document) <= 60 for document in long_sentences)
    assert books.cut("x" * 95, 40) == ["x" * 60, "x" * 35]
    assert books.cut("  short  ", 40) == ["short"]
    assert books.cut(" \n ", 40) == []


# The command, as the controller calls it.


def run_data(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness.data", *map(str, words)],
        cwd=Path(data.__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_command_makes_smoke_data_and_says_each_step(tmp_path: Path) -> None:
    """It runs in a container: stdout is all that a person sees of it."""
    corpus = conftest.write_made_up_corpus(
        tmp_path / "corpus", sections=150, words=2200, files=books.SMOKE_FILES
    )
    out = tmp_path / "out"
    run = run_data("--profile", "smoke", "--corpus", corpus, "--out", out)
    assert (run.returncode, run.stderr) == (0, "")
    steps = [line.split(":")[0] for line in run.stdout.splitlines()]
    assert steps[:-1] == ["tokenizer", "train", "train", "val", "val", "holdout", "holdout"]
    assert np.load(out / "judge" / "val.npy").shape == (512, 129)
    assert run_data("--profile", "smoke", "--out", out, "--check").returncode == 0


def test_the_command_fails_clearly(tmp_path: Path) -> None:
    """What is missing, why, and what to do; no traceback."""
    run = run_data("--profile", "cpu", "--corpus", tmp_path / "nowhere", "--out", tmp_path / "out")
    assert run.returncode == 1
    assert "austen.txt cannot be read" in run.stderr and "do:" in run.stderr
    assert "Traceback" not in run.stderr
    blocked = tmp_path / "file"
    blocked.write_text("")
    run = run_data("--profile", "cpu", "--out", blocked)
    assert run.returncode == 1 and "cannot be written" in run.stderr
    run = run_data("--profile", "gpu", "--parquet", tmp_path, "--out", tmp_path / "out")
    assert run.returncode == 1 and f"{shard_name(0)} is missing" in run.stderr


def test_climbmix_shards_become_data_shard_by_shard(tmp_path: Path, tiny: Profile) -> None:
    """Half a billion tokens do not fit in memory, so a shard of text is a shard of tokens."""
    local = tmp_path / "parquet"
    local.mkdir()
    for number in (0, 1, HOLDOUT_SHARD, VAL_SHARD):
        documents = [conftest.made_up_text(50 * number + index, 80) for index in range(40)]
        pq.write_table(pa.table({"text": documents}), local / shard_name(number))
    profile = replace(tiny, dataset="climbmix", document_chars=None)
    out = tmp_path / "out"
    out.mkdir()
    words = ["--profile", "gpu", "--parquet", str(local), "--shards", "2", "--out", str(out)]
    arguments = data.read_arguments(words)
    lines: list[str] = []
    manifest = make_data(profile, data.open_source(profile, arguments), out, lines.append)
    assert len(list((out / "train").glob("tokens-*.npy"))) == 2
    assert manifest["counts"]["train"]["documents"] == 80
    assert all(manifest["source"]["shards"].values())
    # A second call knows the hashes from the manifest, and so finds the same request.
    make_data(profile, data.open_source(profile, arguments), out, lines.append)
    assert lines[-1] == "data is complete"
