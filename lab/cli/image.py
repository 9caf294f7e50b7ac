"""`lab image`: build, check, move and pin the frozen image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lab.cli.options import Kernels, Variant, say, settings_of
from lab.errors import ImageError
from lab.settings import Settings

if TYPE_CHECKING:
    from lab.container import Engine
    from lab.image import Image

app = typer.Typer(no_args_is_help=True, help="Build, check, move and pin the frozen image.")


@app.command("build")
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


@app.command("verify")
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


@app.command("export")
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


@app.command("import")
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


@app.command("prune")
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


@app.command("pin")
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


@app.command("test")
def image_test() -> None:
    """Run the tests of the harness and of train.py inside the image."""
    from lab.bench import run_frozen_tests

    raise typer.Exit(run_frozen_tests(settings_of(), say))
