"""The derived tables: what leaves the lab for spreadsheets and notebooks."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import subprocess
import sys
import unicodedata
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.findings import Shard, add_up
from lab.errors import CampaignError
from lab.ledger import Ledger, Record, best_of, noise_of
from lab.outcome import Status
from lab.parquet import replacing
from lab.settings import CHECKOUT
from lab.show.chart import summary_of
from lab.show.folder import hardware_of, read_campaign, read_records
from lab.show.results import PARQUET_FILE, TSV_COLUMNS, TSV_FILE, columns_of, write_results
from lab.show.tally import tally
from lab.show.words import ending, gain_in_words, kept_bpb, name_of, one_line
from tests.unit.nights import make_kept, make_night, make_record

ANY_TEXT = st.text(st.characters(), max_size=80)  # surrogates and control characters included
REUSED_FOLDER = [HealthCheck.function_scoped_fixture]


def read_tsv(folder: Path) -> list[dict[str, str]]:
    with (folder / TSV_FILE).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE, strict=True))


@settings(suppress_health_check=REUSED_FOLDER, deadline=None, max_examples=60)
@given(titles=st.lists(ANY_TEXT, min_size=1, max_size=5))
def test_no_title_can_break_a_table(tmp_path: Path, titles: list[str]) -> None:
    """A title is written by a model; one tab in it would shift every number of its row."""
    night = [make_record(number, title=title) for number, title in enumerate(titles, start=1)]
    write_results(tmp_path, night)
    rows = read_tsv(tmp_path)
    assert [row["description"] for row in rows] == [one_line(title) for title in titles]
    assert all(tuple(row) == TSV_COLUMNS for row in rows)
    assert len((tmp_path / TSV_FILE).read_text("utf-8").splitlines()) == len(titles) + 1


@settings(suppress_health_check=REUSED_FOLDER, deadline=None, max_examples=60)
@given(
    title=ANY_TEXT,
    facts=st.dictionaries(ANY_TEXT, ANY_TEXT, max_size=3),
    tokens=st.none() | st.integers(0, 2**64 - 1),
)
def test_parquet_gives_back_what_the_record_held(
    tmp_path: Path, title: str, facts: dict[str, str], tokens: int | None
) -> None:
    """A notebook must see the ledger's values; a claim of 2**64 tokens does no harm."""
    write_results(tmp_path, [make_record(7, title=title, facts=facts, tokens=tokens)])
    (row,) = pq.read_table(tmp_path / PARQUET_FILE).to_pylist()

    def utf8(text: str) -> str:
        return text.encode("utf-8", "replace").decode("utf-8")

    assert row["title"] == utf8(title)
    assert json.loads(row["facts"]) == json.loads(utf8(json.dumps(facts, ensure_ascii=False)))
    assert row["trial.training.tokens"] == (tokens if tokens is None or tokens < 2**63 else None)
    record = make_record(7)
    assert row["trial.val.bpb"] == record.trial.val_bpb
    shards = tuple(Shard(**shard) for shard in json.loads(row["trial.val.shards"]))
    assert add_up(shards) == row["trial.val.bpb"], "anybody can add the score up again"
    assert row["trial.training.mfu"] is None
    assert (row["verdict.keep"], row["verdict.confirm"]) == (False, True)


def test_every_field_of_a_record_is_a_column() -> None:
    """A field that is added to a Record must not be forgotten here."""

    def leaves(value: object, prefix: str = "") -> set[str]:
        found: set[str] = set()
        for field in dataclasses.fields(value):  # type: ignore[arg-type]
            inner = getattr(value, field.name)
            name = prefix + field.name
            found |= leaves(inner, name + ".") if dataclasses.is_dataclass(inner) else {name}
        return found

    full = make_kept(1, val_bpb=1.8, best_bpb=1.9)[-1]  # a score, a holdout score and an audit
    assert leaves(full) == {column.name for column in columns_of(Record)}


def test_a_column_of_nothing_keeps_its_type(tmp_path: Path) -> None:
    """Two nights are concatenated in a notebook; a `null` column in one of them breaks that."""
    schemas = []
    for night in ([make_record(1, status=Status.REJECTED)], make_night(12), []):
        write_results(tmp_path, night)
        schemas.append(pq.read_schema(tmp_path / PARQUET_FILE))
    assert all(schema.equals(schemas[0]) for schema in schemas)
    assert not any(pa.types.is_null(field.type) for field in schemas[0])
    assert schemas[0].field("trial.val.bpb").type == pa.float64()
    assert schemas[0].field("trial.holdout.bpb").type == pa.float64()
    assert schemas[0].field("trial.audit.calibrated").type == pa.bool_()
    assert schemas[0].field("cost_usd").type == pa.float64()


@pytest.mark.parametrize("status", [status for status in Status if status != Status.MEASURED])
def test_an_experiment_without_a_score_leaves_its_numbers_empty(
    tmp_path: Path, status: Status
) -> None:
    """Lower is better: a crash written as 0.000000 would be the best score in history."""
    write_results(tmp_path, [make_record(3, status=status, memory_bytes=5 * 2**30)])
    (row,) = read_tsv(tmp_path)
    assert (row["val_bpb"], row["memory_gb"], row["status"]) == ("", "", status.value)


def test_a_measured_experiment_says_what_became_of_it(tmp_path: Path) -> None:
    """The table is read without the ledger: the word must be the decision."""
    night = [
        make_record(1, kind="baseline", val_bpb=1.9),
        make_record(2, val_bpb=1.8999),
        *make_kept(3, val_bpb=1.7, best_bpb=1.9, memory_bytes=None),
    ]
    night.append(make_record(len(night) + 1, kind="audit", original=3, val_bpb=1.7))
    reruns = len(night) - 5  # that did not decide
    assert reruns >= 0
    write_results(tmp_path, night)
    rows = read_tsv(tmp_path)
    undecided = ["confirm"] * (1 + reruns)
    assert [row["status"] for row in rows] == ["baseline", "discard", *undecided, "keep", "audit"]
    assert [row["val_bpb"] for row in rows[:3]] == ["1.900000", "1.899900", "1.697000"]
    assert {row["val_bpb"] for row in rows[3:]} == {"1.700000"}
    assert [row["memory_gb"] for row in rows[:3]] == ["3.0", "3.0", ""]
    commits = [row["commit"] for row in rows]
    assert commits[:3] == ["0000001", "0000002", "0000003"]
    assert set(commits[3:]) == {"0000003"}, "what is run again is the same code"


def test_the_table_says_what_was_audited_and_scored_on_the_holdout(tmp_path: Path) -> None:
    """A discard's score is a claim that nobody checked: it must say so wherever it is read."""
    night = [
        *make_night(40),
        make_record(41, kind="audit", original=1, val_bpb=1.9),
        make_record(42, status=Status.INVALID),
    ]
    write_results(tmp_path, night)
    rows = read_tsv(tmp_path)
    table = pq.read_table(tmp_path / PARQUET_FILE).to_pylist()
    assert TSV_COLUMNS[-2:] == ("audited", "holdout_bpb")
    seen = set()
    for record, row, cells in zip(night, rows, table, strict=True):
        audited, holdout = record.trial.audit, record.trial.holdout
        assert row["audited"] == ("true" if audited else "false")
        assert row["holdout_bpb"] == (f"{holdout.bpb:.6f}" if holdout else "")
        assert cells["trial.audit.points"] == (audited.points if audited else None)
        assert cells["trial.holdout.bpb"] == (holdout.bpb if holdout else None)
        seen.add((row["status"], row["audited"], bool(row["holdout_bpb"])))
    assert seen >= {
        ("baseline", "true", True),
        ("keep", "true", True),
        ("confirm", "true", False),
        ("audit", "true", False),
        ("discard", "false", False),
        ("invalid", "false", False),
    }
    assert not any(status == "discard" and "true" in rest for status, *rest in seen)


def test_the_table_can_be_traced_to_what_was_run_again(tmp_path: Path) -> None:
    """A notebook averages the re-runs of a candidate: it has to find them."""
    night = [make_record(1, kind="baseline"), *make_kept(2, val_bpb=1.8, best_bpb=1.9, title="T")]
    write_results(tmp_path, night)
    table = pq.read_table(tmp_path / PARQUET_FILE).to_pylist()
    assert [row["original"] for row in table] == [None, None, *[2] * (len(night) - 2)]
    assert [row["description"] for row in read_tsv(tmp_path)[2:]] == [
        "re-run of 2: T" for _ in night[2:]
    ]


@given(text=ANY_TEXT)
def test_a_title_in_a_re_run_is_harmless_too(text: str) -> None:
    """The name is put together from a model's words."""
    record = make_record(3, kind="confirm", original=2, title=text)
    assert one_line(name_of(record)).startswith("re-run of 2:")


def test_a_re_run_is_no_idea_of_its_own() -> None:
    """Forty tried must mean forty ideas: re-runs, audits and what the host spoilt are none."""
    night = [make_record(1, kind="baseline"), *make_kept(2, val_bpb=1.8, best_bpb=1.9)]
    more = len(night) + 1
    spoilt = [
        make_record(more, kind="audit", original=2),
        make_record(more + 1, status=Status.LOST),
        make_record(more + 2, status=Status.CONTENDED),
    ]
    for counted in (tally(night), tally([*night, *spoilt])):
        assert (counted.tried, counted.kept) == (1, 1)
    assert tally([*night, make_record(more, status=Status.CRASHED)]).tried == 2


def test_a_kept_score_is_the_mean_that_became_the_best() -> None:
    """The last re-run alone would show another number than the one that the next must beat."""
    night = make_night(60)
    for index, record in enumerate(night, start=1):
        best = best_of(night[:index])
        if record.verdict.keep:
            assert best is not None
            assert kept_bpb(record) == pytest.approx(best.val_bpb, abs=1e-12)
        else:
            assert kept_bpb(record) is None


def test_a_failed_write_leaves_the_old_table_whole(tmp_path: Path) -> None:
    """A disk fills at night; the results of the evening must still be there, and no draft left."""
    path = tmp_path / TSV_FILE
    path.write_text("before")

    def fill_the_disk() -> None:
        with replacing(path) as draft:
            draft.write_text("half of")
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        fill_the_disk()
    assert path.read_text() == "before"
    assert [each.name for each in tmp_path.iterdir()] == [TSV_FILE]


def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    """The user must read what to do, not a stack of Python."""
    with pytest.raises(CampaignError, match="could not be written") as caught:
        write_results(tmp_path / "gone", make_night(3))
    assert caught.value.why
    assert caught.value.do


@given(text=ANY_TEXT, width=st.integers(1, 50))
def test_one_line_is_one_harmless_line(text: str, width: int) -> None:
    """What a model wrote reaches a terminal: it may not move the cursor or reverse the text."""
    line = one_line(text)
    assert line == " ".join(line.split())
    assert len(line.splitlines()) <= 1
    assert not any(unicodedata.category(character) in ("Cc", "Cf", "Cs") for character in line)
    assert one_line(line) == line
    assert len(one_line(text, width)) <= width


def test_a_terminal_sequence_goes_as_a_whole() -> None:
    """A bare "[31m" left over from a removed escape is dirt in every table."""
    assert one_line("\x1b[1;31mred\x1b[0m and \x1b]0;title\x07done") == "red and done"


def test_a_growing_ledger_is_read_without_touching_it(tmp_path: Path) -> None:
    """`lab status` beside a running night must not repair the line that is being written."""
    ledger = Ledger.open(tmp_path / "ledger.jsonl", anchor="a")
    night = make_night(5)
    for record in night:
        ledger.append(record)
    with ledger.path.open("ab") as file:
        file.write(b'{"number": 6, "ki')
    before = ledger.path.read_bytes()
    assert read_records(tmp_path) == night
    assert ledger.path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["ledger.jsonl"]


def test_a_line_that_is_no_record_is_named(tmp_path: Path) -> None:
    """A ledger edited by hand must not be shown as if it were whole."""
    (tmp_path / "ledger.jsonl").write_text('{"number": 1}\n')
    with pytest.raises(CampaignError, match="altered") as caught:
        read_records(tmp_path)
    assert "line 1" in caught.value.why


def test_the_tally_agrees_with_the_ledger(tmp_path: Path) -> None:
    """Two places count best and baseline; a person must never see two truths."""
    ledger = Ledger.open(tmp_path / "ledger.jsonl", anchor="a")
    for record in make_night(60):
        ledger.append(record)
        counted, best = tally(ledger.records), ledger.best()
        assert best is not None
        assert counted.best_bpb == pytest.approx(best.val_bpb, abs=1e-12)
        assert counted.baseline_bpb == pytest.approx(ledger.baseline_bpb(), abs=1e-12)
        assert counted.noise == noise_of(ledger.records, None)
    assert counted.kept == sum(ending(record) == "keep" for record in ledger.records) > 2


@pytest.mark.parametrize(
    ("traits", "shown"),
    [
        pytest.param(
            {"gpu": "NVIDIA H100", "gpu_memory_bytes": 8, "cpu": "x"}, "NVIDIA H100", id="gpu"
        ),
        pytest.param(
            {"gpu": "NVIDIA A100", "mig": True, "mig_slice": "3g.40gb"},
            "NVIDIA A100, MIG 3g.40gb",
            id="slice",
        ),
        pytest.param({"cpu": "Xeon", "cores": 2.0}, "Xeon, 2 cores", id="cpu"),
        pytest.param({"cpu": None}, "f00", id="unknown"),
        pytest.param({"cpu": "Xeon", "cores": 1}, "Xeon, 1 core", id="one"),
        pytest.param({"cpu": "Xeon", "cores": "2"}, "Xeon", id="a-text"),
        pytest.param({"cpu": "Xeon", "cores": [2]}, "Xeon", id="a-list"),
        pytest.param({"cpu": "Xeon", "cores": 10**400}, "Xeon", id="no-float"),
        pytest.param({"cpu": "Xeon", "cores": float("nan")}, "Xeon", id="nan"),
        pytest.param({"cpu": "Xeon", "cores": True}, "Xeon", id="bool"),
    ],
)
def test_the_hardware_is_named_by_what_matters(traits: dict[str, object], shown: str) -> None:
    """A score without its hardware means nothing."""
    assert hardware_of({"fingerprint": {"class": traits, "class_id": "f00"}}) == shown


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param("[" * 100_000, "cannot be read", id="too-deep"),
        pytest.param('{"tag": ', "cannot be read", id="torn"),
        pytest.param("[1]", "something other than a JSON object", id="a-list"),
    ],
)
def test_a_campaign_file_that_is_none_is_said_in_words(
    tmp_path: Path, content: str, words: str
) -> None:
    """A traceback from `lab dashboard` over one odd folder would hide all others."""
    (tmp_path / "campaign.json").write_text(content)
    with pytest.raises(CampaignError) as caught:
        read_campaign(tmp_path)
    assert words in caught.value.why


def test_a_thousand_records_fit_in_the_controller(tmp_path: Path) -> None:
    """The controller has 250 MB for a whole night, in which the model has the machine to itself."""
    program = (
        "import docker, git, libcst, pathlib, re, rich.live, structlog, sys, typer\n"
        "from lab.show.results import write_results\n"
        "from lab.report.drawing import Plotter\n"
        "from tests.unit.nights import make_night\n"
        "night = make_night(1000)\n"
        "for _ in range(3): write_results(pathlib.Path(sys.argv[1]), night)\n"
        "assert 'matplotlib' not in sys.modules\n"
        # Not ru_maxrss: Linux hands the parent's peak on to a child, and pytest is large.
        "status = pathlib.Path('/proc/self/status').read_text()\n"
        "print(int(re.search(r'VmHWM:\\s+(\\d+)', status)[1]) // 1024)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert int(done.stdout) < 200


def test_a_gain_has_no_sign_of_its_own() -> None:
    """A re-run can lower what was kept below the baseline: "-0.0004 better" is no English."""
    assert gain_in_words(0.0386, 1.8368) == "0.0386 better (2.1 %)"
    assert gain_in_words(-0.0004, 1.6) == "0.0004 worse (0.0 %)"
    lost = replace(tally(make_night(1)), tried=1, kept=1, baseline_bpb=1.6, best_bpb=1.6004)
    assert "  ·  0.0004 worse (0.0 %)  ·  1 tried" in summary_of(lost)
