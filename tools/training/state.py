"""The state of a run between two epochs: with it, training goes on as if it had never stopped."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import zipfile

import keras
import numpy as np

from tools.errors import InputError
from tools.files import replacing

_RECORD = "record"


@dataclasses.dataclass
class Record:
    """What a run has done so far.

    Attributes:
        history: one row an epoch: "epoch" (from 1), every logged value, "learning_rate" (of its first step),
            "seconds".
        best: best value of the monitored metric, None before the first epoch.
        best_epoch: epoch of the best value, from 1; 0 before the first epoch.
        best_merit: what epochs are compared by: the monitored value, then the loss, each so that more is better.
        finished: whether the run is over, by its number of epochs or by early stopping.
        stopped_early: whether early stopping ended it.
    """

    history: list[dict[str, float]] = dataclasses.field(default_factory=list)
    best: float | None = None
    best_epoch: int = 0
    best_merit: list[float] | None = None
    finished: bool = False
    stopped_early: bool = False

    @property
    def epochs_done(self) -> int:
        return len(self.history)


def save_state(path: pathlib.Path, model: keras.Model, record: Record) -> None:
    """Writes the record, all variables of the model and of its optimizer; whole or not at all.

    The variables of the model include its weights, the moving statistics and the states of its `SeedGenerator`s
    (dropout), which `keras.callbacks.BackupAndRestore` leaves out.
    """
    arrays = {name: _storable(variable) for name, variable in _variables(model).items()}
    with replacing(path) as partial:
        np.savez(partial, **arrays, **{_RECORD: np.array(json.dumps(dataclasses.asdict(record)))})


def load_state(path: pathlib.Path, model: keras.Model) -> Record:
    """Assigns the variables that `save_state` wrote and returns the record.

    Raises:
        InputError: if the file is no such state, or of another model or optimizer.
    """
    variables = _variables(model)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
            record = Record(**json.loads(str(arrays.pop(_RECORD))))
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise InputError(f"Expected {path} to be the state of a run. Received a file that is not: {error}.") from None
    if set(arrays) != set(variables):
        raise InputError(f"Expected {len(variables)} variables in {path}. Received {len(arrays)}: another model?")
    for name, variable in variables.items():
        if arrays[name].shape != tuple(variable.shape):
            raise InputError(
                f"Expected {variable.path} in {path} to have shape {tuple(variable.shape)}. "
                f"Received {arrays[name].shape}."
            )
    for name, variable in variables.items():
        variable.assign(_restored(arrays[name], variable))
    return record


def _variables(model: keras.Model) -> dict[str, keras.Variable]:
    # A LossScaleOptimizer that is built twice has some of its variables twice.
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    # By position: paths hold counters of the process (seed_generator_7) and need not be the same in the next one.
    owners = {"model": model.variables, "optimizer": model.optimizer.variables}
    return {f"{owner}/{index:05d}": item for owner, items in owners.items() for index, item in enumerate(items)}


def _storable(variable: keras.Variable) -> np.ndarray:
    value = keras.ops.convert_to_numpy(variable)
    # NumPy's file format does not know bfloat16.
    return value.view(np.uint16) if value.dtype.name == "bfloat16" else value


def _restored(value: np.ndarray, variable: keras.Variable) -> np.ndarray:
    return value.view(keras.ops.convert_to_numpy(variable).dtype) if variable.dtype == "bfloat16" else value
