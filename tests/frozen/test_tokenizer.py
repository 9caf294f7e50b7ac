"""The tokenizer: nothing lost, nothing pickled, every byte counted."""

from __future__ import annotations

import json
import random
from pathlib import Path

import conftest
import numpy as np
import pytest
import tiktoken

from harness import tokenizer as tok
from harness.errors import DataError

VOCAB_SIZE = 400

TEXTS = [
    pytest.param("", id="empty"),
    pytest.param("plain words, and a full stop.", id="plain"),
    pytest.param("  two  spaces\n\n\n\tand a tab \r\n", id="space"),
    pytest.param("'tis 1234567 don't I'LL", id="digits-and-contractions"),
    pytest.param("déjà vu — “naïve” £5", id="latin"),
    pytest.param("日本語 עברית ελληνικά 🙂👩‍👩‍👧", id="other-scripts"),
    pytest.param("a\u0000b\u0085c\ufeff\ufffd", id="odd-characters"),
    pytest.param("<|bos|> is text here <|reserved_1|>", id="spells-a-special-token"),
]


@pytest.fixture(scope="module")
def trained() -> tiktoken.Encoding:
    texts = [conftest.made_up_text(seed, 400) for seed in range(5)] + ["日本語 déjà vu 12345 " * 20]
    return tok.train_tokenizer(texts, VOCAB_SIZE)


@pytest.mark.parametrize("text", TEXTS)
def test_no_text_is_lost(trained: tiktoken.Encoding, text: str) -> None:
    """A score in bits a byte is only a score of this text if every byte of it is there."""
    assert trained.decode(trained.encode_ordinary(text)) == text


def test_the_vocabulary_has_the_size_asked_for(trained: tiktoken.Encoding) -> None:
    """The model's output layer is built for exactly this many."""
    assert trained.n_vocab == VOCAB_SIZE
    assert tok.bos_id(trained) == VOCAB_SIZE - len(tok.SPECIAL_TOKENS)


@pytest.mark.parametrize("text", TEXTS)
def test_byte_lengths_add_up_to_the_text(trained: tiktoken.Encoding, text: str) -> None:
    """The score divides by them: a token counted too long would lower it."""
    lengths = tok.byte_lengths(trained)
    assert lengths[trained.encode_ordinary(text)].sum() == len(text.encode())


def test_special_tokens_have_no_length(trained: tiktoken.Encoding) -> None:
    """They stand for no text, so predicting them earns nothing."""
    for lengths in (tok.byte_lengths(trained), tok.upstream_byte_lengths(trained)):
        assert lengths.shape == (VOCAB_SIZE,) and lengths.dtype == np.uint16
        assert (lengths[-len(tok.SPECIAL_TOKENS) :] == 0).all()
        assert (lengths[: -len(tok.SPECIAL_TOKENS)] > 0).all()


def test_the_other_rule_counts_a_broken_character_as_three_bytes(
    trained: tiktoken.Encoding,
) -> None:
    """It is why scores of the two rules differ on anything but English."""
    ours, theirs = tok.byte_lengths(trained), tok.upstream_byte_lengths(trained)
    for token in range(VOCAB_SIZE - len(tok.SPECIAL_TOKENS)):
        data = trained.decode_single_token_bytes(token)
        try:
            data.decode()
            assert theirs[token] == ours[token] == len(data)
        except UnicodeDecodeError:
            assert theirs[token] == len(trained.decode([token]).encode()) >= 3
    lone_byte = trained.encode_single_token(b"\xe6")
    assert (ours[lone_byte], theirs[lone_byte]) == (1, 3)


def test_no_text_can_write_a_special_token(trained: tiktoken.Encoding) -> None:
    """A document that spelled BOS could start another document in the middle of a row."""
    text = "one <|bos|> two"
    tokens, starts = tok.encode_documents(trained, [text, "three"], threads=2)
    assert (tokens >= tok.bos_id(trained)).sum() == 2
    assert trained.decode(tokens[1 : starts[1]].tolist()) == text


def test_documents_come_back_in_order_each_after_a_bos(trained: tiktoken.Encoding) -> None:
    """They are encoded by several threads; the starts must still belong to them."""
    documents = [conftest.made_up_text(seed, 20) for seed in range(50)] + ["", "end"]
    tokens, starts = tok.encode_documents(trained, documents, threads=4)
    ends = [*starts[1:], len(tokens)]
    assert (tokens[starts] == tok.bos_id(trained)).all()
    assert [
        trained.decode(tokens[start + 1 : end].tolist())
        for start, end in zip(starts, ends, strict=True)
    ] == documents


def test_a_token_holds_at_most_two_digits_and_no_word_crosses_a_space(
    trained: tiktoken.Encoding,
) -> None:
    """Three-digit numbers would use up a vocabulary as small as this one."""
    learner = tok.train_tokenizer(["2024 1999 12345 year 2024 year " * 200], 270)
    for token in range(learner.n_vocab - len(tok.SPECIAL_TOKENS)):
        data = learner.decode_single_token_bytes(token)
        assert sum(48 <= byte <= 57 for byte in data) <= 2
        assert b" " not in data[1:]


def test_it_is_kept_as_plain_json_and_comes_back_the_same(
    trained: tiktoken.Encoding, tmp_path: Path
) -> None:
    """A pickle would be code that the judge runs; JSON is only data."""
    path = tmp_path / "tokenizer.json"
    tok.save_tokenizer(trained, path)
    assert len(json.loads(path.read_text())["tokens"]) == VOCAB_SIZE - len(tok.SPECIAL_TOKENS)
    again = tok.load_tokenizer(path)
    for seed in range(5, 8):
        text = conftest.made_up_text(seed, 200)
        assert again.encode_ordinary(text) == trained.encode_ordinary(text)
    assert tok.bos_id(again) == tok.bos_id(trained)


def test_training_is_repeatable(tmp_path: Path) -> None:
    """Two labs with the same text must have the same tokens, or their scores mean different things."""
    texts = [conftest.made_up_text(seed, 300) for seed in range(20)]
    for name in ("one", "two"):
        tok.save_tokenizer(tok.train_tokenizer(iter(texts), VOCAB_SIZE), tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda text: text[:-30], id="cut-short"),
        pytest.param(lambda text: text.replace('"tokens"', '"merges"'), id="no-tokens"),
        pytest.param(lambda text: text.replace("<|bos|>", "<|eot|>"), id="another-bos"),
        pytest.param(lambda text: text.replace('"AA=="', '"?"'), id="not-base64"),
        pytest.param(lambda text: text.replace('"AA=="', '"AQ=="'), id="a-token-twice"),
    ],
)
def test_a_damaged_file_is_refused(
    trained: tiktoken.Encoding, tmp_path: Path, damage: object
) -> None:
    """A tokenizer with a hole in it still tokenises, into something else."""
    path = tmp_path / "tokenizer.json"
    tok.save_tokenizer(trained, path)
    path.write_text(damage(path.read_text()))  # type: ignore[operator]
    with pytest.raises(DataError, match="not a tokenizer"):
        tok.load_tokenizer(path)


@pytest.mark.parametrize("texts", [[], [""], ["ab ab ab"]], ids=["none", "empty", "too-little"])
def test_too_little_text_is_an_error(texts: list[str]) -> None:
    """A smaller vocabulary than the profile's would be found out much later, as wrong scores."""
    with pytest.raises(DataError, match="vocabulary"):
        tok.train_tokenizer(texts, VOCAB_SIZE)


def test_only_the_first_part_of_the_text_is_learned_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """One enormous document must not decide the vocabulary, and half a terabyte need not be read."""
    chance = random.Random(1)
    read = []

    def documents() -> object:
        for _ in range(100):
            read.append(1)
            yield "".join(chance.choices("abcdefgh ", k=300))

    monkeypatch.setattr(tok, "TRAINING_CHARS", 1000)
    monkeypatch.setattr(tok, "TRAINING_DOCUMENT_CHARS", 200)
    pieces = list(tok._training_text(documents()))  # type: ignore[arg-type]
    assert [len(piece) for piece in pieces] == [200] * 5
    assert len(read) == 5
