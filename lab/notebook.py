"""What agents learned, for whoever proposes after them: runs/<tag>/notebook.md, one note a line.

Owns    the file's name, and how a note gets into it
Takes   notes, from the model of the night and from assistants over MCP, each a process of its own
Gives   nothing; every Brief shows the file's end
Never   holds what a person pinned: that is another file (lab/notes.py), which no agent writes
"""

from __future__ import annotations

import os
from pathlib import Path

NOTEBOOK_FILE = "notebook.md"


def add_note(notebook: Path, note: str) -> None:
    """Append a line.

    One write at the file's end: the kernel keeps those of several processes apart, so nobody waits and none is lost.

    Raises:
        OSError: it could not be written.
    """
    file = os.open(notebook, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        os.write(file, f"{note}\n".encode())
    finally:
        os.close(file)
