"""The transcript: readable back, whole after every line, without a key, and no larger than it may be."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import pytest

from lab.agents import transcript as module
from lab.agents.transcript import Transcript, read_transcript, spent_in
from lab.redaction import REDACTED, plain, without_secrets

KEYS = [
    "sk-ant-api03-" + "Ab1_" * 10,
    "sk-proj-" + "x9" * 20,
    "AIza" + "Sy" * 18,
    "hf_" + "q" * 30,
    "Authorization: Bearer abcdef1234567890",
    "https://user:hunter22@proxy.example/v1",
]


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    """By this program, and by `zcat` alone."""
    path = tmp_path / "0007" / "transcript.jsonl.gz"
    Transcript(path).write("answer", {"text": "zwölf \U0001f600", "usd": 0.5, "tokens": 7})
    Transcript(path).write("told", {"results": [{"content": "x", "is_error": True}]})
    first, second = read_transcript(path)
    assert (first["kind"], first["text"], first["tokens"]) == ("answer", "zwölf \U0001f600", 7)
    assert second["results"] == [{"content": "x", "is_error": True}]
    assert gzip.decompress(path.read_bytes()).count(b"\n") == 2


@pytest.mark.parametrize("lost", [1, 7, 20])
def test_a_power_cut_takes_the_last_line_at_most(tmp_path: Path, lost: int) -> None:
    """And the lines after it can be read as well."""
    path = tmp_path / "t.gz"
    for number in range(3):
        Transcript(path).write("answer", {"text": f"{number}" * 50, "usd": 1.0, "tokens": 10})
    path.write_bytes(path.read_bytes()[:-lost])
    again = Transcript(path)
    again.mend()
    again.write("answer", {"text": "after", "usd": 1.0, "tokens": 10})
    assert [line["text"][:1] for line in read_transcript(path)] == ["0", "1", "a"]
    assert spent_in(path) == (3.0, 30)


def test_a_whole_transcript_is_not_mended(tmp_path: Path) -> None:
    """Mending is for what is torn."""
    path = tmp_path / "t.gz"
    Transcript(path).write("answer", {"text": "x"})
    before = path.read_bytes()
    Transcript(path).mend()
    assert path.read_bytes() == before


@pytest.mark.parametrize("key", KEYS)
def test_no_key_is_written_down(tmp_path: Path, key: str) -> None:
    """Wherever it stands: in a text, in a call's arguments, in a fact that is named for it."""
    path = tmp_path / "t.gz"
    Transcript(path).write(
        "answer",
        {"text": f"see {key}.", "calls": [{"written": f'{{"a": "{key}"}}'}], "api_key": "q"},
    )
    secret = key.removeprefix("Authorization: Bearer ").removeprefix("https://user:")[:16]
    (line,) = read_transcript(path)
    assert secret not in repr(line)
    assert line["api_key"] == REDACTED


def test_a_secret_that_looks_like_nothing_is_taken_out_where_it_is_known() -> None:
    """A local server's password has no form of its own."""
    assert without_secrets("say open sesame now", ["open sesame"]) == f"say {REDACTED} now"
    assert plain({"open sesame": ["open sesame"]}, known=["open sesame"]) == {REDACTED: [REDACTED]}


def test_numbers_are_never_secrets() -> None:
    """`tokens` and `tokens_per_s` are what the file is read for."""
    assert plain({"token": 5, "tokens_per_s": 1.5, "key": None}) == {
        "token": 5,
        "tokens_per_s": 1.5,
        "key": None,
    }
    assert plain({"loss": float("nan")}) == {"loss": "nan"}


def test_a_full_transcript_still_counts_the_money(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The texts stop, the bill does not."""
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 20_000)
    path = tmp_path / "t.gz"
    noise = random.Random(1)
    for _ in range(50):
        text = "".join(chr(noise.randrange(33, 126)) for _ in range(4000))
        Transcript(path).write("answer", {"text": text, "usd": 0.25, "tokens": 100})
    assert path.stat().st_size < 30_000
    assert spent_in(path) == (12.5, 5000)
    assert "text" not in read_transcript(path)[-1]


def test_one_long_text_is_cut(tmp_path: Path) -> None:
    """A line is read into memory whole."""
    path = tmp_path / "t.gz"
    Transcript(path).write("answer", {"text": "x" * 3_000_000})
    assert len(read_transcript(path)[0]["text"]) == module.MAX_TEXT_CHARS


def test_what_cannot_be_written_is_counted_and_ends_nothing(tmp_path: Path) -> None:
    """A night is not lost for its minutes."""
    (tmp_path / "file").write_text("")
    transcript = Transcript(tmp_path / "file" / "t.gz")
    transcript.mend()
    transcript.write("answer", {"text": "x"})
    assert transcript.lost >= 1


def test_a_price_that_was_not_known_makes_the_sum_unknown(tmp_path: Path) -> None:
    """Zero would be a claim."""
    path = tmp_path / "t.gz"
    assert spent_in(path) == (0.0, 0)
    assert spent_in(None) == (0.0, 0)
    for usd in (0.5, None):
        Transcript(path).write("answer", {"usd": usd, "tokens": 10})
    Transcript(path).write("told", {"text": "no usage here"})
    assert spent_in(path) == (None, 20)
