"""The base without a registry: which apt sources of the host it may be made from."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from lab.errors import ImageError
from lab.host import Host
from lab.image.base import ensure_base, write_sources
from lab.settings import read_settings

DEBIAN = """\
Types: deb
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""
THIRD_PARTY = """\
Types: deb
URIs: https://deb.example/node
Suites: nodistro
Components: main
Signed-By: /usr/share/keyrings/node.gpg
"""
DISGUISED = DEBIAN.replace("debian-archive-keyring", "somebody")
SWITCHED_OFF = "Enabled: no\n" + DEBIAN
SOURCE_CODE = DEBIAN.replace("Types: deb\n", "Types: deb-src\n")


def a_host(codename: str = "bookworm", distribution: str = "debian") -> Host:
    return Host(
        distribution=distribution,
        codename=codename,
        has_apt=True,
        become_root=(),
        has_systemd=False,
        run=lambda command: subprocess.CompletedProcess(list(command), 0, "", ""),
    )


def write_apt(folder: Path, *, stanzas: Sequence[str] = (), lines: Sequence[str] = ()) -> Path:
    (folder / "sources.list.d").mkdir(parents=True)
    (folder / "sources.list.d" / "all.sources").write_text("\n".join(stanzas))
    (folder / "sources.list").write_text("\n".join(lines))
    return folder


@pytest.mark.parametrize(
    "stranger",
    [
        pytest.param(THIRD_PARTY, id="third-party"),
        pytest.param(DISGUISED, id="our-suite-signed-by-somebody-else"),
        pytest.param(SWITCHED_OFF, id="switched-off"),
        pytest.param(SOURCE_CODE, id="source-code"),
    ],
)
def test_only_the_hosts_debian_sources_reach_the_image(tmp_path: Path, stranger: str) -> None:
    """What some vendor's repository happened to serve that day must not be inside a frozen image."""
    apt = write_apt(tmp_path / "apt", stanzas=[stranger, DEBIAN])
    (written,) = write_sources(a_host(), tmp_path, apt=apt)
    assert written.name == "debian.sources"
    assert written.read_text().strip() == DEBIAN.strip()


def test_one_line_sources_are_filtered_by_the_same_rules(tmp_path: Path) -> None:
    """Older hosts have no other form."""
    kept = [
        "deb http://mirror.example/debian bookworm main contrib",
        "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] https://m.example bookworm-security main",
    ]
    dropped = [
        "# deb http://mirror.example/debian bookworm main",
        "deb-src http://mirror.example/debian bookworm main",
        "deb cdrom:[Debian 12]/ bookworm main",
        "deb [signed-by=/etc/keys/vendor.gpg] https://vendor.example bookworm main",
        "deb http://mirror.example/debian trixie main",
    ]
    apt = write_apt(tmp_path / "apt", lines=[*dropped, *kept])
    (written,) = write_sources(a_host(), tmp_path, apt=apt)
    assert written.read_text().splitlines() == kept


@pytest.mark.parametrize(
    ("distribution", "codename"), [("debian", "trixie"), ("ubuntu", "noble"), ("unknown", "")]
)
def test_another_release_gives_no_sources(tmp_path: Path, distribution: str, codename: str) -> None:
    """The image is bookworm whatever the host is; its own mirrors would make another system of it."""
    apt = write_apt(tmp_path / "apt", stanzas=[DEBIAN])
    assert write_sources(a_host(codename, distribution), tmp_path, apt=apt) == []


def test_a_base_that_failed_half_way_is_not_taken_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next build would import half a system and fail an hour later, elsewhere."""
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    settings = read_settings({}, state=tmp_path / "state")

    def break_off(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        (settings.state / "base.tar").write_bytes(b"half")
        return subprocess.CompletedProcess(list(command), 1, "", "I: step\nE: mirror gone\n")

    host = Host(
        distribution="debian",
        codename="bookworm",
        has_apt=True,
        become_root=(),
        has_systemd=False,
        run=break_off,
    )
    with pytest.raises(ImageError) as caught:
        ensure_base(settings, lambda _: None, host=host)
    assert caught.value.why == "E: mirror gone"
    assert list(settings.state.iterdir()) == []
