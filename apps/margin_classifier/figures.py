"""Pictures: the losses, a comparison, the agreements of a classifier."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np

from tools.figures import new_figure, save_figure


def draw_losses(path: pathlib.Path) -> pathlib.Path:
    """Draws value, first and second derivative of the eleven losses over the agreement."""
    from keras_layers import losses

    agreement = np.linspace(-3, 3, 1201)
    figure = new_figure(12, 4.2)
    panels = figure.subplots(1, 3)
    titles = ("value", "derivative", "second derivative")
    functions = ("value", "derivative", "second_derivative")
    limits = ((-0.1, 4.5), (-4.5, 2.2), (-1, 4.5))
    for axes, title, function, limit in zip(panels, titles, functions, limits, strict=True):
        for place, name in enumerate(losses.names()):
            curve = np.array(getattr(losses.get(name), function)(agreement))
            # A jump is no steep line.
            curve[np.flatnonzero(np.abs(np.diff(curve)) > 0.5)] = np.nan
            style = "-" if place < 6 else "--"
            axes.plot(agreement, curve, style, label=name, linewidth=1.4, color=f"C{place % 6}")
        axes.set(title=title, xlabel="agreement, label times score", ylim=limit)
        axes.grid(alpha=0.3)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=6)
    return save_figure(figure, path)


def draw_comparison(document: dict[str, Any], path: pathlib.Path) -> pathlib.Path:
    """Draws accuracy and AUC of each method over the share of flipped labels, with bands of one deviation."""
    figure = new_figure(11, 4.6)
    panels = figure.subplots(1, 2)
    flips = [entry["flip"] for entry in document["flips"]]
    for axes, measure in zip(panels, ("accuracy", "auc"), strict=True):
        for place, method in enumerate(document["methods"]):
            means = np.array([entry["rows"][place][measure] for entry in document["flips"]])
            spread = np.array([entry["rows"][place][f"{measure}_deviation"] for entry in document["flips"]])
            style = ("-", "--", ":")[min(place // 6, 2)]
            axes.plot(flips, means, style, marker=".", color=f"C{place % 6}", label=method)
            axes.fill_between(flips, means - spread, means + spread, color=f"C{place % 6}", alpha=0.06, linewidth=0)
        axes.set(title=measure, xlabel="share of training labels flipped")
        axes.grid(alpha=0.3)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=6)
    return save_figure(figure, path)


def draw_agreements(agreements: np.ndarray, labels: np.ndarray, classes: tuple[str, str], path: pathlib.Path):
    """Draws how often each agreement occurs, by class."""
    figure = new_figure(6, 3.6)
    axes = figure.subplots()
    low, high = np.quantile(agreements, [0.001, 0.999])
    bins = np.linspace(min(low, -0.1), max(high, 1.1), 50)
    parts = [np.clip(agreements[labels == k], bins[0], bins[-1]) for k in (0, 1)]
    axes.hist(parts, bins=bins, stacked=True, label=classes)
    axes.axvline(0, color="black", linewidth=1)
    axes.axvline(1, color="black", linewidth=1, linestyle=":")
    axes.set(xlabel="agreement, label times score", ylabel="rows")
    axes.legend()
    return save_figure(figure, path)
