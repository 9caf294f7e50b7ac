"""What can go wrong with the lab itself. A failed experiment is data, and is not here.

LabError                  exit code 1
├── BadInput              2   a setting, a file or a name that the user gave
├── EngineError           3   the container engine is absent, silent or refused
├── ImageError            4   the frozen image is absent, or is not what this checkout froze
├── DataError             5   the training or validation data is absent or altered
├── CampaignError         6   the campaign's folder, ledger or repository
│   └── CampaignBusy      7   another controller holds it
└── AgentError            8   the agent cannot go on
"""

from __future__ import annotations


class LabError(Exception):
    """The lab cannot do its work: what happened, why, and what to do about it."""

    exit_code = 1

    def __init__(self, what: str, *, why: str = "", do: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.do = do

    def __str__(self) -> str:
        lines = [self.what]
        if self.why:
            lines.append(f"  why: {self.why}")
        if self.do:
            lines.append(f"  do:  {self.do}")
        return "\n".join(lines)


class BadInput(LabError):
    """A setting, a file or a name that the user gave cannot be used."""

    exit_code = 2


class EngineError(LabError):
    """The container engine is absent, does not answer, or refused."""

    exit_code = 3


class ImageError(LabError):
    """The frozen image is absent, or differs from what this checkout froze."""

    exit_code = 4


class DataError(LabError):
    """The data is absent, incomplete or altered."""

    exit_code = 5


class CampaignError(LabError):
    """The campaign's folder, ledger or repository is not usable."""

    exit_code = 6


class CampaignBusy(CampaignError):
    """Another controller holds this campaign."""

    exit_code = 7


class AgentError(LabError):
    """The agent cannot go on, and retrying will not help."""

    exit_code = 8
