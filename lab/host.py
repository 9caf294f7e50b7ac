"""What the host is, and installing what it lacks from its own distribution.

Owns    every command that needs root
Takes   names of packages
Gives   a Host: what it is, whether we may become root, and a way to run a command
Never   asks for a password, and never installs anything from outside the distribution
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

Run = Callable[[Sequence[str]], "subprocess.CompletedProcess[str]"]
Say = Callable[[str], None]  # one line for the person who waits

INSTALL_TIMEOUT_S = 900

# cron, sudo and some shells leave the sbin folders out of PATH.
PROGRAMS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def run_quietly(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, its output captured, nothing inherited that it could hold open."""
    try:
        return subprocess.run(
            list(command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=INSTALL_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(list(command), 127, "", str(error))


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """The machine that the controller runs on."""

    distribution: str  # ID of /etc/os-release: "debian", "ubuntu", "fedora"
    codename: str  # "bookworm"; empty where the distribution has none
    has_apt: bool
    become_root: tuple[str, ...] | None  # prefix of a command; None: we may not
    has_systemd: bool
    run: Run = field(default=run_quietly)

    @property
    def can_install(self) -> bool:
        return self.has_apt and self.become_root is not None

    def as_root(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command as root; only where `become_root` is not None."""
        return self.run([*(self.become_root or ()), *command])

    def install(self, *packages: str) -> str | None:
        """Install distribution packages; the package lists are refreshed when they are too old for it.

        Returns:
            None when they are there now, else the last line of what went wrong.
        """
        install = [*_APT, "install", "-y", "--no-install-recommends", *packages]
        result = self.as_root(*install)
        if result.returncode:
            self.as_root(*_APT, "update")
            result = self.as_root(*install)
        if result.returncode == 0:
            return None
        lines = [line for line in (result.stderr or result.stdout).splitlines() if line.strip()]
        return lines[-1] if lines else f"apt-get ended with {result.returncode}"


_APT = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q")


def look_at_host(run: Run = run_quietly, *, os_release: Path = Path("/etc/os-release")) -> Host:
    """What this machine is; asks `sudo` whether it would want a password, and nothing else."""
    fields = (line.partition("=") for line in _lines(os_release))
    release = {key: value.strip().strip('"') for key, _, value in fields}
    become_root: tuple[str, ...] | None = None
    if os.geteuid() == 0:
        become_root = ()
    elif shutil.which("sudo") and run(["sudo", "-n", "true"]).returncode == 0:
        become_root = ("sudo", "-n")
    family = {release.get("ID", ""), *release.get("ID_LIKE", "").split()}
    return Host(
        distribution=release.get("ID", "unknown"),
        codename=release.get("VERSION_CODENAME", ""),
        has_apt=bool(family & {"debian", "ubuntu"}) and shutil.which("apt-get") is not None,
        become_root=become_root,
        has_systemd=Path("/run/systemd/system").is_dir(),
        run=run,
    )


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
