"""The notebook: whoever writes there, and whenever, every note is kept whole."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab.notebook import add_note


def test_no_note_is_lost_or_torn_among_many_writers(tmp_path: Path) -> None:
    """The night's model and any number of assistants note what they learned, and none waits for another."""
    notebook = tmp_path / "notebook.md"
    notes = [f"writer {w} note {n} " + "ä" * 900 for w in range(8) for n in range(50)]
    with ThreadPoolExecutor(8) as writers:
        list(writers.map(lambda note: add_note(notebook, note), notes))
    assert sorted(notebook.read_text().splitlines()) == sorted(notes)
