"""Pictures of reconstructions and of the use of the codes."""

from __future__ import annotations

import pathlib

import numpy as np

from apps.vq_vae.images.runs import Run
from tools.errors import InputError
from tools.figures import new_figure, save_figure
from tools.files import replacing

COLUMNS = 8
GAP = 2
LEAST_SIDE = 64
# Channels of an image that a picture can show.
DRAWABLE = (1, 3)


def draw_reconstructions(run: Run, images: np.ndarray, path: pathlib.Path) -> pathlib.Path:
    """Writes a PNG of images, and below each row of them their reconstructions.

    Args:
        run: a trained autoencoder.
        images: uint8 (images, height, width, channels).
        path: of the PNG.
    """
    from apps.vq_vae.images.evaluation import reconstruct

    return write_png(grid(np.stack([images, reconstruct(run, images)], axis=1)), path)


def draw_code_usage(counts: np.ndarray, path: pathlib.Path) -> pathlib.Path:
    """Writes a PNG of the shares of the codes, the most frequent first, a line for each code of a position.

    Args:
        counts: (codes a position, codes), at least one above 0 in every row.
        path: of the PNG.
    """
    from apps.vq_vae.images.evaluation import perplexity

    figure = new_figure(6, 3.6)
    axes = figure.subplots()
    for number, row in enumerate(counts, start=1):
        name = "" if len(counts) == 1 else f"code {number}: "
        shares = np.sort(row)[::-1] / row.sum()
        axes.plot(shares, label=f"{name}{(row > 0).sum()} of {len(row)} used, perplexity {perplexity(row):.1f}")
    axes.axhline(1 / counts.shape[1], color="grey", linestyle=":", label="all alike")
    axes.set(xlabel="codes by frequency", ylabel="share of the positions", ylim=(0, None))
    axes.legend(fontsize=8)
    return save_figure(figure, path)


def grid(groups: np.ndarray, columns: int = COLUMNS) -> np.ndarray:
    """One picture of groups of images: those of a group stand below each other.

    Args:
        groups: uint8 (groups, images of a group, height, width, channels).
        columns: groups beside each other.

    Returns:
        uint8 (height, width, channels), white between the images; small images are enlarged by a whole factor.
    """
    count, rows, height, width, channels = groups.shape
    factor = max(1, LEAST_SIDE // max(height, width))
    groups = groups.repeat(factor, axis=2).repeat(factor, axis=3)
    height, width = height * factor, width * factor
    columns = min(columns, count)
    lines = -(-count // columns)
    line_height = rows * (height + GAP) + GAP
    picture = np.full((lines * line_height, columns * (width + GAP) + GAP, channels), 255, np.uint8)
    for index, group in enumerate(groups):
        line, column = divmod(index, columns)
        left = GAP + column * (width + GAP)
        for row, image in enumerate(group):
            top = line * line_height + GAP + row * (height + GAP)
            picture[top : top + height, left : left + width] = image
    return picture


def write_png(picture: np.ndarray, path: pathlib.Path) -> pathlib.Path:
    """Writes uint8 (height, width, 1 or 3 channels), red first, as PNG, whole or not at all; makes its folder.

    Raises:
        InputError: for another number of channels, or a path that does not end in .png.
    """
    import cv2

    path = pathlib.Path(path)
    check_drawable(path, picture.shape[-1])
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        written, data = cv2.imencode(".png", picture[..., ::-1])
        if not written:
            raise OSError(f"The picture {path} could not be written.")
        partial.write_bytes(data.tobytes())
    return path


def check_drawable(path: pathlib.Path, channels: int) -> None:
    """Raises an `InputError` for a path that does not end in .png, or another number of channels than 1 or 3."""
    if path.suffix.lower() != ".png":
        raise InputError(f"Expected a path that ends in .png. Received {path}.")
    if channels not in DRAWABLE:
        raise InputError(f"Expected images of 1 or 3 channels, to draw them. Received {channels}.")
