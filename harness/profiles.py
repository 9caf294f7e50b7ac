"""The three frozen profiles: what is trained on, for how long, and how it is scored.

A profile is part of the image and is named in every record. Scores compare only within one profile.
The controller and the containers both read this file, so it uses the standard library alone.
"""

from __future__ import annotations

from dataclasses import dataclass

GIB = 2**30
MIB = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Everything about an experiment that the agent cannot change."""

    name: str
    device: str  # "cuda" or "cpu"
    dataset: str  # "climbmix" or "books"
    sequence_len: int  # T, tokens a row
    vocab_size: int  # special tokens included
    document_chars: (
        int | None
    )  # cut documents at a paragraph or sentence end near this; None keeps them whole
    train_budget_s: float
    startup_cap_s: float  # create to `prepare.start()`: import, build, compile on dummy tokens
    save_grace_s: float  # after the budget, to write and send the checkpoint
    load_cap_s: float  # a model container: import, build, load the weights
    evaluation_cap_s: (
        float  # load, and score every validation row; the blind pass has as long again
    )
    val_rows: int  # rows of T targets each
    holdout_rows: int
    evaluation_batch_rows: int
    order_rows: int  # rows that the audit scores again in another order
    # By how much an honest model's loss may differ between two containers, in nats: where the campaign's
    # own A/A run says less and at most. Float32 mostly repeats to the last bit, but not always: on a Xeon with
    # AVX-512 the same weights and rows once gave losses up to 0.00094 apart. A bound on one container's A/A run
    # would not have known; the mean of all points stays bounded far below (harness/audit.py).
    tolerance_floor_nats: float
    tolerance_cap_nats: float
    noise_runs: int  # how often the baseline is run, to learn the noise
    memory_bytes: int  # of the container, its scratch space included
    scratch_bytes: int  # /tmp
    checkpoint_cap_bytes: int

    @property
    def val_tokens(self) -> int:
        return self.val_rows * self.sequence_len


PROFILES: dict[str, Profile] = {
    profile.name: profile
    for profile in (
        # The constants of karpathy/autoresearch, so that a night here can be held against its figures.
        Profile(
            name="gpu",
            device="cuda",
            dataset="climbmix",
            sequence_len=2048,
            vocab_size=8192,
            document_chars=None,
            train_budget_s=300.0,
            startup_cap_s=180.0,
            save_grace_s=5.0,
            load_cap_s=120.0,
            evaluation_cap_s=300.0,
            val_rows=10_240,
            holdout_rows=10_240,
            evaluation_batch_rows=32,
            order_rows=512,
            tolerance_floor_nats=0.02,
            tolerance_cap_nats=0.1,
            noise_runs=3,
            memory_bytes=32 * GIB,
            scratch_bytes=8 * GIB,
            checkpoint_cap_bytes=4 * GIB,
        ),
        Profile(
            name="cpu",
            device="cpu",
            dataset="books",
            sequence_len=256,
            vocab_size=2048,
            document_chars=800,
            train_budget_s=60.0,
            startup_cap_s=180.0,
            save_grace_s=3.0,
            load_cap_s=40.0,
            evaluation_cap_s=60.0,
            val_rows=2_048,
            holdout_rows=2_048,
            evaluation_batch_rows=32,
            order_rows=128,
            tolerance_floor_nats=0.005,
            tolerance_cap_nats=0.01,
            noise_runs=3,
            memory_bytes=6 * GIB,
            scratch_bytes=1 * GIB,
            checkpoint_cap_bytes=512 * MIB,
        ),
        Profile(
            name="smoke",
            device="cpu",
            dataset="books",
            sequence_len=128,
            vocab_size=1024,
            document_chars=400,
            train_budget_s=8.0,
            startup_cap_s=30.0,
            save_grace_s=3.0,
            load_cap_s=20.0,
            evaluation_cap_s=30.0,
            val_rows=512,
            holdout_rows=512,
            evaluation_batch_rows=64,
            order_rows=64,
            tolerance_floor_nats=0.005,
            tolerance_cap_nats=0.01,
            noise_runs=2,
            memory_bytes=3 * GIB,
            scratch_bytes=512 * MIB,
            checkpoint_cap_bytes=256 * MIB,
        ),
    )
}
