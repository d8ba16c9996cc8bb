"""A registry of model constructors with the facts that are stated, and tested, about each model."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tools.errors import InputError

if TYPE_CHECKING:
    import keras


@dataclasses.dataclass(frozen=True)
class ModelInfo:
    """What is stated about a registered model; tests check the counted figures against the built model.

    Attributes:
        name: registered name.
        constructor: the public constructor function.
        arguments: keyword arguments that make this variant of the constructor.
        input_shape: native input shape without the batch axis.
        classes: number of classes to which `parameters` refers.
        parameters: trainable parameters.
        multiply_adds: multiply-adds of one forward pass of one input of the native shape.
        preprocessing: name of the preprocessing preset its weights expect.
        source: paper, and the implementation it equals.
        accuracy: published accuracy with its source, or "" where none is known for sure.
        frame_rate: frames per second of the clips its weights expect; None for every frame of a file, and where the
            input is no clip.
    """

    name: str
    constructor: Callable[..., keras.Model]
    arguments: dict[str, Any]
    input_shape: tuple[int, ...]
    classes: int
    parameters: int
    multiply_adds: int
    preprocessing: str
    source: str
    accuracy: str = ""
    frame_rate: float | None = None


class Registry:
    """Models of one application by name."""

    def __init__(self, application: str):
        self.application = application
        self._models: dict[str, ModelInfo] = {}

    def add(self, info: ModelInfo) -> None:
        """Adds a model; a name is given once."""
        if info.name in self._models:
            raise ValueError(f"Expected a new model name. Received {info.name!r}, which is registered already.")
        self._models[info.name] = info

    def names(self) -> list[str]:
        """Registered names, in order of registration."""
        return list(self._models)

    def info(self, name: str) -> ModelInfo:
        """The facts about a model.

        Raises:
            InputError: if no such model is registered.
        """
        if name not in self._models:
            raise InputError(f"Expected the model name to be one of {', '.join(self._models)}. Received {name!r}.")
        return self._models[name]

    def create(self, name: str, /, **overrides: Any) -> keras.Model:
        """Builds a model; `overrides` replace arguments of its constructor.

        Raises:
            InputError: if no such model is registered, or the constructor has no such argument.
        """
        info = self.info(name)
        arguments = {"name": name, "input_shape": info.input_shape, "classes": info.classes, **info.arguments}
        try:
            return info.constructor(**{**arguments, **overrides})
        except TypeError as error:
            if "unexpected keyword argument" not in str(error):
                raise
            known = inspect.signature(info.constructor).parameters
            wrong = sorted(set(overrides) - set(known))
            received = ", ".join(wrong) if wrong else str(error)
            raise InputError(f"Expected arguments of {name!r}: {', '.join(known)}. Received {received}.") from error
