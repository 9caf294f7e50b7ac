"""compose/dashboard.yaml: a team sees everything, and can change nothing."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lab.compose import name_of_project
from lab.container import Container, Engine
from lab.errors import BadInput, EngineError
from lab.runs import locked
from lab.settings import Settings, read_settings
from lab.team import SERVICE, start_team_page, stop_team_page
from tests.unit.handed_in import SO_FAR, make_campaign
from tests.unit.served import Site

TAG = "nov23"
TOKEN = "t0ken-" + "x" * 40
NOBODY = 10001


@dataclass(frozen=True, slots=True)
class Team:
    """A lab whose page may be served, on a free port of loopback."""

    engine: Engine
    settings: Settings
    site: Site

    def start(self, **changes: Any) -> None:
        options = {"host": "127.0.0.1", "port": self.site.port, "names": [], "user": None}
        start_team_page(self.engine, self.settings, **(options | changes), say=print)

    @property
    def container(self) -> Container | None:
        return self.engine.attach(name_of_project(self.settings.runs), SERVICE)

    @property
    def described(self) -> dict[str, Any]:
        assert self.container is not None
        return dict(self.engine.client.api.inspect_container(self.container.id))

    def networks(self) -> list[Any]:
        label = f"com.docker.compose.project={name_of_project(self.settings.runs)}"
        return list(self.engine.client.networks.list(filters={"label": label}))

    def inside(self, script: str) -> tuple[int, str]:
        """What Python says inside the container, as the user of the page."""
        assert self.container is not None
        python = ["/opt/nightlab/venv/bin/python", "-c", script]
        handle = self.engine.client.containers.get(self.container.id)
        code, output = handle.exec_run(python)
        return int(code), output.decode()

    def with_token(self, path: str, **options: Any) -> Any:
        cookie = {"Cookie": f"nightlab-{self.site.port}={TOKEN}"}
        return self.site.ask(path, headers=cookie | options.pop("headers", {}), **options)


@pytest.fixture
def team(engine: Engine, tmp_path: Path) -> Iterator[Team]:
    runs = tmp_path / "runs"
    make_campaign(runs)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = read_settings(os.environ, runs=runs, dashboard_token=TOKEN)
    team = Team(engine, settings, Site(port, runs))
    yield team
    stop_team_page(engine, settings)
    assert team.container is None and not team.networks()


def test_a_team_sees_the_night_as_it_happens(
    team: Team, capsys: pytest.CaptureFixture[str]
) -> None:
    """The list, the campaign, an experiment and the page itself, once somebody has the token."""
    with locked(team.settings.runs / TAG):
        team.start()
        said = capsys.readouterr().out
        assert f"http://127.0.0.1:{team.site.port}/" in said
        assert TOKEN not in said, "who gave it knows it; what is said here may be kept as a log"
        for path in ("/", "/api/campaigns", f"/api/campaigns/{TAG}"):
            assert team.site.ask(path).status == 401
        wrong = {"Cookie": f"nightlab-{team.site.port}={TOKEN}x"}
        assert team.site.ask("/api/campaigns", headers=wrong).status == 401
        assert team.site.ask(f"/?token={TOKEN}").status == 200
        assert b"<!doctype html>" in team.with_token("/").body.lower()
        (brief,) = team.with_token("/api/campaigns").json["campaigns"]
        assert (brief["tag"], brief["problem"], brief["running"]) == (TAG, None, True)
        story = team.with_token(f"/api/campaigns/{TAG}").json
        assert len(story["rows"]) == SO_FAR
        for row in story["rows"]:
            detail = team.with_token(f"/api/campaigns/{TAG}/experiments/{row['number']}")
            assert detail.status == 200, detail
    time.sleep(2.5)
    (brief,) = team.with_token("/api/campaigns").json["campaigns"]
    assert brief["running"] is False


def test_a_team_can_change_nothing(team: Team) -> None:
    """Not through the page, and not from inside its container either."""
    team.start()
    for what in ("stop", "notes", "queue"):
        answer = team.with_token(
            f"/api/campaigns/{TAG}/{what}",
            method="POST",
            body=b"{}",
            headers={"X-Nightlab": "1", "Content-Type": "application/json"},
        )
        assert answer.status in (404, 405), (what, answer)
    host, config = team.described["HostConfig"], team.described["Config"]
    assert host["ReadonlyRootfs"] and host["CapDrop"] == ["ALL"] and not host["Privileged"]
    assert "no-new-privileges" in host["SecurityOpt"]
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    user = (os.getuid(), os.getgid()) if os.getuid() else (NOBODY, NOBODY)
    assert config["User"] == "{}:{}".format(*user)
    assert [(mount["Destination"], mount["RW"]) for mount in team.described["Mounts"]] == [
        ("/opt/nightlab/runs", False)
    ]
    assert team.described["NetworkSettings"]["Ports"] == {
        f"{team.site.port}/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(team.site.port)}]
    }
    for place in ("runs/x", f"runs/{TAG}/STOP", "lab/x", "../../tmp/x"):
        code, said = team.inside(f"open('/opt/nightlab/{place}', 'w')")
        assert code and "Read-only file system" in said, (place, said)


def test_the_page_reaches_no_name_and_nobody_outside(team: Team) -> None:
    """It has nothing to ask; a taken page is to find it hard to tell anybody."""
    team.start()
    code, said = team.inside("import socket; socket.getaddrinfo('example.org', 443)")
    assert code and "gaierror" in said
    (network,) = team.networks()
    options = network.attrs["Options"]
    assert options["com.docker.network.bridge.enable_ip_masquerade"] == "false"


def test_the_health_check_knows_the_page(team: Team) -> None:
    """`docker ps` shows whether the page answers, and it must not call a dead one healthy."""
    team.start()
    check = team.described["Config"]["Healthcheck"]["Test"][1:]
    assert team.container is not None
    handle = team.engine.client.containers.get(team.container.id)
    assert handle.exec_run(check).exit_code == 0
    elsewhere = [word.replace(f"/{team.site.port}", "/9") for word in check]
    assert handle.exec_run(elsewhere).exit_code != 0


def test_a_second_start_takes_the_place_of_the_first(team: Team) -> None:
    """After an update of the checkout, or with another name."""
    team.start()
    before = team.described["Id"]
    named = {"Host": f"lab.example:{team.site.port}"}
    assert team.with_token("/api/campaigns", headers=named).status == 403
    team.start(names=["lab.example"])
    assert team.described["Id"] != before
    assert team.with_token("/api/campaigns", headers=named).status == 200
    own = {"Host": f"{socket.gethostname()}:{team.site.port}"}
    assert team.with_token("/api/campaigns", headers=own).status == 200


def test_campaigns_that_the_page_may_not_read_are_said_at_the_start(team: Team) -> None:
    """An empty page would say that there is none; and nothing is left that starts again and again."""
    team.settings.runs.chmod(0o700)
    with pytest.raises(EngineError, match="did not start") as caught:
        team.start(user=f"{NOBODY}:{NOBODY}")
    assert "cannot read the folder of campaigns" in caught.value.why
    assert team.container is None and not team.networks()
    owner = team.settings.runs.stat()
    team.start(user=f"{owner.st_uid}:{owner.st_gid}")
    assert team.with_token(f"/api/campaigns/{TAG}").status == 200


def test_a_port_that_is_taken_is_said(team: Team) -> None:
    with (
        socket.create_server(("127.0.0.1", team.site.port)),
        pytest.raises(EngineError, match="could not be started") as caught,
    ):
        team.start()
    assert "address already in use" in caught.value.why
    assert team.container is None


@pytest.mark.parametrize(
    "wrong", [{"names": ["lab example"]}, {"names": ["x --port 1"]}, {"user": "root"}]
)
def test_what_is_no_name_or_user_is_refused(team: Team, wrong: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        team.start(**wrong)
    assert team.container is None


def test_the_locks_of_host_and_page_agree() -> None:
    """A page is the same from the host and from the container."""
    root = Path(__file__).resolve().parents[2] / "requirements"
    pins = [
        {line.split()[0] for line in (root / name).read_text().splitlines() if "==" in line}
        for name in ("host.lock", "dashboard.lock")
    ]
    assert pins[1] <= pins[0]


def test_the_command_starts_and_ends_it(team: Team) -> None:
    """`make team`, as a person types it."""

    def run(*arguments: str) -> str:
        variables = {"NIGHTLAB_RUNS": str(team.settings.runs), "NIGHTLAB_DASHBOARD_TOKEN": TOKEN}
        command = ["make", "--silent", "team", *arguments]
        done = subprocess.run(
            command,
            cwd=Path(__file__).resolve().parents[2],
            env=os.environ | variables,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    assert "live page, read-only" in run(f"PORT={team.site.port}")
    assert team.with_token("/api/campaigns").status == 200
    assert "is ended" in run("STOP=1")
    assert team.container is None
    assert "no page of a team ran here" in run("STOP=1")
