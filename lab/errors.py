"""What can go wrong with the lab itself. A failed experiment is data, and is not here.

LabError                  exit code 1
├── BadInput              2   a setting, a file or a name that the user gave
├── EngineError           3   the container engine is absent, silent or refused
├── ImageError            4   the frozen image is absent, or is not what this checkout froze
├── DataError             5   the training or validation data is absent or altered
├── CampaignError         6   the campaign's folder, ledger or repository
│   └── CampaignBusy      7   another controller holds it
├── AgentError            8   the agent cannot go on
└── BundleError           9   a bundle cannot be written or used here
    ├── BadBundle        10   it is no bundle, is not whole, or was altered
    ├── BadRecords       11   its decisions do not follow from its records
    ├── BadWeights       12   its weights do not score what was claimed
    └── BadSigner        13   nobody signed it who was named
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


class BundleError(LabError):
    """A bundle cannot be written, or cannot be used here."""

    exit_code = 9


class BadBundle(BundleError):
    """A file is no bundle, is not whole, or was altered. `check` names what failed, `words` says how."""

    exit_code = 10

    def __init__(self, check: str, words: str) -> None:
        super().__init__(
            f"this bundle is refused ({check}).",
            why=words,
            do="ask the sender for the file again; nothing of it was kept.",
        )
        self.check = check
        self.words = words


class BadRecords(BundleError):
    """What a bundle's records say does not follow from them."""

    exit_code = 11


class BadWeights(BundleError):
    """The weights in a bundle do not score what was claimed for them."""

    exit_code = 12


class BadSigner(BundleError):
    """A bundle is not signed by anybody in the file of allowed signers."""

    exit_code = 13
