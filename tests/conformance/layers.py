"""What every layer of the suite is held to. A test file parametrises over its cases and `CHECKS`:

    @pytest.mark.parametrize("check", CHECKS, ids=name_of)
    @pytest.mark.parametrize("case", CASES, ids=name_of)
    def test_conformance(check, case, tmp_path):
        check(case, tmp_path)

A check more is one function more in `CHECKS`.
"""

import dataclasses
import inspect
import json
import pathlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

# Arguments of every Keras layer, which the cases need not name.
COMMON = {"self", "kwargs", "name", "dtype", "trainable"}
HALF_PRECISION_TOLERANCE = {"mixed_float16": 2e-2, "mixed_bfloat16": 1.5e-1, "bfloat16": 2e-1}


@dataclasses.dataclass(frozen=True)
class LayerCase:
    """One configured layer.

    Attributes:
        name: of the case, in test ids.
        layer: class of the layer.
        arguments: keyword arguments. With `complete`, every argument of the class, each off its default.
        input_shape: with a batch axis.
        free_axes: axes that may be None in a symbolic input.
        complete: whether `arguments` must be complete; one case of each layer is.
    """

    name: str
    layer: type
    arguments: dict[str, Any]
    input_shape: tuple[int, ...]
    free_axes: tuple[int, ...] = (0,)
    complete: bool = False

    def make(self, **overrides: Any) -> keras.layers.Layer:
        return self.layer(**{**self.arguments, "name": "layer_under_test", **overrides})

    def inputs(self) -> np.ndarray:
        return np.random.default_rng(0).standard_normal(self.input_shape).astype(np.float32)

    def free_shape(self) -> tuple[int | None, ...]:
        """The input shape with None for every free axis."""
        return _freed(self.input_shape, self.free_axes)

    def symbols(self, shape: tuple[int | None, ...]) -> Any:
        """A symbolic input of this shape."""
        return keras.Input(batch_shape=shape, name="inputs", dtype="float32")

    def model(self, layer: keras.layers.Layer | None = None) -> keras.Model:
        inputs = self.symbols(_freed(self.input_shape, (0,)))
        return keras.Model(inputs, (layer or self.make())(inputs))


@dataclasses.dataclass(frozen=True)
class SeveralInputsCase(LayerCase):
    """A layer that takes a list of inputs.

    Attributes:
        input_shape: of each input, with its first axis.
        free_axes: of each input.
        values: makes the arrays; their types are those of the inputs.
    """

    input_shape: tuple[tuple[int, ...], ...]
    free_axes: tuple[tuple[int, ...], ...] = ()
    values: Callable[[], list[np.ndarray]] = list

    def inputs(self) -> list[np.ndarray]:
        return self.values()

    def free_shape(self) -> list[tuple[int | None, ...]]:
        return [_freed(shape, axes) for shape, axes in zip(self.input_shape, self.free_axes, strict=True)]

    def symbols(self, shape: list[tuple[int | None, ...]]) -> list[Any]:
        return [
            keras.Input(batch_shape=one, name=f"input_{number}", dtype=str(array.dtype))
            for number, (one, array) in enumerate(zip(shape, self.values(), strict=True))
        ]

    def model(self, layer: keras.layers.Layer | None = None) -> keras.Model:
        inputs = self.symbols(self.free_shape())
        return keras.Model(inputs, (layer or self.make())(inputs))


def _freed(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int | None, ...]:
    return tuple(None if axis in axes else length for axis, length in enumerate(shape))


def name_of(case_or_check: Any) -> str:
    return getattr(case_or_check, "name", None) or case_or_check.__name__.removeprefix("check_")


def copy_weights(source: keras.layers.Layer, target: keras.layers.Layer) -> None:
    target.set_weights(source.get_weights())


def randomise(layer: keras.layers.Layer) -> None:
    """Moves every weight off its initial value: a weight that is 1 or 0 hides what forgets it."""
    rng = np.random.default_rng(1)
    layer.set_weights([weight + 0.1 * rng.random(weight.shape) for weight in layer.get_weights()])


def check_config(case: LayerCase, tmp_path: pathlib.Path) -> None:
    """The configuration holds every argument, survives JSON, and makes a layer that computes the same."""
    parameters = {
        name: parameter.default
        for name, parameter in inspect.signature(case.layer.__init__).parameters.items()
        if name not in COMMON
    }
    layer = case.make()
    config = layer.get_config()
    assert parameters.keys() <= config.keys()
    if case.complete:
        assert case.arguments.keys() == parameters.keys()
        assert not [name for name, default in parameters.items() if case.arguments[name] == default]
        # Each value told is the layer's own: with the default instead, the configuration tells something else.
        for name, default in parameters.items():
            if default is not inspect.Parameter.empty:
                assert case.make(**{name: default}).get_config()[name] != config[name], name

    text = json.dumps(keras.saving.serialize_keras_object(layer))
    restored = keras.saving.deserialize_keras_object(json.loads(text))
    assert type(restored) is case.layer
    assert json.dumps(keras.saving.serialize_keras_object(restored)) == text
    inputs = case.inputs()
    layer(inputs), restored(inputs)
    randomise(layer)
    copy_weights(layer, restored)
    np.testing.assert_array_equal(restored(inputs), layer(inputs))


def check_shapes(case: LayerCase, tmp_path: pathlib.Path) -> None:
    """Shapes told without building, symbolically, with free axes, and by computing are one."""
    layer = case.make()
    told = layer.compute_output_shape(case.input_shape)
    assert not layer.built
    assert tuple(layer(case.inputs()).shape) == tuple(told)
    assert tuple(case.make()(case.symbols(case.input_shape)).shape) == tuple(told)

    free = case.free_shape()
    symbolic = tuple(case.make()(case.symbols(free)).shape)
    assert symbolic == tuple(case.make().compute_output_shape(free))
    assert all(length in (None, known) for length, known in zip(symbolic, told, strict=True))
    free_layer = case.make()
    free_layer.build(free)
    assert tuple(free_layer(case.inputs()).shape) == tuple(told)


def check_precision(case: LayerCase, tmp_path: pathlib.Path) -> None:
    """Every dtype policy reaches every sublayer, statistics stay float32, and results stay near float32's."""
    reference = case.make(dtype="float32")
    expected = np.asarray(reference(case.inputs()))
    for name, tolerance in HALF_PRECISION_TOLERANCE.items():
        layer = case.make(dtype=name)
        outputs = layer(case.inputs())
        policy = keras.dtype_policies.get(name)
        assert keras.backend.standardize_dtype(outputs.dtype) == policy.compute_dtype
        assert case.make(dtype=name)(case.symbols(case.free_shape())).dtype == policy.compute_dtype
        assert {inner.compute_dtype for inner in layer._flatten_layers()} == {policy.compute_dtype}
        if policy.variable_dtype == "float32":
            assert {weight.dtype for weight in layer.weights if keras.backend.is_float_dtype(weight.dtype)} <= {
                "float32"
            }
        assert {weight.dtype for weight in layer.weights if "moving" in weight.path} <= {"float32"}
        copy_weights(reference, layer)
        error = np.abs(np.asarray(layer(case.inputs())).astype(np.float32) - expected).max()
        assert error <= tolerance * np.abs(expected).max(), name


def check_saving(case: LayerCase, tmp_path: pathlib.Path) -> None:
    """A model with the layer saves to .keras and answers the same when loaded."""
    model = case.model()
    randomise(model)
    model.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(restored(case.inputs()), model(case.inputs()))


def check_training(case: LayerCase, tmp_path: pathlib.Path) -> None:
    """One step of `fit` moves every trainable weight, by a finite amount."""
    model = case.model()
    before = [weight.numpy().copy() for weight in model.trainable_weights]
    model.compile(optimizer=keras.optimizers.SGD(0.1), loss="mse")
    targets = np.random.default_rng(2).standard_normal(model(case.inputs()).shape)
    # As one batch of a dataset: of arrays Keras would ask that all inputs be equally long.
    inputs = case.inputs()
    batch = (tuple(inputs) if isinstance(inputs, list) else inputs, targets)
    model.fit(tf.data.Dataset.from_tensors(batch), shuffle=False, verbose=0)
    for weight, old in zip(model.trainable_weights, before, strict=True):
        assert np.isfinite(weight.numpy()).all(), weight.path
        assert np.any(weight.numpy() != old), weight.path


def check_freezing(case: LayerCase, tmp_path: pathlib.Path) -> None:
    """A frozen layer, and all it is made of, is frozen after it was saved and loaded too."""
    model = case.model()
    model.get_layer("layer_under_test").trainable = False
    model.save(tmp_path / "frozen.keras")
    layer = keras.saving.load_model(tmp_path / "frozen.keras").get_layer("layer_under_test")
    assert not layer.trainable_variables
    assert not [part.name for part in layer._flatten_layers() if part.trainable]


def check_export(case: LayerCase, tmp_path: pathlib.Path) -> None:
    """A SavedModel with the layer answers as Keras does."""
    model = case.model()
    randomise(model)
    model.export(tmp_path / "export", format="tf_saved_model", verbose=False)
    # The loaded object owns the variables: it must outlive the call.
    loaded = tf.saved_model.load(tmp_path / "export")
    np.testing.assert_allclose(loaded.serve(case.inputs()), model(case.inputs()), rtol=1e-5, atol=1e-5)


CHECKS = (check_config, check_shapes, check_precision, check_saving, check_training, check_freezing, check_export)
