"""One person's night, and another person's doubt."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from lab.cli.options import Cpus, say, settings_of
from lab.errors import BadInput

app = typer.Typer()


@app.command()
def bundle(
    tag: Annotated[str | None, typer.Argument(help="A campaign; the latest if not given.")] = None,
    output: Annotated[Path | None, typer.Option(help="nightlab-TAG.tar.zst if not given.")] = None,
    key: Annotated[Path | None, typer.Option(help="An SSH key that signs it.")] = None,
    with_weights: Annotated[bool, typer.Option("--with-weights", help="The best model.")] = False,
    with_image: Annotated[bool, typer.Option("--with-image", help="The frozen image.")] = False,
    with_transcripts: Annotated[
        bool, typer.Option("--with-transcripts", help="What was said with a model, keys removed.")
    ] = False,
    allow: Annotated[
        list[str] | None, typer.Option(help="A text that looks private and may be known.")
    ] = None,
) -> None:
    """Put a campaign into one file that a stranger can check."""
    from lab.bundle.export import Wanted, export

    wanted = Wanted(
        key=key,
        weights=with_weights,
        image=with_image,
        transcripts=with_transcripts,
        allowed=tuple(allow or ()),
    )
    done = export(settings_of(tag=tag), output, wanted, say)
    say(f"{done.file}: {done.files} files, {done.size / 1e6:.2f} MB, sha256 {done.sha256}")


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="A bundle.")],
    signer: Annotated[
        Path | None, typer.Option(help="Allowed signers, as ssh-keygen reads them.")
    ] = None,
    rescore: Annotated[bool, typer.Option("--rescore", help="Score its weights here.")] = False,
) -> None:
    """Check a bundle: whole, unaltered, signed by whom, and do its decisions follow from its records?"""
    from lab.bundle import verify as checking

    checks = checking.verify(settings_of(), file, signers=signer, weights=rescore, say=say)
    say(checking.verdict(checks))


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(help="A bundle.")],
    experiment: Annotated[str, typer.Option(help="Its number in the bundle, or best.")] = "best",
    runs: Annotated[int, typer.Option(min=2, max=100, help="How often to run it here.")] = 3,
    cpus: Cpus = None,
) -> None:
    """Run a bundle's claim here: is its gain here too? Exit 0 reproduced, 20 not, 21 cannot tell yet."""
    from lab.replay import EXIT_CODES
    from lab.replay import replay as run_replay

    if experiment != "best" and not experiment.isdecimal():
        raise BadInput(f"no experiment is called {experiment}.", do="give its number, or best.")
    done = run_replay(
        settings_of(cpus=cpus),
        file,
        experiment=None if experiment == "best" else int(experiment),
        runs=runs,
        say=say,
    )
    print(f"\n{done.markdown}\n")
    say(f"every number: {done.folder / 'replay.json'}")
    raise typer.Exit(EXIT_CODES[done.found.outcome])


@app.command()
def compare(
    names: Annotated[list[str], typer.Argument(help="Bundles, folders of campaigns, or tags.")],
    output: Annotated[
        list[Path] | None, typer.Option(help="A file that ends in .md or .html; may be repeated.")
    ] = None,
) -> None:
    """Put campaigns of several hosts side by side: gains compare, absolute scores only within a class."""
    from lab.compare import compare as compare_campaigns
    from lab.show.comparison import draw, write_comparison

    comparison = compare_campaigns(settings_of().runs, names)
    Console().print(draw(comparison))
    for path in output or []:
        for written in write_comparison(comparison, path):
            say(f"written: {written}")
