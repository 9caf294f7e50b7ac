"""The base image in the engine: from a registry where one answers, else the one made of Debian's packages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lab.container import LABEL, Engine
from lab.errors import ImageError
from lab.host import Host, Say, look_at_host
from lab.image.base import can_make_base, ensure_base
from lab.image.found import ENGINE_ERRORS, engine_failed
from lab.image.pins import PINS, read_pins, settle
from lab.settings import Settings

ANSWER_TIMEOUT_S = 8
PULL_TIMEOUT_S = 900


def ensure_base_image(
    engine: Engine, settings: Settings, say: Say, *, host: Host | None = None
) -> tuple[str, str]:
    """A base image in the engine: what to build FROM, and what to remember it by.

    Raises:
        ImageError: no registry answers, and the base cannot be made here.
    """
    settings.state.mkdir(parents=True, exist_ok=True)
    host = host or look_at_host()
    if settings.base != "mmdebstrap":
        # Some engines cannot ask a registry without pulling; where there is no other way, pull and see.
        only_way = settings.base == "registry" or not can_make_base(settings, host)
        try:
            digest = _pull(engine) if only_way or _registry_answers(engine) else None
        except ENGINE_ERRORS as error:
            raise ImageError(
                f"the base image {read_pins().base_image} cannot be pulled.",
                why=str(error),
                do="see that the engine reaches a registry; on Debian or Ubuntu with root the base can be "
                "made without one (BASE=mmdebstrap).",
            ) from error
        if digest:
            settle(PINS, ("base", "digest"), digest)
            return _pinned(digest), f"registry:{digest}"
    base = ensure_base(settings, say, host=host)
    tag = base.sha256[:16]
    try:
        if not engine.client.api.images(name=f"{LABEL}-base:{tag}"):
            engine.client.api.import_image(src=str(base.tar), repository=f"{LABEL}-base", tag=tag)
    except ENGINE_ERRORS as error:
        raise engine_failed("import the base image", error) from error
    return f"{LABEL}-base:{tag}", f"mmdebstrap:{base.sha256}"


def ask_registry(engine: Engine, name: str) -> str | None:
    """The digest that a name stands for today; None when no registry answers within seconds."""
    with patience(engine, ANSWER_TIMEOUT_S):
        try:
            answer = engine.client.api.inspect_distribution(name)  # type: ignore[no-untyped-call]
            return str(answer["Descriptor"]["digest"])
        except (*ENGINE_ERRORS, KeyError):
            return None


def _registry_answers(engine: Engine) -> bool:
    """Whether the base can be pulled, or was."""
    pins = read_pins()
    if pins.base_digest and engine.client.api.images(name=_pinned(pins.base_digest)):
        return True
    name = _pinned(pins.base_digest) if pins.base_digest else pins.base_image
    return ask_registry(engine, name) is not None


def _pull(engine: Engine) -> str | None:
    """Have the pinned base in the engine, today's where none is pinned; its digest."""
    pins = read_pins()
    api = engine.client.api
    if pins.base_digest:
        if not api.images(name=_pinned(pins.base_digest)):
            with patience(engine, PULL_TIMEOUT_S):
                api.pull(_pinned(pins.base_digest))
        return pins.base_digest
    with patience(engine, PULL_TIMEOUT_S):
        api.pull(pins.base_image)
    pulled = api.inspect_image(pins.base_image)  # type: ignore[no-untyped-call]
    digests = [entry.partition("@")[2] for entry in pulled.get("RepoDigests") or []]
    return next(iter(digests), None)


def _pinned(digest: str) -> str:
    return f"{_repository()}@{digest}"


def _repository() -> str:
    return read_pins().base_image.rpartition(":")[0]  # a registry's own name may have a port


@contextmanager
def patience(engine: Engine, seconds: int) -> Iterator[None]:
    """Another time limit on the engine's answers, for as long as the block lasts."""
    api = engine.client.api
    before, api.timeout = api.timeout, seconds
    try:
        yield
    finally:
        api.timeout = before
