"""The offline agent: real edits of train.py, with no key and no network.

constants   the hyperparameters at the top of the file, read and set
rewriting   edits of code by example
ideas       what a dial, a switch and an idea are
dials       the catalogue's numbers
switches    the catalogue's edits of code
memory      what the history teaches
agent       the choice
"""

from __future__ import annotations

from lab.agents.offline.agent import OfflineAgent, every_mutation

__all__ = ["OfflineAgent", "every_mutation"]
