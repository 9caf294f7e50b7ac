"""Every attack, run as an experiment that would otherwise be kept: trained, judged, audited.

Owns    what an attack meets, and what counts as a keep
Takes   an open bench on the smoke profile
Gives   an Outcome for each file
Never   runs an attack anywhere but in the product's own sealed containers
"""

from __future__ import annotations

import statistics
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from harness.findings import Plan
from harness.profiles import Profile
from lab.contract import ContractBroken, check
from lab.glimpse import Glimpse
from lab.outcome import Status
from lab.settings import CHECKOUT
from lab.trial import Bench, Trial, reject, run_trial
from lab.verdict import Bar, Change, Noise, Rule, settle
from tests.attacks.declared import Declared, read_declared

SEED = CHECKOUT / "workspace" / "train.py"
SEED_DECLARED = Declared(
    name="seed",
    what="The seed, as it is.",
    believed_bpb=None,
    outcome=Status.MEASURED,
    caught_by="nothing: it is honest",
)

# The host's clock is the only one that counts, so shorter caps on the host make an attack short. What is
# measured and what is caught do not depend on them.
ATTACK_CAPS = {
    "startup_cap_s": 15.0,
    "train_budget_s": 5.0,
    "save_grace_s": 1.0,
    "load_cap_s": 12.0,
    "evaluation_cap_s": 15.0,
    "memory_bytes": 1536 * 2**20,
}
WORKERS = 2  # most of an attack is the import of torch, which uses one core


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one attack, or of one honest control."""

    declared: Declared
    trial: Trial
    kept: bool  # what it was measured with would beat the seed by the rule of the house
    log: str  # of the train container

    @property
    def claimed_bpb(self) -> float | None:
        """What would have been written down without the audit."""
        if self.trial.audit:
            return self.trial.audit.claimed_bpb
        return self.trial.val_bpb or self.declared.believed_bpb

    @property
    def true_bpb(self) -> float | None:
        """What it is worth by what it could predict blindly; None where it never came to that."""
        return self.trial.audit.blind_bpb if self.trial.audit else None

    @property
    def flagged(self) -> bool:
        return self.trial.status is not Status.MEASURED


class QuietWatch:
    """A Watch that wants nothing."""

    def phase(self, name: str, *, cap_s: float) -> None:
        pass

    def advance(
        self,
        *,
        fraction: float | None = None,
        loss: float | None = None,
        tokens_per_s: float | None = None,
    ) -> None:
        pass

    def running(self, glimpse: Glimpse) -> None:
        pass


class Suite:
    """The seed's own runs, and attacks that are held against them."""

    def __init__(self, bench: Bench, place: Path) -> None:
        self.bench = bench
        self.place = place
        self._numbers = iter(range(1, 10_000))
        self._drawing = threading.Lock()
        self.seeds = [self.run(SEED, SEED_DECLARED, bench.profile) for _ in range(2)]
        scores = [outcome.trial.val_bpb for outcome in self.seeds]
        measured = [score for score in scores if score is not None]
        assert len(measured) == 2, f"the seed cannot be measured: {self.seeds}"
        self.bar = Bar(mean_bpb=statistics.fmean(measured), runs=2, memory_bytes=None)
        # As quiet as this machine could ever be: what is not kept here is kept nowhere.
        self.noise = Noise(sd_bpb=1e-4, df=30)

    def run(self, file: Path, declared: Declared, profile: Profile) -> Outcome:
        """One file, as a candidate whose every claim is doubted."""
        with self._drawing:
            number = next(self._numbers)
        source = file.read_text()
        folder = self.place / f"{number:04d}"
        try:
            check(source)
        except ContractBroken as broken:
            trial = reject(broken.reason)
        else:
            folder.mkdir(mode=0o755)
            (folder / "train.py").write_text(source)
            (folder / "train.py").chmod(0o644)
            trial = run_trial(
                replace(self.bench, profile=profile),
                folder,
                number=number,
                seed=number,
                watch=QuietWatch(),
                doubt=lambda *_: Plan(tolerance_nats=profile.tolerance_floor_nats, holdout=False),
            )
        log = folder / "train.log"
        return Outcome(
            declared=declared,
            trial=trial,
            kept=trial.val_bpb is not None and self._would_be_kept(trial.val_bpb),
            log=log.read_text(errors="replace") if log.exists() else "",
        )

    def _would_be_kept(self, val_bpb: float) -> bool:
        if not hasattr(self, "bar"):  # the seed's own runs are what there is to beat
            return False
        rule = Rule()
        return settle(
            rule,
            reruns=[val_bpb] * rule.most_reruns,
            best=self.bar,
            noise=self.noise,
            change=Change(net_lines=0, memory_bytes=None),
        ).keep

    def run_all(
        self, files: Sequence[Path], *, honest: bool, say: Callable[[Outcome], None]
    ) -> list[Outcome]:
        """Every file, two at a time; outcomes in the order of the files, said as they come."""
        profile = self.bench.profile
        if not honest:
            profile = replace(profile, **ATTACK_CAPS)  # type: ignore[arg-type]

        def one(file: Path) -> Outcome:
            outcome = self.run(file, read_declared(file), profile)
            say(outcome)
            return outcome

        with ThreadPoolExecutor(WORKERS) as pool:
            return list(pool.map(one, files))


def open_place() -> tempfile.TemporaryDirectory[str]:
    """A folder that the containers' user may enter."""
    place = tempfile.TemporaryDirectory(prefix="attacks-")
    Path(place.name).chmod(0o755)
    return place
