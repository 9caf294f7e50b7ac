"""Level 1 of a verification: an honest campaign passes, and each forgery fails the check that names it.

Most forgers here are careful: after an edit the hash chain and the tables fit again.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.findings import Shard, add_up
from lab.bundle.checks import Check
from lab.bundle.decisions import check_records
from lab.settings import CHECKOUT
from tests.unit.bundles import (
    Fields,
    bundle_repository,
    git,
    make_campaign,
    make_payload,
    rewrite,
    write_ledger,
)

# 1, 2 baselines · 3, 4 width 40, kept · 5 discarded · 6, 7 width 56, kept · 8 crashed · 9 discarded · 10 a cheat
WIDTHS = [40, 48, 56, 64, 72, 80]
SEED_FILE = CHECKOUT / "workspace" / "train.py"
KEPT, DISCARDED, CRASHED, CHEAT = 7, 9, 8, 10


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_campaign(tmp_path_factory.mktemp("night"), WIDTHS)


@pytest.fixture(scope="module")
def honest(night: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_payload(night, tmp_path_factory.mktemp("bundle") / "data")


@pytest.fixture
def payload(honest: Path, tmp_path: Path) -> Iterator[Path]:
    shutil.copytree(honest, tmp_path / "data")
    yield tmp_path / "data"
    assert {path.name for path in tmp_path.iterdir()} <= {"data", "repo"}, "it wrote beside it"


def verdict_on(payload: Path) -> dict[str, Check]:
    checks = check_records(payload)
    found = {check.name: check for check in checks}
    assert len(found) == len(checks), "two checks have one name"
    assert all(check.words for check in checks)
    return found


def failed(payload: Path) -> set[str]:
    return {name for name, check in verdict_on(payload).items() if check.passed is False}


def test_an_honest_campaign_passes_every_check(payload: Path) -> None:
    """The control of everything below: a verifier that always refuses catches every forgery."""
    for check in check_records(payload):
        assert check.passed is True, check
        assert check.level == 1


def test_only_what_was_left_out_is_not_looked_at(payload: Path) -> None:
    """A bundle without its brief is no forgery, and no proof either."""
    (payload / "program.md").unlink()
    found = verdict_on(payload)
    assert {name for name, check in found.items() if check.passed is None} == {"brief"}
    assert failed(payload) == set()


# ---- records, edited and hashed again ----


def of(number: int, edit: Callable[[Fields], object]) -> Callable[[list[Fields]], object]:
    return lambda records: edit(records[number - 1])


def rescored(record: Fields, bpb: float) -> None:
    """Another score, with shards that add up to it, and with an audit that is of it."""
    val = record["trial"]["val"]
    for shard in val["shards"]:
        shard["nats"] *= bpb / val["bpb"]
    val["bpb"] = add_up(tuple(Shard(**shard) for shard in val["shards"]))
    if audit := record["trial"]["audit"]:
        moved = audit["blind_bpb"] - audit["claimed_bpb"]
        audit |= {"claimed_bpb": val["bpb"], "blind_bpb": val["bpb"] + moved}


def better(record: Fields) -> None:
    rescored(record, record["trial"]["val"]["bpb"] - 0.01)


def kept(record: Fields) -> None:
    record["verdict"] |= {"keep": True, "confirm": False, "sentence": "kept: it is good"}


def dropped(number: int) -> Callable[[list[Fields]], object]:
    """A record left out, and all that follows numbered anew."""

    def change(records: list[Fields]) -> None:
        del records[number - 1]
        for record in records[number - 1 :]:
            record["number"] -= 1
            if record["original"] and record["original"] > number:
                record["original"] -= 1

    return change


def swapped(records: list[Fields]) -> None:
    a, b = records[4], records[8]
    a["commit"], b["commit"] = b["commit"], a["commit"]


def without_audit(record: Fields) -> None:
    record["trial"] |= {"audit": None, "audit_s": 0.0, "holdout": None}


def acquitted(record: Fields) -> None:
    record["trial"]["audit"] |= {"mismatches": 0, "mean_difference_nats": 0.0}


FORGERIES = [
    pytest.param(of(9, lambda r: r["trial"]["val"].update(bpb=1.7)), "scores", id="score"),
    pytest.param(of(9, lambda r: rescored(r, 1.7)), "verdicts", id="score-and-shards"),
    pytest.param(of(KEPT, better), "verdicts", id="better-score-of-a-keep"),
    pytest.param(of(1, better), "verdicts", id="better-baseline"),
    pytest.param(
        of(9, lambda r: r["trial"]["val"]["shards"][0].update(bytes=1)), "scores", id="other-text"
    ),
    pytest.param(swapped, "commits", id="commits-swapped"),
    pytest.param(dropped(5), "commits", id="discard-dropped"),
    pytest.param(dropped(CRASHED), "seeds", id="crash-dropped"),
    pytest.param(lambda records: records.pop(4), "order", id="gap"),
    pytest.param(lambda records: records.reverse(), "order", id="reversed"),
    pytest.param(of(DISCARDED, kept), "verdicts", id="discard-kept"),
    pytest.param(of(KEPT, without_audit), "audits", id="keep-without-audit"),
    pytest.param(of(KEPT, without_audit), "verdicts", id="keep-without-audit-is-no-keep"),
    pytest.param(of(CHEAT, acquitted), "audits", id="cheat-acquitted"),
    pytest.param(
        of(KEPT, lambda r: r["trial"]["audit"].update(points=3)), "audits", id="shallow-audit"
    ),
    pytest.param(
        of(KEPT, lambda r: r["trial"]["audit"].update(tolerance_nats=0.01)),
        "audits",
        id="wide-tolerance",
    ),
    pytest.param(
        of(1, lambda r: r["trial"]["audit"].update(tolerance_nats=0.0075)), "audits", id="calibrated"
    ),
    pytest.param(
        of(3, lambda r: r["trial"]["audit"].update(calibrated=True)), "audits", id="again-calibrated"
    ),
    pytest.param(
        of(3, lambda r: r["trial"]["audit"].update(order_rows=1)), "audits", id="few-rows-again"
    ),
    pytest.param(of(3, lambda r: r["trial"]["audit"].update(power=1.0)), "audits", id="power"),
    pytest.param(
        of(3, lambda r: r["trial"]["audit"].update(claimed_bpb=1.5)), "audits", id="other-claim"
    ),
    pytest.param(
        of(3, lambda r: r["trial"]["audit"].update(worst_difference_nats=0.5)), "audits", id="worst"
    ),
    pytest.param(of(5, lambda r: r["trial"].update(audit_s=900.0)), "budgets", id="long-audit"),
    pytest.param(
        of(3, lambda r: r["trial"]["audit"].update(blind_bpb=1.0)), "audits", id="blind-score"
    ),
    pytest.param(
        of(9, lambda r: r["trial"]["training"].update(train_s=11.2)), "budgets", id="over-budget"
    ),
    pytest.param(
        of(9, lambda r: r["trial"].update(total_s=9.0)), "budgets", id="less-than-its-parts"
    ),
    pytest.param(
        of(9, lambda r: r["trial"]["training"].update(startup_s=60.0)), "budgets", id="start-up"
    ),
    pytest.param(
        of(9, lambda r: r.update(started_at="2026-11-23T01:00:00.000+00:00")), "stamps", id="overlap"
    ),
    pytest.param(of(9, lambda r: r["trial"].update(total_s=900.0)), "stamps", id="longer-than-it-was"),
    pytest.param(of(9, lambda r: r.update(started_at="2026-11-23T05:00")), "stamps", id="no-zone"),
    pytest.param(of(KEPT, lambda r: r["trial"].update(seed=1)), "seeds", id="lucky-seed"),
    pytest.param(of(9, lambda r: r["trial"].update(class_id="x")), "seeds", id="other-hardware"),
    pytest.param(of(9, lambda r: r.update(net_lines=-40)), "lines", id="net-lines"),
    pytest.param(of(9, lambda r: r.update(lines_added=0)), "lines", id="diff-lines"),
    pytest.param(
        of(KEPT, lambda r: r["verdict"].update(margin_bpb=1e-9)), "verdicts", id="margin"
    ),
    pytest.param(
        of(KEPT, lambda r: r["verdict"].update(sentence="kept: trust me")), "verdicts", id="words"
    ),
    pytest.param(of(9, lambda r: r.update(original=99)), "order", id="refers-to-nothing"),
    pytest.param(of(KEPT, lambda r: r.update(original=-1)), "order", id="refers-below-nothing"),
    pytest.param(of(9, lambda r: r.update(kind="winner")), "order", id="unknown-kind"),
    pytest.param(
        of(9, lambda r: r.update(kind="confirm", original=6)), "order", id="confirms-the-decided"
    ),
    pytest.param(of(9, lambda r: r.update(kind="baseline")), "order", id="third-baseline"),
    pytest.param(of(9, lambda r: r.update(repeats=5)), "order", id="repeats-what-was-measured"),
    pytest.param(
        lambda records: records.__delitem__(slice(3, 4)), "order", id="undecided-left-out"
    ),
    pytest.param(
        of(9, lambda r: r["trial"].update(status="lost")), "scores", id="lost-with-a-score"
    ),
]  # fmt: skip


@pytest.mark.parametrize(("forge", "name"), FORGERIES)
def test_a_record_that_was_edited_and_hashed_again_is_caught(
    payload: Path, forge: Callable[[list[Fields]], object], name: str
) -> None:
    """A hash chain binds nobody who can hash; what follows from the records does."""
    rewrite(payload, forge)
    found = verdict_on(payload)
    assert found["hash chain"].passed, "the forger was careful"
    assert found[name].passed is False, {n: c.words for n, c in found.items() if not c.passed}


def nothing(records: list[Fields]) -> None:
    """The records stay as they are."""


@pytest.mark.parametrize(
    ("forge", "name"),
    [
        pytest.param(lambda f: f["prior_noise"].update(sd_bpb=1e-5), "verdicts", id="noise-shrunk"),
        pytest.param(lambda f: f.update(prior_noise=None), "verdicts", id="no-prior"),
        pytest.param(
            lambda f: f["prior_noise"].update(df=-3), "campaign facts", id="noise-of-none"
        ),
        pytest.param(lambda f: f["rule"].update(confirm_error=0.4), "verdicts", id="softer-rule"),
        pytest.param(
            lambda f: f["rule"].update(confirm_error=0.99), "campaign facts", id="no-rule-at-all"
        ),
        pytest.param(lambda f: f.update(seed=7), "seeds", id="seed"),
        pytest.param(
            lambda f: f.update(train_sha256="0" * 64), "seed train.py", id="other-seed-file"
        ),
        pytest.param(lambda f: f.update(harness_sha256="0" * 64), "recipe", id="other-harness"),
        pytest.param(lambda f: f.update(noise_runs=1), "campaign facts", id="one-baseline"),
        pytest.param(lambda f: f.update(schema=1), "campaign facts", id="other-schema"),
        pytest.param(lambda f: f.update(tag="../../etc"), "campaign facts", id="odd-tag"),
        pytest.param(lambda f: f.update(tag="other"), "commits", id="other-tag"),
        pytest.param(lambda f: f.pop("rule"), "campaign facts", id="without-a-rule"),
    ],
)
def test_facts_that_were_exchanged_under_the_records_are_caught(
    payload: Path, forge: Callable[[Fields], object], name: str
) -> None:
    """With half the noise, every lucky run would have been a discovery."""
    rewrite(payload, nothing, facts=forge)
    assert name in failed(payload)


def test_the_forgers_tool_alone_changes_nothing(payload: Path) -> None:
    """The control of the forgeries: what fails them is the edit, and not the writing."""
    rewrite(payload, nothing)
    assert failed(payload) == set()


# ---- the chain ----


@pytest.mark.parametrize("line", [0, 4, 9])
def test_a_record_that_was_edited_breaks_the_chain(payload: Path, line: int) -> None:
    """The careless forger is caught at once, and what stands on the records is not judged."""
    lines = (payload / "ledger.jsonl").read_bytes().splitlines(keepends=True)
    lines[line] = lines[line].replace(b'"cost_usd": null', b'"cost_usd": 0.01')
    (payload / "ledger.jsonl").write_bytes(b"".join(lines))
    found = verdict_on(payload)
    if line == 9:
        assert found["results"].passed is False, "nothing follows the last line but the tables"
    else:
        assert found["hash chain"].passed is False
        assert found["verdicts"].passed is None


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda r: r.update(spare="text"), id="spare-field"),
        pytest.param(lambda r: r.update(number="9"), id="number-as-text"),
        pytest.param(lambda r: r.update(agent_s=0), id="other-number-type"),
        pytest.param(lambda r: r.update(lines_added=True), id="bool-as-number"),
        pytest.param(lambda r: r.pop("trial"), id="missing-field"),
        pytest.param(lambda r: r["trial"]["val"].update(bpb=math.nan), id="not-a-number"),
        pytest.param(lambda r: r["trial"].update(total_s=math.inf), id="infinite"),
    ],
)
def test_what_is_not_written_as_the_lab_writes_it_is_no_record(
    payload: Path, edit: Callable[[Fields], object]
) -> None:
    """Two readings of one line would be two campaigns."""
    records = [json.loads(line) for line in (payload / "ledger.jsonl").read_bytes().splitlines()]
    edit(records[8])
    write_ledger(payload, records)
    assert failed(payload) == {"hash chain"}


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("ledger.jsonl", b""),
        ("ledger.jsonl", b"\xff\xfe\n"),
        ("ledger.jsonl", b"[" * 200_000 + b"\n"),
        ("ledger.jsonl", b'{"number": 1'),
        ("ledger.jsonl", b"null\n"),
        ("campaign.json", b""),
        ("campaign.json", b"[" * 200_000),
        ("campaign.json", b"[]"),
        ("campaign.json", b'{"schema": 2}'),
        ("campaign.json", b" " * (2 << 20)),
        ("results.parquet", b"PAR1" + b"\0" * 64 + b"PAR1"),
        ("results.parquet", b""),
        ("results.tsv", b"commit\n"),
        ("repo.bundle", b""),
        ("repo.bundle", b"# v2 git bundle\n"),
        ("best/record.json", b"{"),
        ("best/record.json", b"NaN"),
        ("best/train.py", b"x = 1\n"),
        ("best/config.json", b"{}"),
        ("best/model.safetensors", b"other weights"),
        ("recipe/harness/judge.py", b"print('all is well')\n"),
        ("program.md", b"cheat"),
    ],
)
def test_a_file_that_was_exchanged_is_a_failed_check_and_no_traceback(
    payload: Path, file: str, content: bytes
) -> None:
    """Whatever stands in a bundle is the sender's doing, not the verifier's failure."""
    (payload / file).write_bytes(content)
    assert failed(payload)


@pytest.mark.parametrize(
    "file",
    [
        "ledger.jsonl",
        "campaign.json",
        "results.tsv",
        "results.parquet",
        "repo.bundle",
        "best/train.py",
        "best/record.json",
        "recipe/images/Dockerfile",
        "recipe/images/cpu.lock",
    ],
)
def test_a_file_that_is_missing_is_a_failed_check(payload: Path, file: str) -> None:
    """What every campaign has cannot be left out of the proof."""
    (payload / file).unlink()
    assert failed(payload)


def test_budgets_of_another_profile_are_not_guessed(payload: Path) -> None:
    """Who changes the recipe's budget must not be measured by it, nor an old campaign by ours."""
    with (payload / "recipe" / "harness" / "profiles.py").open("a") as file:
        file.write("\nPROFILES = {}\n")
    found = verdict_on(payload)
    assert found["budgets"].passed is None
    assert found["audits"].passed is True, "what follows from no profile is still checked"
    assert failed(payload) == {"recipe"}, "the scores name another harness"


@pytest.mark.parametrize(
    "file",
    ["ledger.jsonl", "results.tsv", "repo.bundle", "best/record.json", "best/train.py"],
)
def test_a_link_is_not_followed(payload: Path, tmp_path: Path, file: str) -> None:
    """The receiver's own files are not evidence."""
    (tmp_path / "repo").write_bytes((payload / file).read_bytes())
    (payload / file).unlink()
    (payload / file).symlink_to(tmp_path / "repo")
    assert failed(payload)


def test_a_table_by_another_version_is_compared_by_what_it_says(payload: Path) -> None:
    """The sender's pyarrow is not ours; only the values are his claim."""
    import pyarrow.parquet as pq

    path = payload / "results.parquet"
    table = pq.read_table(path)
    pq.write_table(table, path, compression="gzip")
    assert failed(payload) == set()
    scores = table["trial.val.bpb"].to_pylist()
    scores[8] = 1.0
    index = table.schema.get_field_index("trial.val.bpb")
    pq.write_table(table.set_column(index, "trial.val.bpb", [scores]), path)
    assert failed(payload) == {"results"}


def test_an_audit_file_must_say_what_its_record_says(payload: Path, night: Path) -> None:
    """It is what a person opens."""
    audit = json.loads((payload / "ledger.jsonl").read_bytes().splitlines()[CHEAT - 1])["trial"]
    place = payload / "experiments" / f"{CHEAT:04d}"
    place.mkdir(parents=True)
    told = audit["audit"] | {"passed": False, "reason": audit["reason"], "audit_s": 5.0}
    (place / "audit.json").write_text(json.dumps(told))
    assert failed(payload) == set()
    (place / "audit.json").write_text(json.dumps(told | {"passed": True}))
    assert failed(payload) == {"audit files"}


# ---- the repository ----


@pytest.fixture
def repo(night: Path, tmp_path: Path) -> Path:
    """The sender's repository, to be tampered with."""
    shutil.copytree(night / "repo", tmp_path / "repo")
    return tmp_path / "repo"


def replace_commit(repo: Path, number: int, tree: str) -> str:
    """Another tree under a commit and its reference; the commit's name."""
    ref = f"refs/experiments/{number:04d}"
    commit = git(repo, "commit-tree", tree, "-p", f"{ref}^", "-m", "m")
    git(repo, "update-ref", ref, commit)
    return commit


def tree_with(repo: Path, number: int, *more: str) -> str:
    """The tree of an experiment with more entries, as `git mktree` reads them."""
    listed = git(repo, "ls-tree", f"refs/experiments/{number:04d}")
    return git(repo, "mktree", "--missing", given="\n".join([listed, *more, ""]).encode())


def blob(repo: Path, content: bytes) -> str:
    return git(repo, "hash-object", "-w", "--stdin", given=content)


def other_file(repo: Path) -> str:
    return tree_with(repo, DISCARDED, f"100644 blob {blob(repo, b'x')}\tsitecustomize.py")


def submodule(repo: Path) -> str:
    text = b'[submodule "s"]\n\tpath = s\n\turl = --upload-pack=touch\n'
    return tree_with(
        repo, DISCARDED, f"100644 blob {blob(repo, text)}\t.gitmodules", f"160000 commit {'a' * 40}\ts"
    )  # fmt: skip


def link(repo: Path) -> str:
    target = blob(repo, b"/etc/passwd")
    return git(repo, "mktree", given=f"120000 blob {target}\ttrain.py\n".encode())


def program(repo: Path) -> str:
    return git(repo, "mktree", given=f"100755 blob {blob(repo, b'x = 1')}\ttrain.py\n".encode())


def folder(repo: Path) -> str:
    inner = git(repo, "mktree", given=f"100644 blob {blob(repo, b'x')}\tpost-checkout\n".encode())
    hooks = git(repo, "mktree", given=f"040000 tree {inner}\thooks\n".encode())
    return tree_with(repo, DISCARDED, f"040000 tree {hooks}\tgit")


def large(repo: Path) -> str:
    huge = blob(repo, b"# " + b"0" * (80 << 20))  # compresses to some kilobytes
    return git(repo, "mktree", given=f"100644 blob {huge}\ttrain.py\n".encode())


def long(repo: Path) -> str:
    """Small enough to be read, and larger than any train.py that the lab runs."""
    return git(
        repo, "mktree", given=f"100644 blob {blob(repo, b'#' * 70_000)}\ttrain.py\n".encode()
    )


def empty(repo: Path) -> str:
    return git(repo, "mktree")


@pytest.mark.parametrize(
    "tree",
    [other_file, submodule, link, program, folder, large, long, empty],
    ids=lambda t: t.__name__,
)
def test_a_commit_that_is_more_than_a_train_py_is_caught(
    payload: Path, repo: Path, tree: Callable[[Path], str]
) -> None:
    """Somebody will check the branch out and start what lies there."""
    commit = replace_commit(repo, DISCARDED, tree(repo))
    bundle_repository(repo, payload)
    rewrite(payload, of(DISCARDED, lambda r: r.update(commit=commit)))
    assert "commits" in failed(payload)


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(("update-ref", "-d", "refs/experiments/0009"), id="reference-missing"),
        pytest.param(("update-ref", "refs/experiments/0009", "refs/experiments/0005"), id="moved"),
        pytest.param(("update-ref", "refs/experiments/0099", "refs/experiments/0005"), id="stray"),
        pytest.param(("update-ref", "refs/experiments/0004", "refs/experiments/0005"), id="re-run"),
        pytest.param(
            ("update-ref", "refs/heads/autoresearch/nov23", "refs/experiments/0009"), id="head"
        ),
        pytest.param(("update-ref", "refs/heads/other", "refs/experiments/0009"), id="branch"),
        pytest.param(("update-ref", "refs/replace/" + "a" * 40, "HEAD"), id="replacement"),
        pytest.param(("tag", "-a", "v1", "-m", "m"), id="tag"),
    ],
)
def test_references_are_those_of_the_ledger(
    payload: Path, repo: Path, words: tuple[str, ...]
) -> None:
    """A reader follows the references, so what they lead to is part of the claim."""
    git(repo, *words)
    bundle_repository(repo, payload)
    assert "commits" in failed(payload)


def test_an_experiment_that_a_kill_interrupted_is_no_forgery(payload: Path, repo: Path) -> None:
    """Its commit is made before its record."""
    git(repo, "update-ref", "refs/experiments/0011", "refs/experiments/0009")
    bundle_repository(repo, payload)
    assert failed(payload) == set()


def test_a_bundle_that_leans_on_what_the_receiver_has_is_refused(payload: Path, repo: Path) -> None:
    """Complete means complete: the receiver's repositories are no part of it."""
    git(repo, "bundle", "create", str(payload / "repo.bundle"), "--all", "^refs/experiments/0003")
    assert "commits" in failed(payload)


@pytest.mark.slow
def test_a_hundred_experiments_are_checked_in_under_five_seconds(tmp_path: Path) -> None:
    """Nobody checks what takes long. The files are as long as the product's own seed."""
    seed = SEED_FILE.read_text() + '\nPLAYED = {"width": 32}\n'
    campaign = make_campaign(tmp_path / "night", [*WIDTHS, *range(100, 190)], seed=seed)
    payload = make_payload(campaign, tmp_path / "data")
    assert len((payload / "ledger.jsonl").read_bytes().splitlines()) == 100
    began = os.times()
    checks = check_records(payload)
    spent = sum(after - before for before, after in zip(began[:4], os.times()[:4], strict=True))
    assert spent < 5.0, "of this process and its children, on however busy a machine"
    assert all(check.passed for check in checks), [c for c in checks if not c.passed]
