"""The base of the image where no registry answers: Debian's own packages, put together by mmdebstrap.

Owns    the base's root filesystem, as a tar in the lab's state folder
Takes   the host, and its own apt sources where it runs the same Debian
Gives   a Base: the tar and its sha256; two runs over the same packages give the same one (measured)
Never   talks to the engine
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.errors import ImageError
from lab.host import Host, Say, look_at_host
from lab.settings import Settings

SUITE = "bookworm"
POCKETS = {SUITE, f"{SUITE}-updates", f"{SUITE}-security", f"{SUITE}/updates"}
KEYRING = "debian-archive-keyring"

# Every file of the image that would carry the time of its making carries this instead: 2026-01-01.
SOURCE_DATE_EPOCH = 1767225600

# Documentation is a fifth of a minimal Debian, and no container reads it.
LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """A root filesystem on disk."""

    tar: Path
    sha256: str


def ensure_base(settings: Settings, say: Say, *, host: Host | None = None) -> Base:
    """The base that lies in the state folder, else a new one.

    Raises:
        ImageError: mmdebstrap is absent and cannot be installed, or it failed.
    """
    tar = settings.state.resolve() / "base.tar"
    note = tar.with_suffix(".sha256")
    if tar.exists() and note.exists():
        return Base(tar=tar, sha256=note.read_text().strip())
    host = host or look_at_host()
    _ensure_mmdebstrap(host, say)
    say("no container registry in reach: making the base image from Debian's packages (a minute)")
    tar.parent.mkdir(parents=True, exist_ok=True)
    note.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="nightlab-apt-") as scratch:
        sources = write_sources(host, Path(scratch))
        result = host.as_root(*_mmdebstrap(tar, sources))
    if result.returncode:
        tar.unlink(missing_ok=True)
        lines = [line for line in result.stderr.splitlines() if line.startswith("E:")]
        raise ImageError(
            "mmdebstrap could not make the base image.",
            why=(lines or result.stderr.strip().splitlines() or ["it said nothing"])[-1],
            do="see that this host reaches its Debian mirror (`apt-get update`), or a container registry "
            "(BASE=registry); nothing was built.",
        )
    with tar.open("rb") as opened:
        sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
    note.write_text(sha256 + "\n")  # last: its presence says that the tar is whole
    return Base(tar=tar, sha256=sha256)


def can_make_base(settings: Settings, host: Host) -> bool:
    """Whether the base could be made here, or is made already."""
    made = (settings.state.resolve() / "base.tar").exists()
    return made or host.can_install or shutil.which("mmdebstrap") is not None


def _ensure_mmdebstrap(host: Host, say: Say) -> None:
    if shutil.which("mmdebstrap"):
        return
    do = "let this host reach a container registry (then no mmdebstrap is needed), or install mmdebstrap."
    what = (
        "no container registry answers, and mmdebstrap, which makes a base without one, is absent."
    )
    if not host.can_install:
        raise ImageError(what, why="it cannot be installed without apt and root", do=do)
    say("no container registry in reach: installing mmdebstrap from the distribution")
    if why := host.install("mmdebstrap", KEYRING):
        raise ImageError(what, why=f"its installation failed: {why}", do=do)


def _mmdebstrap(tar: Path, sources: list[Path]) -> list[str]:
    return [
        "env",
        f"SOURCE_DATE_EPOCH={SOURCE_DATE_EPOCH}",
        "mmdebstrap",
        "--variant=minbase",
        # A mirror may be reached over https, and apt inside the build uses the same one.
        "--include=ca-certificates",
        "--format=tar",
        "--quiet",
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT),
        # Both are copied from this host, and an image travels.
        '--customize-hook=rm -f "$1/etc/hostname" "$1/etc/resolv.conf"',
        SUITE,
        str(tar),
        *map(str, sources),  # none: mmdebstrap's own defaults for the suite
    ]


def write_sources(host: Host, folder: Path, *, apt: Path = Path("/etc/apt")) -> list[Path]:
    """The host's own Debian sources of the base's suite, as files for mmdebstrap; third parties left out.

    A host that is no Debian of this suite gives none: mmdebstrap then uses Debian's defaults.
    """
    if (host.distribution, host.codename) != ("debian", SUITE):
        return []
    lists = [apt / "sources.list", *sorted(apt.glob("sources.list.d/*.list"))]
    lines = [line for file in lists for line in _read(file).splitlines() if _is_debian_line(line)]
    stanzas = [
        stanza
        for file in sorted(apt.glob("sources.list.d/*.sources"))
        for stanza in _stanzas(_read(file))
        if _is_debian_stanza(stanza)
    ]
    written = []
    for name, parts, glue in (("debian.list", lines, "\n"), ("debian.sources", stanzas, "\n\n")):
        if parts:
            written.append(folder / name)
            written[-1].write_text(glue.join(parts) + "\n")
    folder.chmod(0o755)
    return written


_LINE = re.compile(r"deb\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+\S")


def _is_debian_line(line: str) -> bool:
    match = _LINE.match(line.strip())
    return (
        match is not None
        and match["suite"] in POCKETS
        and _is_network(match["uri"])
        and _is_debian_key(match["options"] or "")
    )


def _is_debian_stanza(stanza: str) -> bool:
    fields = dict(_fields(stanza.splitlines()))
    suites = fields.get("suites", "").split()
    return (
        "deb" in fields.get("types", "").split()
        and fields.get("enabled", "yes").lower() not in {"no", "false", "0"}
        and bool(suites)
        and set(suites) <= POCKETS
        and all(map(_is_network, fields.get("uris", "").split()))
        and _is_debian_key("signed-by=" + fields["signed-by"] if "signed-by" in fields else "")
    )


def _is_network(uri: str) -> bool:
    return uri.startswith(("http://", "https://"))  # not a CD, and not a folder of the host


def _is_debian_key(options: str) -> bool:
    """Signed by Debian's own keyring, which the base has too, or by whatever apt trusts by default."""
    return "signed-by=" not in options.lower() or KEYRING in options


def _stanzas(text: str) -> Iterable[str]:
    return (part.strip() for part in re.split(r"\n\s*\n", text) if part.strip())


def _fields(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The fields of one stanza; a line that starts with a space goes on with the field before."""
    name, value = "", ""
    for line in lines:
        if line.startswith("#"):
            continue
        if line[:1].isspace():
            value += " " + line.strip()
            continue
        if name:
            yield name, value
        name, _, value = (part.strip() for part in line.partition(":"))
        name = name.lower()
    if name:
        yield name, value


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
