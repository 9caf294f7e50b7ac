"""The frozen image: built once from pinned inputs, named by id, and refused when it is not this checkout's.

    found       an Image, and finding the one that this checkout and these settings name
    pins        images/pins.toml, and asking the hub
    wheelhouse  what comes from a package index, downloaded on the host by hash
    base        the base without a registry, from Debian's packages
    registry    the base in the engine, from a registry where one answers
    context     what is sent to the builder
    build       the build
    check       whether an image holds what this checkout froze
    pinning     `lab image pin`

Owns    every call of the engine about images
Takes   images/, harness/, and an open engine
Gives   an Image
Never   starts an experiment, or trusts what an image says of itself: the files are read out and hashed here
"""

from lab.image.build import ensure_image
from lab.image.check import named_image, verify_image
from lab.image.found import Image, Target, Variant, find_image
from lab.image.pinning import pin_images

__all__ = [
    "Image",
    "Target",
    "Variant",
    "ensure_image",
    "find_image",
    "named_image",
    "pin_images",
    "verify_image",
]
