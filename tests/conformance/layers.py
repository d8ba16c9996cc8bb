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
from collections.abc import Callable, Collection
from typing import Any

import keras
import numpy as np
import tensorflow as tf

# Arguments of every Keras layer, which the cases need not name.
COMMON = {"self", "kwargs", "name", "dtype", "trainable"}
POOLINGS = (keras.layers.MaxPooling3D, keras.layers.AveragePooling3D)
HALF_PRECISION_TOLERANCE = {"mixed_float16": 2e-2, "mixed_bfloat16": 1.5e-1, "bfloat16": 2e-1}


@dataclasses.dataclass(frozen=True)
class LayerCase:
    """One configured layer.

    Attributes:
        name: of the case, in test ids.
        layer: class of the layer.
        arguments: keyword arguments. With `complete`, every argument of the class, each off its default.
        input_shape: with a batch axis; or a list of shapes, one for each of several inputs.
        free_axes: axes that may be None in a symbolic input.
        conditions: shapes of further tensors that the call takes, by keyword.
        complete: whether `arguments` must be complete; one case of each layer is.
    """

    name: str
    layer: type
    arguments: dict[str, Any]
    input_shape: tuple[int, ...] | list[tuple[int, ...]]
    free_axes: tuple[int, ...] = (0,)
    complete: bool = False
    conditions: dict[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)

    def make(self, **overrides: Any) -> keras.layers.Layer:
        return self.layer(**{**self.arguments, "name": "layer_under_test", **overrides})

    def shapes(self) -> list[Any]:
        """The shape of the input, or of the inputs, and those of the conditions."""
        return [self.input_shape, *self.conditions.values()]

    def free_shapes(self) -> list[Any]:
        """`shapes` with None for every free axis."""

        def freed(shape: tuple[int, ...]) -> tuple[int | None, ...]:
            # The last axis, the channels, never is: that of a condition may be one that is free in the input.
            return _freed(shape, set(self.free_axes) - {len(shape) - 1})

        return [_of_shapes(entry, freed) for entry in self.shapes()]

    def symbols(self, shapes: list[Any]) -> list[Any]:
        """Symbolic inputs and conditions of these shapes."""
        return [_of_shapes(entry, lambda shape: keras.Input(batch_shape=shape, dtype="float32")) for entry in shapes]

    def inputs(self) -> Any:
        rng = np.random.default_rng(0)
        return _of_shapes(self.input_shape, lambda shape: rng.standard_normal(shape).astype(np.float32))

    def call(self, layer: keras.layers.Layer, tensors: list[Any] | None = None) -> list[Any]:
        """The outputs of the layer, in a list, for the input, or inputs, and the conditions in `tensors`."""
        if tensors is None:
            conditions = np.random.default_rng(3).standard_normal
            tensors = [self.inputs(), *(conditions(shape) for shape in self.conditions.values())]
        return _in_list(layer(tensors[0], **dict(zip(self.conditions, tensors[1:], strict=True))))

    def model(self, layer: keras.layers.Layer | None = None) -> keras.Model:
        free_batch = [_of_shapes(entry, lambda shape: _freed(shape, {0})) for entry in self.shapes()]
        return self._model(layer, self.symbols(free_batch))

    def _model(self, layer: keras.layers.Layer | None, tensors: list[Any]) -> keras.Model:
        inputs = [tensor for entry in tensors for tensor in _in_list(entry)]
        return keras.Model(_alone(inputs), _alone(self.call(layer or self.make(), tensors)))

    def model_inputs(self) -> Any:
        """What `model` takes: inputs and conditions in one list, or the one input."""
        rng = np.random.default_rng(4)
        shapes = [shape for entry in self.shapes() for shape in _in_list(entry)]
        return _alone([rng.standard_normal(shape).astype(np.float32) for shape in shapes])


@dataclasses.dataclass(frozen=True)
class SeveralInputsCase(LayerCase):
    """A layer that takes a list of inputs with free axes and types of their own.

    Attributes:
        input_shape: of each input, with its first axis.
        free_axes: of each input.
        values: makes the arrays; their types are those of the inputs.
    """

    input_shape: tuple[tuple[int, ...], ...]
    free_axes: tuple[tuple[int, ...], ...] = ()
    values: Callable[[], list[np.ndarray]] = list

    def shapes(self) -> list[Any]:
        return [list(self.input_shape)]

    def free_shapes(self) -> list[Any]:
        return [[_freed(shape, axes) for shape, axes in zip(self.input_shape, self.free_axes, strict=True)]]

    def symbols(self, shapes: list[Any]) -> list[Any]:
        pairs = zip(shapes[0], self.values(), strict=True)
        return [[keras.Input(batch_shape=shape, dtype=str(array.dtype)) for shape, array in pairs]]

    def inputs(self) -> list[np.ndarray]:
        return self.values()

    def model(self, layer: keras.layers.Layer | None = None) -> keras.Model:
        return self._model(layer, self.symbols(self.free_shapes()))

    def model_inputs(self) -> list[np.ndarray]:
        return self.values()


def _freed(shape: tuple[int, ...], axes: Collection[int]) -> tuple[int | None, ...]:
    return tuple(None if axis in axes else length for axis, length in enumerate(shape))


def _in_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _alone(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 else values


def _of_shapes(shapes: Any, make: Callable[[tuple[int, ...]], Any]) -> Any:
    return [make(shape) for shape in shapes] if isinstance(shapes, list) else make(shapes)


def _flat(outputs: Any) -> np.ndarray:
    """The numbers of all outputs in a row, in float32."""
    return np.concatenate([np.asarray(output).astype(np.float32).ravel() for output in _in_list(outputs)])


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
    case.call(layer), case.call(restored)
    randomise(layer)
    copy_weights(layer, restored)
    np.testing.assert_array_equal(_flat(case.call(restored)), _flat(case.call(layer)))


def check_shapes(case: LayerCase, tmp_path: pathlib.Path) -> None:
    """Shapes told without building, symbolically, with free axes, and by computing are one."""
    layer = case.make()
    told = _in_list(layer.compute_output_shape(*case.shapes()))
    assert not layer.built
    assert _shapes(case.call(layer)) == _shapes(told)
    assert _shapes(case.call(case.make(), case.symbols(case.shapes()))) == _shapes(told)

    free = case.free_shapes()
    symbolic = _shapes(case.call(case.make(), case.symbols(free)))
    assert symbolic == _shapes(_in_list(case.make().compute_output_shape(*free)))
    for found, right in zip(symbolic, _shapes(told), strict=True):
        assert all(length in (None, known) for length, known in zip(found, right, strict=True))
    free_layer = case.make()
    free_layer.build(*free)
    assert _shapes(case.call(free_layer)) == _shapes(told)


def _shapes(outputs: list[Any]) -> list[tuple[int | None, ...]]:
    return [tuple(getattr(output, "shape", output)) for output in outputs]


def check_precision(case: LayerCase, tmp_path: pathlib.Path) -> None:
    """Every dtype policy reaches every sublayer, statistics stay float32, and results stay near float32's."""
    reference = case.make(dtype="float32")
    expected = _flat(case.call(reference))
    for name, tolerance in HALF_PRECISION_TOLERANCE.items():
        layer = case.make(dtype=name)
        outputs = case.call(layer)
        policy = keras.dtype_policies.get(name)
        symbolic = case.model(case.make(dtype=name)).outputs
        assert {keras.backend.standardize_dtype(output.dtype) for output in outputs + symbolic} == {
            policy.compute_dtype
        }
        # Poolings over three axes are in float32, because TensorFlow has none in float16 on CPU.
        inner = [part for part in layer._flatten_layers() if not isinstance(part, POOLINGS)]
        assert {part.compute_dtype for part in inner} == {policy.compute_dtype}
        if policy.variable_dtype == "float32":
            assert {weight.dtype for weight in layer.weights if keras.backend.is_float_dtype(weight.dtype)} <= {
                "float32"
            }
        assert {weight.dtype for weight in layer.weights if "moving" in weight.path} <= {"float32"}
        copy_weights(reference, layer)
        error = np.abs(_flat(case.call(layer)) - expected).max()
        assert error <= tolerance * np.abs(expected).max(), name


def check_data_format(case: LayerCase, tmp_path: pathlib.Path) -> None:
    """A layer is of channels last, whatever Keras is set to, and in half precision too."""
    reference = case.make(dtype="mixed_float16")
    expected = _flat(case.call(reference))
    before = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_first")
    try:
        layer = case.make(dtype="mixed_float16")
        layer.build(*case.shapes())
        copy_weights(reference, layer)
        np.testing.assert_array_equal(_flat(case.call(layer)), expected)
    finally:
        keras.config.set_image_data_format(before)


def check_saving(case: LayerCase, tmp_path: pathlib.Path) -> None:
    """A model with the layer saves to .keras and answers the same when loaded."""
    model = case.model()
    randomise(model)
    model.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras")
    inputs = case.model_inputs()
    np.testing.assert_array_equal(_flat(restored(inputs)), _flat(model(inputs)))


def check_training(case: LayerCase, tmp_path: pathlib.Path) -> None:
    """One step of `fit` moves every trainable weight, by a finite amount."""
    model = case.model()
    before = [weight.numpy().copy() for weight in model.trainable_weights]
    model.compile(optimizer=keras.optimizers.SGD(0.1), loss="mse")
    inputs, rng = case.model_inputs(), np.random.default_rng(2)
    targets = [rng.standard_normal(output.shape) for output in _in_list(model(inputs))]
    # As one batch of a dataset: of arrays Keras would ask that all inputs be equally long.
    batch = tuple(tuple(part) if isinstance(part, list) else part for part in (inputs, _alone(targets)))
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
    inputs = case.model_inputs()
    np.testing.assert_allclose(_flat(loaded.serve(inputs)), _flat(model(inputs)), rtol=1e-5, atol=1e-5)


CHECKS = (
    check_config,
    check_shapes,
    check_precision,
    check_data_format,
    check_saving,
    check_training,
    check_freezing,
    check_export,
)
