"""`lab --help`: every command, each a thin call of the module that does it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from lab.errors import BadInput, ImageError, LabError
from lab.settings import CHECKOUT, Settings, read_settings

if TYPE_CHECKING:
    from lab.container import Engine
    from lab.image import Image

app = typer.Typer(
    name="lab",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A laboratory in a box for autonomous research on small language models.",
)
image_app = typer.Typer(no_args_is_help=True, help="Build, check and pin the frozen image.")
engine_app = typer.Typer(no_args_is_help=True, help="The container engine of this host.")
app.add_typer(image_app, name="image")
app.add_typer(engine_app, name="engine")

Tag = Annotated[str | None, typer.Option(help="Name of the campaign; the same name resumes it.")]
Profile = Annotated[str | None, typer.Option(help="auto, gpu, cpu or smoke.")]
Hours = Annotated[float | None, typer.Option(help="Start no experiment after this many hours.")]
Experiments = Annotated[int | None, typer.Option(help="End after this many candidates.")]
AgentName = Annotated[
    str | None,
    typer.Option(
        help="auto, anthropic, openai, gemini, compatible, command, offline, human or scripted."
    ),
]
Command = Annotated[
    str | None, typer.Option(help="Of AGENT=command: claude, codex, or any of the image.")
]
AgentImage = Annotated[str | None, typer.Option(help="The image that holds the command.")]
Model = Annotated[str | None, typer.Option(help="The provider's model; its default if not given.")]
BaseUrl = Annotated[str | None, typer.Option(help="Of a server that speaks Chat Completions.")]
KeyFile = Annotated[Path | None, typer.Option(help="A file of mode 600 that holds the key.")]
Effort = Annotated[str | None, typer.Option(help="How hard the model thinks, in its own words.")]
Usd = Annotated[float | None, typer.Option(help="What the model may cost in this campaign.")]
Tokens = Annotated[int | None, typer.Option(help="What it may take, in tokens.")]
LookAhead = Annotated[int | None, typer.Option(help="Ideas prepared while an experiment runs.")]
Strategy = Annotated[str | None, typer.Option(help="greedy or tree.")]
Script = Annotated[Path | None, typer.Option(help="Folder of replies of the scripted agent.")]
Seed = Annotated[
    int | None, typer.Option(help="Every random choice of the campaign follows from it.")
]
NoiseRuns = Annotated[int | None, typer.Option(help="How often the baseline is run.")]
Variant = Annotated[str | None, typer.Option(help="auto, cpu or cuda.")]
Kernels = Annotated[str | None, typer.Option(help="hub, or none to use PyTorch's own attention.")]
Cpus = Annotated[
    float | None, typer.Option(help="Cores that a container may use; all if not given.")
]


def say(line: str) -> None:
    """One line for the person who waits for the set-up."""
    print(f"lab: {line}", flush=True)


def settings_of(**given: Any) -> Settings:
    return read_settings(os.environ, **given)


@app.command()
def overnight(
    tag: Tag = None,
    hours: Hours = None,
    experiments: Experiments = None,
    profile: Profile = None,
    agent: AgentName = None,
    command: Command = None,
    agent_image: AgentImage = None,
    model: Model = None,
    base_url: BaseUrl = None,
    key_file: KeyFile = None,
    effort: Effort = None,
    usd: Usd = None,
    tokens: Tokens = None,
    lookahead: LookAhead = None,
    strategy: Strategy = None,
    script: Script = None,
    seed: Seed = None,
    noise_runs: NoiseRuns = None,
    cpus: Cpus = None,
) -> None:
    """Research by itself until a limit, Ctrl-C, or the agent's last idea. Sets up all it needs."""
    from lab.overnight import overnight as run_night

    run_night(
        settings_of(
            tag=tag,
            hours=hours,
            experiments=experiments,
            profile=profile,
            agent=agent,
            command=command,
            agent_image=agent_image,
            model=model,
            base_url=base_url,
            key_file=key_file,
            effort=effort,
            usd=usd,
            tokens=tokens,
            lookahead=lookahead,
            strategy=strategy,
            script=script,
            seed=seed,
            noise_runs=noise_runs,
            cpus=cpus,
        ),
        say,
    )


@app.command()
def smoke(cpus: Cpus = None) -> None:
    """The whole loop on a tiny budget: two baselines, four candidates, a few minutes."""
    from lab.smoke import smoke as run_smoke

    run_smoke(settings_of(cpus=cpus), say)


@app.command()
def run(
    file: Annotated[Path, typer.Argument(help="A train.py.")],
    tag: Tag = None,
    profile: Profile = None,
    seed: Seed = None,
    cpus: Cpus = None,
) -> None:
    """Run one train.py by hand, once, and print its score."""
    from lab.byhand import run_by_hand

    run_by_hand(settings_of(tag=tag, profile=profile, seed=seed, cpus=cpus), file, say)


@app.command()
def audit(
    number: Annotated[
        int | None, typer.Argument(help="An experiment; the best one if none is named.")
    ] = None,
    tag: Tag = None,
    cpus: Cpus = None,
) -> None:
    """Audit an experiment blindly: can its claim be reproduced without the answers? Exit 1 if not."""
    from lab.byhand import audit_by_hand

    record = audit_by_hand(settings_of(tag=tag, cpus=cpus), number, say)
    raise typer.Exit(0 if record.trial.audit and record.trial.audit.passed else 1)


@app.command()
def noise(
    file: Annotated[Path, typer.Argument(help="A train.py.")] = CHECKOUT / "workspace/train.py",
    runs: Annotated[int, typer.Option(min=2, help="How often to run it.")] = 5,
    tag: Tag = None,
    profile: Profile = None,
    seed: Seed = None,
    cpus: Cpus = None,
) -> None:
    """Measure how much seeds alone move the score here; later campaigns begin with it."""
    from lab.byhand import measure_noise

    measure_noise(settings_of(tag=tag, profile=profile, seed=seed, cpus=cpus), file, runs, say)


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


@app.command()
def status(
    tag: Tag = None,
    json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show a campaign: the one named, else the latest."""
    from lab.runs import find_campaign, is_running
    from lab.show.status import as_json, describe

    folder = find_campaign(settings_of().runs, tag)
    if json:
        print(as_json(folder, running=is_running(folder)))
    else:
        Console().print(describe(folder, running=is_running(folder)))


@app.command()
def submit(
    file: Annotated[Path, typer.Argument(help="A train.py.")],
    title: Annotated[str, typer.Option(help="One line: what was changed.")],
    hypothesis: Annotated[str, typer.Option(help="Why it should lower val_bpb.")] = "",
    tag: Tag = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the result.")] = False,
) -> None:
    """Hand in a train.py to a campaign: it is run before the agent's next idea."""
    from lab.mcp import submit_by_hand

    submit_by_hand(
        settings_of(tag=tag), file, title=title, hypothesis=hypothesis, wait=wait, say=say
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
def data(profile: Profile = None, variant: Variant = None, kernels: Kernels = None) -> None:
    """Fetch and tokenise the data of a profile, once."""
    from lab.setup import set_up

    with set_up(
        settings_of(profile=profile, variant=variant, kernels=kernels), campaign="data", say=say
    ) as ready:
        say(f"data of the {ready.bench.profile.name} profile: {ready.bench.data}")


@app.command()
def doctor(profile: Profile = None, variant: Variant = None, kernels: Kernels = None) -> None:
    """Every precondition, with its state and its remedy; exit 0 only if the main job can run."""
    from lab.doctor import draw, examine, exit_code

    checks = examine(settings_of(profile=profile, variant=variant, kernels=kernels))
    Console().print(draw(checks))
    raise typer.Exit(exit_code(checks))


@app.command()
def test() -> None:
    """All tests: on the host with real containers, then inside the frozen image."""
    from lab.bench import run_tests

    raise typer.Exit(run_tests(settings_of(), say))


@app.command()
def bench(
    names: Annotated[list[str] | None, typer.Argument(help="Benchmarks; all if none.")] = None,
) -> None:
    """Measure: each benchmark prints a table and, as its last line, one JSON object."""
    from lab.bench import run_benchmarks

    raise typer.Exit(run_benchmarks(settings_of(), names or [], say))


@app.command()
def attacks() -> None:
    """Every known cheat against the lab, and honest controls: a table, and one JSON object as its last line."""
    from lab.bench import run_attacks

    raise typer.Exit(run_attacks())


@image_app.command("build")
def image_build(
    variant: Variant = None,
    kernels: Kernels = None,
    twice: Annotated[
        bool, typer.Option("--twice", help="Build from nothing two times and compare.")
    ] = False,
) -> None:
    """Build and freeze the image, unless it is there already."""
    from lab.image import build_twice, ensure_image
    from lab.setup import choose_hardware, connect, variant_of

    settings = settings_of(variant=variant, kernels=kernels)
    with connect(settings, say) as engine:
        chosen = variant_of(settings, choose_hardware(settings)[0])
        if twice:
            compared = build_twice(engine, settings, chosen, say)
            for each in compared:
                print(f"{each.target:<7} {each.first}  {'equal' if each.equal else 'DIFFERS'}")
                print(*each.differences, sep="\n", end="\n" if each.differences else "")
            raise typer.Exit(0 if all(each.equal for each in compared) else 1)
        for target in ("frozen", "data"):
            built = ensure_image(engine, settings, chosen, target, say)
            print(f"{target:<7} {built.id}  {built.variant}, kernels {built.kernels}")


@image_app.command("verify")
def image_verify(variant: Variant = None, kernels: Kernels = None) -> None:
    """See that the image holds this checkout's harness, file by file."""
    from lab.image import verify_image
    from lab.setup import connect

    settings = settings_of(variant=variant, kernels=kernels)
    with connect(settings, say) as engine:
        found = found_image(engine, settings)
        verify_image(engine, found)
        print(f"{found.id} is what this checkout froze: harness {found.harness_sha256[:12]}")


def found_image(engine: Engine, settings: Settings) -> Image:
    """The frozen image of this checkout."""
    from lab.image import find_image
    from lab.setup import choose_hardware, variant_of

    variant = variant_of(settings, choose_hardware(settings)[0])
    found = find_image(engine, settings, variant, "frozen")
    if found is None:
        raise ImageError(
            f"no {variant} image was built from this checkout.", do="build it with `make image`."
        )
    return found


@image_app.command("export")
def image_export(
    file: Annotated[Path, typer.Argument(help="The tar to write, an OCI image layout.")],
    variant: Variant = None,
    kernels: Kernels = None,
) -> None:
    """Write the frozen image to a file, for another host."""
    from lab.image import export_image
    from lab.setup import connect

    settings = settings_of(variant=variant, kernels=kernels)
    with connect(settings, say) as engine:
        found = found_image(engine, settings)
        export_image(engine, found.id, file)
        print(f"{found.id} in {file}, {file.stat().st_size / 1e9:.2f} GB")


@image_app.command("import")
def image_import(
    file: Annotated[Path, typer.Argument(help="What `lab image export` wrote.")],
) -> None:
    """Bring in a frozen image from a file, if it holds what this checkout froze."""
    from lab.image import import_image
    from lab.setup import connect

    settings = settings_of()
    with connect(settings, say) as engine:
        image = import_image(engine, file)
        print(f"{image.id}  {image.variant}, {image.target}, kernels {image.kernels}")
        say(
            "its harness is this checkout's; the rest is its sender's word, unless you know this id"
        )


@image_app.command("prune")
def image_prune() -> None:
    """Remove images of ours that no campaign under runs/ and not this checkout names."""
    from lab.image import prune_images
    from lab.setup import connect

    settings = settings_of()
    with connect(settings, say) as engine:
        removed = prune_images(engine, settings.runs)
    for line in removed:
        print(line)
    say(f"{len(removed)} images removed")


@image_app.command("pin")
def image_pin() -> None:
    """Resolve what images/pins.toml still has unresolved. Maintainers run it, where there is a network."""
    from lab.image import pin_images
    from lab.setup import connect

    settings = settings_of()
    with connect(settings, say) as engine:
        unresolved = pin_images(engine, settings)
    for line in unresolved:
        print(f"unresolved: {line}")
    raise typer.Exit(1 if unresolved else 0)


@image_app.command("test")
def image_test() -> None:
    """Run the tests of the harness and of train.py inside the image."""
    from lab.bench import run_frozen_tests

    raise typer.Exit(run_frozen_tests(settings_of(), say))


@engine_app.command("stop")
def engine_stop() -> None:
    """Stop the engine that `lab` started in the background; any other is left alone."""
    from lab.engine import stop_engine

    say("engine stopped" if stop_engine(settings_of()) else "no engine of ours runs")


def main() -> None:
    """The program `lab`. Every error of the lab itself ends here, with its exit code."""
    try:
        app()
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
