"""What is known of a host's noise before a campaign: measured once by `lab noise`, found by every later campaign.

Owns    the file, one for each comparability class: image, profile and hardware
Takes   the spread of repeated runs
Gives   a Noise, which later campaigns pool with their own
"""

from __future__ import annotations

import dataclasses
import json
import math
from datetime import UTC, datetime
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from lab.errors import LabError
from lab.verdict import Noise

_NOISE = TypeAdapter(Noise)


def noise_file(state: Path, class_id: str) -> Path:
    return state / "noise" / f"{class_id}.json"


def store_noise(state: Path, class_id: str, noise: Noise, *, tag: str) -> Path:
    """Write a host's noise where campaigns of the same class look for it; the file."""
    path = noise_file(state, class_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    facts = dataclasses.asdict(noise) | {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "campaign": tag,
    }
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(facts, indent=1) + "\n")
    draft.replace(path)
    return path


def read_noise(state: Path, class_id: str) -> Noise | None:
    """What `lab noise` found for this class; None when it never ran.

    Raises:
        LabError: the file is there and is not readable.
    """
    path = noise_file(state, class_id)
    try:
        facts = json.loads(path.read_bytes())
        noise = _NOISE.validate_python({name: facts[name] for name in ("sd_bpb", "df")})
        if not (0.0 <= noise.sd_bpb < math.inf and noise.df > 0):
            raise ValueError(f"no spread of any runs: {noise}")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, ValidationError) as error:
        raise LabError(
            f"{path} is not a measured noise.",
            why=str(error).splitlines()[0],
            do="delete it; `lab noise` writes it anew.",
        ) from error
    return noise
