"""The attacks' own words: complete, readable, and one for every class of cheat that we know."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.contract import ContractBroken, check
from lab.outcome import Status
from tests.attacks.declared import ATTACKS, CONTROLS, Undeclared, read_declared

LONGEST_LINES = 60

# Every class of cheat that was seen in public or thought of here, and who stands for it.
CLASSES = {
    "a leak of one token": {"leak_one_token"},
    "a leak of a 64-token block": {"leak_64_token_block"},
    "a leak of a 128-token block": {"leak_128_token_block"},
    "chunk summaries": {"leak_chunk_summaries"},
    "an FFT over time": {"leak_fft_over_time"},
    "a bidirectional attention in one layer": {"leak_bidirectional_layer"},
    "leaks on few rows": {"leak_on_one_percent_of_rows", "leak_on_one_row_in_a_thousand"},
    "leaks at high-loss tokens": {"leak_at_high_loss_tokens"},
    "rows that see each other": {"leak_between_rows", "state_across_rows"},
    "unnormalised probabilities": {"unnormalised_probabilities"},
    "over-confident probabilities": {"overconfident_probabilities", "lying_logits"},
    "losses that are zero": {"losses_zero", "losses_barely_negative", "losses_shaved"},
    "less than an audit can see": {"losses_shaved_finely"},
    "losses that are negative": {"losses_negative"},
    "losses that are not a number": {"losses_nan"},
    "losses that are too few or too many": {"losses_too_few", "losses_too_many"},
    "losses that are permuted": {"losses_permuted"},
    "losses that are duplicated": {"losses_duplicated"},
    "losses forged where nobody looks": {"losses_forged_at_the_ends"},
    "another voice on the judge's socket": {"speaks_for_the_server", "second_bench_connection"},
    "recognising a cut": {"recognises_cut", "recognises_training_text"},
    "recognising the audit": {"recognises_audit_process"},
    "spoiling the audit": {"refuses_the_audit", "wedges_the_audit", "logits_nan_when_audited"},
    "reading the server's own memory": {"reads_the_callers_frame"},
    "notes from A to B": {"leaves_notes_for_b"},
    "state across calls": {"state_counts_rows", "learns_while_scored"},
    "answers by place": {"state_by_place_in_batch"},
    "training during evaluation": {"trains_while_scored"},
    "printed scores": {"prints_score", "reports_lies"},
    "rewritten files": {"rewrites_files", "plants_modules"},
    "a patched clock": {"patched_time"},
    "patched libraries": {"patched_torch", "patched_json_and_os"},
    "work before start": {"works_before_start", "sleeps_before_start"},
    "work after save": {"works_after_save", "second_checkpoint"},
    "text carried along": {"text_in_config"},
    "ignoring the clock": {"ignores_clock", "saves_slowly", "starts_twice"},
    "forks and daemons": {"daemon_outlives", "fork_bomb"},
    "links, pipes and sparse files": {"links_and_pipes", "oversized_checkpoint"},
    "malformed checkpoints": {"huge_header", "overlapping_tensors", "deep_config"},
    "pickles": {"pickle_checkpoint"},
    "reading other processes": {"reads_proc"},
    "reading other mounts": {"reads_mounts"},
    "reading sockets": {"reads_sockets", "second_gate_connection"},
    "environment snooping": {"reads_environment"},
    "log floods and terminal escapes": {"log_flood"},
    "allocating all memory": {"eats_memory", "eats_memory_when_scored"},
    "wedging the device": {"wedges_evaluation"},
    "an end instead of an answer": {"dies_when_scored", "hangs_up_when_unlucky"},
    "a fake vocabulary": {"fake_vocabulary"},
    "validation text carried out": {"carries_text_out"},
    "a lucky seed": {"seeds", "seeds_in_disguise"},
    "honest, and not causal": {"dynamic_quantisation", "batch_statistics", "dropout_left_on"},
}


def name_of(file: Path) -> str:
    return file.stem


def test_there_are_many() -> None:
    """A handful of attacks tests the handful of ideas that its author had."""
    assert len(ATTACKS) >= 30
    assert len(CONTROLS) >= 2


def test_every_class_of_cheat_has_a_file_and_every_file_a_class() -> None:
    """A class that lost its file would be a hole that looks closed."""
    assert set().union(*CLASSES.values()) == {file.stem for file in ATTACKS}


@pytest.mark.parametrize("file", [*ATTACKS, *CONTROLS], ids=name_of)
def test_a_file_says_what_it_is_and_is_short(file: Path) -> None:
    """An attack that cannot be read at a glance cannot be trusted to be the attack it claims to be."""
    declared = read_declared(file)
    if file in CONTROLS:
        assert declared.outcome is Status.MEASURED
        assert declared.believed_bpb is not None
    if declared.caught_by in ("blind audit", "order check"):
        assert declared.believed_bpb is not None, "an audit doubts a score"
    assert len(file.read_text().splitlines()) <= LONGEST_LINES


@pytest.mark.parametrize("file", [*ATTACKS, *CONTROLS], ids=name_of)
def test_only_what_is_rejected_fails_the_static_check(file: Path) -> None:
    """An attack that is stopped at the door proves nothing about the house."""
    rejected = False
    try:
        check(file.read_text())
    except ContractBroken:
        rejected = True
    assert rejected is (read_declared(file).outcome is Status.REJECTED)


GOOD = '"""Does it.\n\nMore.\n\nbelieved: 0.5\noutcome: invalid\ncaught by: blind audit\n"""\n'


def test_a_declaration_is_read(tmp_path: Path) -> None:
    """The table of the attacks is made of nothing else."""
    file = tmp_path / "does_it.py"
    file.write_text(GOOD)
    declared = read_declared(file)
    assert (declared.name, declared.what, declared.believed_bpb) == ("does_it", "Does it.", 0.5)
    assert (declared.outcome, declared.caught_by) == (Status.INVALID, "blind audit")
    file.write_text(GOOD.replace("0.5", "none"))
    assert read_declared(file).believed_bpb is None


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        pytest.param(GOOD, "x = 1\n", "no docstring", id="no-docstring"),
        pytest.param("Does it.", "Does it", "full stop", id="no-sentence"),
        pytest.param("believed: 0.5\n", "", "`believed: ...`", id="missing"),
        pytest.param("outcome: invalid\n", "outcome:\n", "`outcome: ...`", id="empty"),
        pytest.param("caught by", "caught", "`caught by: ...`", id="misspelt"),
        pytest.param("0.5", "much", "not 'much'", id="not-a-number"),
        pytest.param("0.5", "nan", "not 'nan'", id="not-finite"),
        pytest.param("invalid", "kept", "not 'kept'", id="no-such-outcome"),
        pytest.param("blind audit", "luck", "nothing is called 'luck'", id="no-such-defence"),
    ],
)
def test_a_bad_declaration_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    """A line that is silently skipped would be an attack that is silently not tested."""
    file = tmp_path / "does_it.py"
    file.write_text(GOOD.replace(old, new))
    with pytest.raises(Undeclared, match=r"does_it\.py") as caught:
        read_declared(file)
    assert said in str(caught.value)
