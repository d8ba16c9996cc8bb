"""Assigning arrays to a model by rules: all of them, or none and one error that says what does not fit."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tools.errors import InputError

if TYPE_CHECKING:
    import keras

TORCH_NORMALIZATION_FIELDS = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}
PLACEHOLDER = re.compile(r"\{(\w+)(?:\+(\d+))?\}")


@dataclasses.dataclass(frozen=True)
class Rule:
    """How the arrays of one kind in a checkpoint become weights of a model.

    Attributes:
        pattern: regular expression of the whole name in the checkpoint, with named groups.
        target: path of the weight, such as "conv{stage+1}/kernel": `{group}` stands for the text of a named group and
            `{group+1}` for its number plus 1. None: the array is left out on purpose.
        permutation: order of the array's axes in the model. None: as they are.
    """

    pattern: str
    target: str | None
    permutation: tuple[int, ...] | None = None

    def apply(self, name: str) -> re.Match | None:
        return re.fullmatch(self.pattern, name)

    def expand(self, match: re.Match) -> str:
        """The path of the weight for a name that matched."""

        def replace(placeholder: re.Match) -> str:
            value = match[placeholder[1]]
            return str(int(value) + int(placeholder[2])) if placeholder[2] else value

        return PLACEHOLDER.sub(replace, self.target)


def torch_convolution(pattern: str, target: str, rank: int, bias: bool = False) -> tuple[Rule, ...]:
    """Rules of a PyTorch convolution: kernel (out, in, *lengths) -> (*lengths, in, out).

    Args:
        pattern: of the module's name, without ".weight".
        target: path of the layer, without "/kernel".
        rank: number of axes it convolves over.
        bias: whether it has a bias.
    """
    kernel = Rule(rf"{pattern}\.weight", f"{target}/kernel", (*range(2, rank + 2), 1, 0))
    return (kernel, Rule(rf"{pattern}\.bias", f"{target}/bias")) if bias else (kernel,)


def torch_dense(pattern: str, target: str) -> tuple[Rule, ...]:
    """Rules of a PyTorch linear module with its bias: kernel (out, in) -> (in, out)."""
    return (Rule(rf"{pattern}\.weight", f"{target}/kernel", (1, 0)), Rule(rf"{pattern}\.bias", f"{target}/bias"))


def torch_normalization(pattern: str, target: str) -> tuple[Rule, ...]:
    """Rules of a PyTorch batch normalization; its counter of batches is left out."""
    fields = (Rule(rf"{pattern}\.{name}", f"{target}/{own}") for name, own in TORCH_NORMALIZATION_FIELDS.items())
    return (*fields, Rule(rf"{pattern}\.num_batches_tracked", None))


class MismatchError(InputError):
    """Arrays that do not fit a model. The first line counts, the others list.

    Attributes:
        headline: the first line without the counts.
        leftover: names in the checkpoint that no weight of the model takes.
        missing: paths of weights for which there is no array.
        shapes: what differs in shape, one line each.
        refused: arrays that are no finite floating-point numbers, or claim a weight that another has, one line each.
    """

    def __init__(
        self,
        headline: str,
        leftover: Sequence[str],
        missing: Sequence[str],
        shapes: Sequence[str],
        refused: Sequence[str],
    ):
        self.headline = headline
        self.leftover, self.missing = tuple(leftover), tuple(missing)
        self.shapes, self.refused = tuple(shapes), tuple(refused)
        counts = (
            f"{len(shapes)} shapes differ, {len(missing)} weights have no array, "
            f"{len(leftover)} arrays have no weight, {len(refused)} arrays are refused."
        )
        lines = [
            *(f"shape differs: {line}" for line in shapes),
            *(f"weight without array: {path}" for path in missing),
            *(f"array without weight: {name}" for name in leftover),
            *(f"array refused: {line}" for line in refused),
        ]
        super().__init__("\n".join([f"{headline} {counts}", *(f"  {line}" for line in lines)]))

    def with_headline(self, headline: str) -> MismatchError:
        """The same lists under another first sentence."""
        return MismatchError(headline, self.leftover, self.missing, self.shapes, self.refused)


@dataclasses.dataclass(frozen=True)
class Renamed:
    """A checkpoint in the names and layouts of a model.

    Attributes:
        arrays: (name in the checkpoint, path of the weight, array with its axes in the model's order).
        leftover: names no rule knows.
        ignored: names a rule leaves out.
    """

    arrays: tuple[tuple[str, str, np.ndarray], ...]
    leftover: tuple[str, ...]
    ignored: tuple[str, ...]


def rename(arrays: Mapping[str, np.ndarray], rules: Sequence[Rule]) -> Renamed:
    """Applies to each array the first rule whose pattern is its name."""
    renamed, leftover, ignored = [], [], []
    for name, array in arrays.items():
        rule, match = next(((rule, match) for rule in rules if (match := rule.apply(name))), (None, None))
        if rule is None:
            leftover.append(name)
        elif rule.target is None:
            ignored.append(name)
        else:
            # An array of another rank keeps its axes, and is reported by its shape.
            if rule.permutation and array.ndim == len(rule.permutation):
                array = array.transpose(rule.permutation)
            renamed.append((name, rule.expand(match), array))
    return Renamed(tuple(renamed), tuple(leftover), tuple(ignored))


def variables(model: keras.Model) -> dict[str, keras.Variable]:
    """The weights of a model by path, such as "conv1/spatial/kernel".

    Raises:
        ValueError: if two weights have one path, so that no rule could tell them apart.
    """
    by_path: dict[str, keras.Variable] = {}
    for variable in model.weights:
        if variable.path in by_path:
            raise ValueError(
                f"Expected weights of different paths. Received {variable.path!r} twice in {model.name!r}."
            )
        by_path[variable.path] = variable
    return by_path


def assign(
    model: keras.Model, arrays: Mapping[str, np.ndarray], rules: Sequence[Rule], keep: str | None = None
) -> tuple[str, ...]:
    """Gives every weight of the model its array; if anything does not fit, changes nothing.

    Args:
        model: a built model.
        arrays: by name in the checkpoint, as `read` returns them.
        rules: tried in order. A target may name a weight by path ("conv1/kernel") or, as Keras files do, by its
            position in its layer ("conv1/0").
        keep: regular expression of whole paths of weights that keep their values, whether the checkpoint has arrays
            for them or not. Default None: no weight does.

    Returns:
        Names of the arrays that were left out, by a rule or because their weight keeps its values.

    Raises:
        MismatchError: lists every name left over, every weight without array, every shape that differs and every array
            that is not finite floating-point numbers.
    """
    weights = variables(model)
    positions = _positions(weights)
    renamed = rename(arrays, rules)
    kept = re.compile(keep) if keep else None
    leftover, ignored, shapes, refused, fitting = list(renamed.leftover), list(renamed.ignored), [], [], {}
    claimed: dict[str, str] = {}
    for name, target, array in renamed.arrays:
        path = positions.get(target, target)
        if kept and kept.fullmatch(path):
            ignored.append(name)
            continue
        if path not in weights:
            leftover.append(name)
            continue
        if path in claimed:
            refused.append(f"{name}: {path} has {claimed[path]} already")
            continue
        claimed[path] = name
        if tuple(array.shape) != tuple(weights[path].shape):
            shapes.append(f"{name} {_shape_words(arrays[name].shape, array.shape)} for {path} {weights[path].shape}")
        elif reason := _refusal(array):
            refused.append(f"{name}: {reason}")
        else:
            fitting[path] = array
    missing = [path for path in weights if path not in claimed and not (kept and kept.fullmatch(path))]
    if leftover or missing or shapes or refused:
        headline = f"Expected the weights of model {model.name!r}. Received arrays that do not fit:"
        raise MismatchError(headline, leftover, missing, shapes, refused)
    for path, array in fitting.items():
        weights[path].assign(array)
    return tuple(ignored)


def _shape_words(own: tuple[int, ...], permuted: tuple[int, ...]) -> str:
    return f"{own}" if own == permuted else f"{own}, in the model's order {permuted},"


def _positions(paths: Mapping[str, keras.Variable]) -> dict[str, str]:
    """Path of each weight by "<layer>/<position>": trainable weights first, in the order in which Keras saves them."""
    layers: dict[str, list[str]] = {}
    for path in paths:
        layers.setdefault(path.rpartition("/")[0], []).append(path)
    return {f"{layer}/{position}": path for layer, own in layers.items() for position, path in enumerate(own)}


def _refusal(array: np.ndarray) -> str | None:
    if not np.issubdtype(array.dtype, np.floating):
        return f"expected floating-point numbers, received {array.dtype}"
    with np.errstate(over="ignore"):
        finite = np.isfinite(array.astype(np.float32, copy=False))
    if not finite.all():
        return f"{finite.size - int(finite.sum())} of {finite.size} numbers are not finite in float32"
    return None
