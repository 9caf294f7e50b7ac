"""The tokenizer: byte-pair encoding, trained by rustbpe, spoken by tiktoken, kept as plain JSON.

Ids 0 to 255 are the single bytes, then come the merges in the order they were learned, then the special
tokens, which no text ever encodes to. One of those matters: BOS stands before every document.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import rustbpe
import tiktoken

from harness.errors import DataError
from harness.packing import Integers, Tokens

# Four, so that ids and sizes agree with karpathy/autoresearch. Only BOS is used.
SPECIAL_TOKENS = ("<|bos|>", "<|reserved_1|>", "<|reserved_2|>", "<|reserved_3|>")
BOS = SPECIAL_TOKENS[0]

# Training on more than this changes the merges no further, and takes longer.
TRAINING_CHARS = 1_000_000_000
TRAINING_DOCUMENT_CHARS = 10_000

# Where text may be split before merging, as GPT-4's tokenizer does, but with at most two digits a number:
# a vocabulary this small has better uses for its ids than a thousand three-digit numbers.
SPLIT_PATTERN = "|".join(  # noqa: FLY002 (a line and a comment for each part)
    (
        r"'(?i:[sdmt]|ll|ve|re)",  # English contractions
        r"[^\r\n\p{L}\p{N}]?+\p{L}+",  # a word, with the one space or mark before it
        r"\p{N}{1,2}",  # digits, two at most
        r" ?[^\s\p{L}\p{N}]++[\r\n]*",  # punctuation, with the line ends after it
        r"\s*[\r\n]",  # line ends, with the space before them
        r"\s+(?!\S)",  # space, but the last one, which belongs to the next word
        r"\s+",
    )
)


def train_tokenizer(documents: Iterable[str], vocab_size: int) -> tiktoken.Encoding:
    """Learn merges from text; the vocabulary counts bytes, merges and special tokens.

    Raises:
        DataError: the text is too small for so large a vocabulary.
    """
    learner = rustbpe.Tokenizer()
    learner.train_from_iterator(
        _training_text(documents), vocab_size - len(SPECIAL_TOKENS), pattern=SPLIT_PATTERN
    )
    ranks = {bytes(token): rank for token, rank in learner.get_mergeable_ranks()}
    if len(ranks) + len(SPECIAL_TOKENS) != vocab_size:
        raise DataError(
            f"the text gave a vocabulary of {len(ranks) + len(SPECIAL_TOKENS)}, not {vocab_size}.",
            why="there is too little of it to learn that many merges.",
            do="use more text.",
        )
    return _encoding(SPLIT_PATTERN, ranks)


def _training_text(documents: Iterable[str]) -> Iterator[str]:
    left = TRAINING_CHARS
    for document in documents:
        piece = document[: min(TRAINING_DOCUMENT_CHARS, left)]
        left -= len(piece)
        yield piece
        if not left:
            return


def _encoding(pattern: str, ranks: dict[bytes, int]) -> tiktoken.Encoding:
    special = {name: len(ranks) + index for index, name in enumerate(SPECIAL_TOKENS)}
    return tiktoken.Encoding(
        "nightlab", pat_str=pattern, mergeable_ranks=ranks, special_tokens=special
    )


def save_tokenizer(tokenizer: tiktoken.Encoding, path: Path) -> None:
    """Write pattern, special tokens and every token's bytes, in order of id, as JSON."""
    tokens = [
        base64.b64encode(tokenizer.decode_single_token_bytes(token)).decode()
        for token in range(tokenizer.n_vocab - len(SPECIAL_TOKENS))
    ]
    path.write_text(
        json.dumps(
            {"pattern": SPLIT_PATTERN, "special": SPECIAL_TOKENS, "tokens": tokens}, indent=0
        )
    )


def load_tokenizer(path: Path) -> tiktoken.Encoding:
    """Read what `save_tokenizer` wrote.

    Raises:
        DataError: missing, cut short, or not a tokenizer of this harness.
    """
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        ranks = {
            base64.b64decode(token, validate=True): rank
            for rank, token in enumerate(saved["tokens"])
        }
        if tuple(saved["special"]) != SPECIAL_TOKENS or len(ranks) != len(saved["tokens"]):
            raise ValueError("special tokens differ, or a token stands there twice")
        return _encoding(saved["pattern"], ranks)
    except (OSError, ValueError, KeyError, TypeError, binascii.Error) as error:
        raise DataError(
            f"{path.name} is not a tokenizer.",
            why=f"{type(error).__name__}: {error}",
            do="delete the data folder and run `make data` again.",
        ) from error


def bos_id(tokenizer: tiktoken.Encoding) -> int:
    """The id that stands before every document."""
    return int(tokenizer.encode_single_token(BOS))


def byte_lengths(tokenizer: tiktoken.Encoding) -> Tokens:
    """(V,) uint16: how many bytes of UTF-8 each token stands for; 0 for special tokens."""
    return _lengths(tokenizer, len)


def upstream_byte_lengths(tokenizer: tiktoken.Encoding) -> Tokens:
    """(V,) uint16: the same by the rule of karpathy/autoresearch.

    There a token is decoded by itself, and a byte that is no valid UTF-8 becomes U+FFFD, which counts as
    three. That makes the text look longer and the score lower; it is kept to compare with, nothing else.
    """
    return _lengths(tokenizer, lambda token: len(token.decode(errors="replace").encode()))


def _lengths(tokenizer: tiktoken.Encoding, length: Callable[[bytes], int]) -> Tokens:
    lengths = np.zeros(tokenizer.n_vocab, dtype=np.uint16)
    for token in range(tokenizer.n_vocab - len(SPECIAL_TOKENS)):
        lengths[token] = length(tokenizer.decode_single_token_bytes(token))
    return lengths


def encode_documents(
    tokenizer: tiktoken.Encoding, documents: Sequence[str], threads: int
) -> tuple[Tokens, Integers]:
    """Tokens of all documents, each after a BOS, and where each begins: (tokens,) uint16, (documents,) int64."""
    bos = bos_id(tokenizer)

    def encode(text: str) -> Tokens:
        # Text that spells a special token is text: no document can end itself.
        ids: Tokens = tokenizer.encode_to_numpy(text, disallowed_special=()).astype(np.uint16)
        return ids

    with ThreadPoolExecutor(threads) as pool:  # tiktoken works outside the interpreter's lock
        encoded = list(pool.map(encode, documents))
    lengths = np.fromiter((len(ids) + 1 for ids in encoded), dtype=np.int64, count=len(encoded))
    ends = np.cumsum(lengths)
    starts = ends - lengths
    tokens = np.empty(int(lengths.sum()), dtype=np.uint16)
    tokens[starts] = bos
    for start, ids in zip(starts.tolist(), encoded, strict=True):
        tokens[start + 1 : start + 1 + len(ids)] = ids
    return tokens, starts
