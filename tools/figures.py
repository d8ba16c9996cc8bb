"""Pictures of a training and of a classifier's mistakes, drawn without a display."""

from __future__ import annotations

import itertools
import pathlib
from collections.abc import Sequence

import numpy as np

from tools.files import replacing

# Beyond this many classes names and counts would overlap.
MOST_NAMES = 40
MOST_COUNTS = 20


def draw_curves(history: Sequence[dict[str, float]], path: pathlib.Path) -> pathlib.Path:
    """Draws every logged value over the epochs, training and validation together.

    Args:
        history: one row an epoch with "epoch", values `name` and `val_name`, "learning_rate", "seconds".
        path: of the PNG.
    """
    names = [name for name in history[0] if name not in ("epoch", "seconds") and not name.startswith("val_")]
    epochs = [row["epoch"] for row in history]
    figure = new_figure(4.2 * len(names), 3.4)
    for axes, name in zip(np.ravel(figure.subplots(1, len(names))), names, strict=True):
        for key, label in ((name, "training"), (f"val_{name}", "validation")):
            if key in history[0]:
                axes.plot(epochs, [row[key] for row in history], marker="." if len(epochs) < 30 else None, label=label)
        axes.set(title=name.replace("_", " "), xlabel="epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
    axes.figure.axes[0].legend()
    return save_figure(figure, path)


def draw_confusion(matrix: np.ndarray, classes: Sequence[str], path: pathlib.Path) -> pathlib.Path:
    """Draws a confusion matrix, each row as shares of its true class.

    Args:
        matrix: counts (classes, classes), row = true class.
        classes: their names.
        path: of the PNG.
    """
    matrix = np.asarray(matrix)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    side = 3 + 0.32 * min(len(classes), MOST_NAMES)
    figure = new_figure(side + 1, side)
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="predicted class", ylabel="true class")
    if len(classes) <= MOST_NAMES:
        axes.set_xticks(range(len(classes)), classes, rotation=90)
        axes.set_yticks(range(len(classes)), classes)
    if len(classes) <= MOST_COUNTS:
        for (row, column), count in np.ndenumerate(matrix):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=8)
    figure.colorbar(image, label="share of the true class")
    return save_figure(figure, path)


def draw_trade_off(
    points: Sequence[tuple[str, float, float, float]],
    path: Sequence[tuple[str, float, float, float]],
    picture: pathlib.Path,
    *,
    cost: str,
    value: str,
) -> pathlib.Path:
    """Draws what each candidate of a search costs and is worth, and the way the search took.

    Args:
        points: (kind, cost, value, standard error of the value) of every candidate, the costs above 0.
        path: the same of the chosen ones, in order, each labelled with its kind.
        picture: path of the PNG.
        cost: what the costs are, for the horizontal axis, which is logarithmic.
        value: what the values are.
    """
    figure = new_figure(7.5, 4.8)
    axes = figure.subplots()
    kinds = list(dict.fromkeys(kind for kind, *_ in points))
    for kind, marker in zip(kinds, itertools.cycle("osD^v<>P*X"), strict=False):
        _, costs, values, errors = zip(*(point for point in points if point[0] == kind), strict=True)
        axes.errorbar(costs, values, errors, fmt=marker, markersize=6, elinewidth=0.6, alpha=0.75, label=kind)
    axes.plot([point[1] for point in path], [point[2] for point in path], color="black", linewidth=1.2, zorder=0)
    for kind, x, y, _ in path:
        axes.annotate(kind, (x, y), xytext=(-6, 7), textcoords="offset points", ha="right", weight="bold", fontsize=9)
    axes.set(xlabel=cost, ylabel=value, xscale="log")
    # Room for the labels, which stand to the left of their points.
    axes.margins(x=0.15, y=0.1)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="best")
    return save_figure(figure, picture)


def new_figure(width: float, height: float):
    """A Matplotlib figure of this size in inches that needs no display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((width, height), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure, path: pathlib.Path) -> pathlib.Path:
    """Writes a figure as PNG, whole or not at all."""
    path = pathlib.Path(path)
    with replacing(path) as partial:
        figure.savefig(partial)
    return path
