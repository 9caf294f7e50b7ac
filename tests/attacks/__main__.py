"""`make attacks`: every attack and every honest control, as a table; the last line is one JSON object.

attacks   how many train.py files misbehaved
kept      how many of them were measured better than the seed: 0, or the lab is broken
controls  how many audits honest models went through
flagged   how many of those raised an alarm: 0, or honest ideas are thrown away
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

from lab.bench import run_inside
from lab.container import Engine
from lab.settings import Settings, read_settings
from lab.setup import set_up
from tests.attacks.declared import ATTACKS, CONTROLS
from tests.attacks.suite import Outcome, Suite, open_place

ROW = "{:<30} {:>8} {:>8}  {:<14} {}"


def main() -> int:
    settings = read_settings(os.environ, profile="smoke")
    with set_up(settings, campaign="attacks", say=lambda line: print(f"lab: {line}")) as ready:
        bench = replace(ready.bench, campaign=f"attacks-{os.getpid()}")
        print(ROW.format("attack", "claimed", "true", "outcome", "caught by"))
        with open_place() as place:
            suite = Suite(bench, Path(place))
            outcomes = suite.run_all(ATTACKS, honest=False, say=_print)
            controls = [*suite.seeds, *suite.run_all(CONTROLS, honest=True, say=_print)]
        audits = _audit_honest_models(ready.bench.engine, settings, ready.image.id)
    surprises = [o for o in [*outcomes, *controls] if o.trial.status is not o.declared.outcome]
    for outcome in surprises:
        print(f"not as declared: {outcome.declared.name}: {outcome.trial.reason}")
    totals = {
        "attacks": len(outcomes),
        "kept": sum(outcome.kept for outcome in outcomes),
        "controls": len(controls) + audits["audits"],
        "flagged": sum(outcome.flagged for outcome in controls) + audits["flagged"],
    }
    print(json.dumps(totals))
    return 1 if totals["kept"] or totals["flagged"] or surprises else 0


def _print(outcome: Outcome) -> None:
    numbers = [
        "" if value is None else f"{value:.4f}" for value in (outcome.claimed_bpb, outcome.true_bpb)
    ]
    what = "KEPT" if outcome.kept else outcome.trial.status.value.replace("_", " ")
    print(ROW.format(outcome.declared.name, *numbers, what, outcome.declared.caught_by), flush=True)


def _audit_honest_models(engine: Engine, settings: Settings, image: str) -> dict[str, int]:
    """Two hundred audits of honest models, in the image; what `tests.attacks.honest` says of them."""
    command = ("env", "NIGHTLAB_PROFILE=smoke", "python", "-m", "tests.attacks.honest")
    lines: list[str] = []
    run_inside(engine, settings, image, "attacks", command, show=lines.append)
    print("\n".join(lines[:-1]))
    found: dict[str, int] = json.loads(lines[-1])
    return found


if __name__ == "__main__":
    sys.exit(main())
