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

    def model(self, layer: keras.layers.Layer | None = None) -> keras.Model:
        inputs = keras.Input(self.input_shape[1:], name="inputs", dtype="float32")
        return keras.Model(inputs, (layer or self.make())(inputs))


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
    assert tuple(case.make()(keras.Input(batch_shape=case.input_shape)).shape) == tuple(told)

    free = tuple(None if axis in case.free_axes else length for axis, length in enumerate(case.input_shape))
    symbolic = tuple(case.make()(keras.Input(batch_shape=free)).shape)
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
        assert case.make(dtype=name)(keras.Input(case.input_shape[1:])).dtype == policy.compute_dtype
        # Poolings over three axes are in float32, because TensorFlow has none in float16 on CPU.
        inner = [part for part in layer._flatten_layers() if not isinstance(part, POOLINGS)]
        assert {part.compute_dtype for part in inner} == {policy.compute_dtype}
        if policy.variable_dtype == "float32":
            assert {weight.dtype for weight in layer.weights} <= {"float32"}
        assert {weight.dtype for weight in layer.weights if "moving" in weight.path} <= {"float32"}
        copy_weights(reference, layer)
        error = np.abs(np.asarray(layer(case.inputs())).astype(np.float32) - expected).max()
        assert error <= tolerance * np.abs(expected).max(), name


def check_data_format(case: LayerCase, tmp_path: pathlib.Path) -> None:
    """A layer is of channels last, whatever Keras is set to, and in half precision too."""
    reference = case.make(dtype="mixed_float16")
    expected = np.asarray(reference(case.inputs()))
    before = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_first")
    try:
        layer = case.make(dtype="mixed_float16")
        layer.build(case.input_shape)
        copy_weights(reference, layer)
        np.testing.assert_array_equal(layer(case.inputs()), expected)
    finally:
        keras.config.set_image_data_format(before)


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
    targets = np.random.default_rng(2).standard_normal(model.compute_output_shape(case.input_shape))
    model.fit(case.inputs(), targets, batch_size=case.input_shape[0], verbose=0)
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
