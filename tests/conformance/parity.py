"""Parity cards: weights filled by a stated rule, and what the reference network answers with them."""

import dataclasses
import json
import math
import pathlib
import zlib
from collections.abc import Sequence

import numpy as np

CARDS = pathlib.Path(__file__).resolve().parents[1] / "reference" / "parity"


@dataclasses.dataclass(frozen=True)
class ParityCard:
    """One reference network.

    Attributes:
        arrays: its weights, by the names and in the layouts of its checkpoint.
        inputs: channels last, with a batch axis.
        outputs: its logits for the first input.
        parameters: how many it has.
    """

    arrays: dict[str, np.ndarray]
    inputs: tuple[np.ndarray, ...]
    outputs: np.ndarray
    parameters: int

    def assert_agrees(self, outputs: np.ndarray) -> None:
        """A faithful network differs by at most 1e-4 of the largest logit."""
        difference = np.abs(np.asarray(outputs).reshape(self.outputs.shape) - self.outputs).max()
        assert difference <= 1e-4 * np.abs(self.outputs).max()


def read_card(name: str) -> ParityCard:
    """The card tests/reference/parity/<name>.json."""
    card = json.loads((CARDS / f"{name}.json").read_text(encoding="utf-8"))
    return ParityCard(
        arrays={name: weight(name, shape) for name, shape in card["parameters"]},
        inputs=tuple(
            np.random.default_rng(index).standard_normal((1, *shape)).astype(np.float32)
            for index, shape in enumerate(card["input_shapes"])
        ),
        outputs=np.array(card["output"]),
        parameters=card["parameter_count"],
    )


def weight(name: str, shape: Sequence[int]) -> np.ndarray:
    """The weight of a PyTorch network that has this name and shape, by the rule of the cards."""
    numbers = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape)
    if len(shape) >= 2:
        numbers = numbers * math.sqrt(2 / math.prod(shape[1:]))
    elif name.endswith("running_var"):
        numbers = np.exp(0.2 * numbers)
    elif name.endswith("weight"):
        numbers = 0.5 + 0.1 * numbers
    else:
        numbers = 0.1 * numbers
    return numbers.astype(np.float32)
