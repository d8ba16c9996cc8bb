"""What the docstrings of all constructors say alike."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from typing import Any

WIDTH = 120
EVERYWHERE = "over time and space"
WINDOWS = "of the windows of 7 x 7 positions in the last map, see `WindowedAveragePooling3D`"
CUBES = "of the windows of 2 x 7 x 7 positions in the last map, see `WindowedAveragePooling3D`"
ARGUMENTS = {
    "classes": "number of classes.",
    "dropout": "fraction of features dropped before the classifier, 0 to 1 (excluded). Default {dropout}.",
    "weights": "None (random), the path of a checkpoint that `apps.action_recognition.checkpoints.load` reads, or the "
    "name of published weights (`kapps action-recognition weights list`).",
    "name": "name of the model. Default {name}.",
    "include_top": "whether the classifier is part of the model.",
    "pooling": '"avg" ({average}) or "max"; without the classifier also None, for the map itself.',
    "classifier_activation": '"softmax" for probabilities, None for logits, or any that Keras knows.',
}
RETURNS = (
    'A Functional model. Input "clip": float32 (batch, frames, height, width, channels). Output, float32 under every '
    'dtype policy: (batch, classes); without the classifier {features}. The layer "global_pool" holds the embedding, '
    '"classifier" the logits.'
)
RAISES = "InputError: for an argument out of range, or weights that do not fit."


def documented(
    name: str, features: str, average: str = EVERYWHERE, **arguments: str
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Completes a constructor's docstring: puts what all have where it says `{head}`, and adds Returns and Raises.

    Args:
        name: in words, the name of a model that is given none.
        features: shapes of the output without the classifier, with and without pooling.
        average: what "avg" is the mean of.
        **arguments: texts to take the place of those of `ARGUMENTS`.
    """

    def complete(constructor: Callable[..., Any]) -> Callable[..., Any]:
        words = {"dropout": inspect.signature(constructor).parameters["dropout"].default}
        words |= {"name": name, "average": average, "features": features}
        texts = (f"{key}: {text}".format(**words) for key, text in {**ARGUMENTS, **arguments}.items())
        head = "\n".join(_filled(text, " " * 12) for text in texts)
        constructor.__doc__ = (
            constructor.__doc__.rstrip().replace(" " * 8 + "{head}", head)
            + f"\n\n    Returns:\n{_filled(RETURNS.format(**words))}\n\n    Raises:\n{_filled(RAISES)}\n    "
        )
        return constructor

    return complete


def _filled(text: str, hanging: str = " " * 8) -> str:
    return textwrap.fill(
        text, WIDTH, initial_indent=" " * 8, subsequent_indent=hanging, break_long_words=False, break_on_hyphens=False
    )
