"""What is asked of a campaign, and handed in to it, while it runs or afterwards."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from lab.cli.options import Tag, say, settings_of

app = typer.Typer()


@app.command()
def status(
    tag: Tag = None,
    json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show a campaign: the one named, else the latest."""
    from lab.cli.looking import print_uncut, status_of_imported
    from lab.runs import IMPORTED_FILE, find_campaign, find_to_look, is_running
    from lab.show.status import as_json, describe

    settings = settings_of(tag=tag)
    find = find_campaign if settings.tag is None else find_to_look
    folder = find(settings.runs, settings.tag)
    if (folder / IMPORTED_FILE).exists():
        status_of_imported(folder, json=json)
    elif json:
        print(as_json(folder, running=is_running(folder)))
    else:
        print_uncut(describe(folder, running=is_running(folder)))


@app.command()
def watch(tag: Tag = None) -> None:
    """Attach to a campaign that runs, from any terminal; Ctrl-C leaves it alone."""
    from lab.runs import find_campaign
    from lab.watch import watch as watch_night

    settings = settings_of(tag=tag)
    watch_night(find_campaign(settings.runs, settings.tag))


@app.command()
def note(
    text: Annotated[str, typer.Argument(help="What the agent should know, in one line.")],
    tag: Tag = None,
) -> None:
    """Pin a note for the agent: every later brief begins with what you want it to know."""
    from lab.notes import pin_note
    from lab.runs import find_campaign

    settings = settings_of(tag=tag)
    folder = find_campaign(settings.runs, settings.tag)
    pin_note(folder, text)
    say(f"pinned in {folder.name}; a model reads it before its next idea, the offline agent never")


@app.command()
def report(
    tag: Tag = None,
    output: Annotated[
        Path | None, typer.Option(help="A file or a folder; in the campaign's own if not given.")
    ] = None,
) -> None:
    """Write a campaign as one page that needs nothing else, and a card to post."""
    from lab.report.drawing import CARD_FILE
    from lab.report.writing import write_report
    from lab.runs import find_to_look

    settings = settings_of(tag=tag)
    folder = find_to_look(settings.runs, settings.tag)
    page = write_report(folder, output)
    say(f"report: {page} ({page.stat().st_size / 1e6:.2f} MB)")
    if output is None:
        say(f"card to post: {folder / CARD_FILE}")


@app.command()
def submit(
    file: Annotated[Path, typer.Argument(help="A train.py.")],
    title: Annotated[str, typer.Option(help="One line: what was changed.")],
    hypothesis: Annotated[str, typer.Option(help="Why it should lower val_bpb.")] = "",
    tag: Tag = None,
    again: Annotated[bool, typer.Option("--again", help="Run it though it was tried.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the result.")] = False,
) -> None:
    """Hand in a train.py to a campaign: it is run before the agent's next idea."""
    from lab.mcp import submit_by_hand

    submit_by_hand(
        settings_of(tag=tag),
        file,
        title=title,
        hypothesis=hypothesis,
        again=again,
        wait=wait,
        say=say,
    )


@app.command()
def mcp(
    tag: Tag = None,
    http: Annotated[bool, typer.Option("--http", help="HTTP on loopback, not stdio.")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8377,
) -> None:
    """Let a coding assistant drive a campaign over MCP, and touch nothing else."""
    from lab.mcp import serve_mcp

    # stdout is the protocol's.
    serve_mcp(
        settings_of(tag=tag),
        port=port if http else None,
        say=lambda line: print(f"lab: {line}", file=sys.stderr, flush=True),
    )


@app.command()
def dashboard(
    host: Annotated[
        str, typer.Option(help="Another address than loopback needs the token that is printed.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8378,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="No button: nobody can stop, note or queue.")
    ] = False,
    ask_token: Annotated[
        bool, typer.Option("--ask-token", help="Ask for the token on loopback, too.")
    ] = False,
    name: Annotated[
        list[str] | None, typer.Option(help="A further name that this host is reached by.")
    ] = None,
) -> None:
    """The live page: all campaigns in a browser, as they happen."""
    from lab.dashboard import serve_dashboard

    serve_dashboard(
        settings_of(),
        host=host,
        port=port,
        read_only=read_only,
        ask_token=ask_token,
        names=name or [],
        say=say,
    )


@app.command()
def team(
    host: Annotated[
        str, typer.Option(help="The address of this host that the team reaches it by.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8378,
    name: Annotated[
        list[str] | None, typer.Option(help="A further name that this host is reached by.")
    ] = None,
    user: Annotated[
        str | None, typer.Option(help="UID:GID that reads runs/, if its owner shall not.")
    ] = None,
    stop: Annotated[bool, typer.Option("--stop", help="End it.")] = False,
) -> None:
    """The live page for a team: read-only, in a container, always there."""
    from lab.setup import connect
    from lab.team import start_team_page, stop_team_page

    settings = settings_of()
    with connect(settings, say) as engine:
        if stop:
            there = stop_team_page(engine, settings)
            say("the team's page is ended" if there else "no page of a team ran here")
            return
        start_team_page(
            engine, settings, host=host, port=port, names=name or [], user=user, say=say
        )
