"""events.jsonl: everything that happened, for machines; and the same in one line, for people.

Owns    the structured log of a campaign, what is never written into it, and the sentences
Takes   an event's name (noun.verb, past tense) and its facts, at full precision
Gives   one flushed JSON line, stamped in UTC
Never   ends a night: a line that finds the disk full counts as lost; the ledger speaks up itself
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import structlog

from lab.redaction import plain, without_secrets
from lab.show.words import ending_in_words, one_line, signed

MAX_TEXT_CHARS = 20_000  # of one value; logs have files of their own


class EventLog:
    """An open events.jsonl."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lost = 0  # lines that could not be written
        self._file: IO[str] | None = None
        self._log: Any = None

    def __enter__(self) -> Self:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            torn = _ends_torn(self.path)
            self._file = self.path.open("a", encoding="utf-8", errors="replace", newline="\n")
            if torn:  # a power cut in the middle of a line; the next one starts on its own
                self._file.write("\n")
        except OSError:
            self.lost += 1
        else:
            self._log = structlog.wrap_logger(
                structlog.WriteLogger(self._file),
                processors=[_stamp, redact, structlog.processors.JSONRenderer(ensure_ascii=False)],
                wrapper_class=structlog.BoundLogger,
                context_class=dict,
            ).bind()
        return self

    def write(self, name: str, facts: Mapping[str, object]) -> None:
        """Write one event; what cannot be written is counted in `lost`."""
        try:
            self._log.msg(name, facts=dict(facts))
        except (OSError, ValueError, AttributeError):  # full, closed, or never opened
            self.lost += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            try:
                self._file.close()
            except OSError:
                self.lost += 1


class NoLog(EventLog):
    """For somebody who shows a night and is not the one that writes its log down."""

    def __init__(self) -> None:
        super().__init__(Path("/dev/null"))

    def __enter__(self) -> Self:
        return self

    def write(self, name: str, facts: Mapping[str, object]) -> None:
        """Nowhere."""


def _ends_torn(path: Path) -> bool:
    if not path.exists() or not path.stat().st_size:
        return False
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1) != b"\n"


def _stamp(_logger: object, _method: str, entry: MutableMapping[str, Any]) -> dict[str, Any]:
    """Facts beside the name and the time, which no fact can overwrite."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    head = {"at": now, "event": entry["event"]}
    return head | {key: value for key, value in entry["facts"].items() if key not in head}


def redact(_logger: object, _method: str, entry: MutableMapping[str, Any]) -> dict[str, Any]:
    """A structlog processor: the entry as plain JSON values, without its secrets."""
    return {
        str(key): plain(value, key=str(key), longest=MAX_TEXT_CHARS) for key, value in entry.items()
    }


# ---- sentences ----

Facts = Mapping[str, Any]


def sentence_of(name: str, facts: Facts) -> str:
    """One line of plain text for a person: rounded, without secrets or control characters.

    Events that have no sentence of their own show their name and their facts.
    """
    tell = _SENTENCES.get(name)
    try:
        text = tell(facts) if tell else None
    except (KeyError, TypeError, ValueError):  # a fact is missing or odd: show what there is
        text = None
    if text is None:
        shown = (f"{key}={_short(key, value)}" for key, value in facts.items() if value is not None)
        text = " ".join((name, *shown))
    return one_line(without_secrets(text), 500)


def _short(key: str, value: object) -> str:
    shown = plain(value, key=key)
    if isinstance(shown, float):
        return f"{shown:.1f}" if key.endswith("_s") else f"{shown:.4g}"
    return one_line(str(shown), 120)


def _started(facts: Facts) -> str:
    parts = (facts.get("profile"), facts.get("hardware"), facts.get("agent"))
    what = ", ".join(str(part) for part in parts if part)
    before = facts.get("resumed_after")
    begins = f"goes on after {before} experiments" if before else "begins"
    return f"night {facts['tag']} {begins}" + (f": {what}" if what else "")


def _ended(facts: Facts) -> str:
    text = f"the night ends: {facts['reason']}"
    if facts.get("experiments") is not None:
        text += f"; {facts['experiments']} experiments, {facts.get('kept') or 0} kept"
    baseline, best = facts.get("baseline_bpb"), facts.get("best_bpb")
    if baseline and best and best != baseline:
        text += f"; {baseline:.4f} -> {best:.4f} ({100 * (baseline - best) / baseline:.1f} %)"
    return text


def _replayed(facts: Facts) -> str:
    before = facts.get("resumed_after")
    begins = f"goes on after {before} experiments" if before else "begins"
    other = "the sender's own class" if facts["same_class"] else "another class than the sender's"
    return f"replay of experiment {facts['experiment']} of {facts['tag']} {begins}, on {other}"


def _phase(facts: Facts) -> str:
    cap = f", at most {facts['cap_s']:.0f} s" if facts.get("cap_s") else ""
    return f"{_number(facts)}{facts['phase']}{cap}"


def _finished(facts: Facts) -> str:
    title = one_line(str(facts.get("title") or ""), 60)
    score = facts.get("val_bpb")
    text = f"{_number(facts)}{ending_in_words(str(facts['ending']))}"
    if score is not None:
        text += f", val_bpb {score:.4f}"
    if facts.get("gain_bpb") is not None:
        text += f" ({signed(facts['gain_bpb'])})"
    text += f": {title}" if title else ""
    # A score speaks for itself; what has none says why.
    reason = one_line(str(facts.get("reason") or ""), 160) if score is None else ""
    return text + (f" [{reason}]" if reason else "")


def _noise(facts: Facts) -> str:
    return (
        f"noise: sd {facts['sd_bpb']:.4f} around {facts['mean_bpb']:.4f}, "
        f"from {facts['runs']} runs of the baseline"
    )


def _number(facts: Facts) -> str:
    return f"#{facts['experiment']} " if facts.get("experiment") is not None else ""


_SENTENCES: dict[str, Callable[[Facts], str]] = {
    "overnight.started": _started,
    "overnight.finished": _ended,
    "replay.started": _replayed,
    "replay.finished": lambda facts: str(facts["reason"]),
    "experiment.proposed": lambda facts: f"{_number(facts)}idea: {facts['title']}",
    "experiment.finished": _finished,
    "experiment.retried": lambda facts: f"{_number(facts)}lost, run again: {facts['reason']}",
    "phase.started": _phase,
    "noise.measured": _noise,
    "ledger.repaired": lambda facts: (
        f"ledger: {facts['torn_bytes']} bytes of a torn last line set aside; nothing else was lost"
    ),
}
