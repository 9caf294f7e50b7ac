"""Scoring a sealed checkpoint."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What the judge found of one checkpoint. Lower is better, so absence is None and never zero."""

    val_bpb: float  # bits per UTF-8 byte of the validation text, exact byte lengths
    val_bpb_upstream: float | None  # the original project's counting, `gpu` profile only
    val_nats: float  # sum over the scored tokens
    val_bytes: int
    val_tokens: int
    evaluation_s: float
