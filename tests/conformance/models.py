"""What every registered model of every application is held to. A test file parametrises over a registry and `CHECKS`:

    @pytest.mark.parametrize("check", CHECKS, ids=name_of)
    @pytest.mark.parametrize("case", CASES, ids=name_of)
    def test_conformance(check, case, tmp_path):
        check(case, tmp_path)

A check more is one function more in `CHECKS`.
"""

import dataclasses
import pathlib
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tools.lite import check, convert
from tools.profile import profile
from tools.registry import ModelInfo, Registry
from tools.saved_model import Signature, publish

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Small inputs by constructor, where (8, 32, 32, 3) is shorter than the network.
SMALL_INPUTS = {"C3D": (16, 32, 32, 3), "DenseNet3D": (32, 32, 32, 3)}
RESTORE = """
import sys
import numpy as np
import keras
import keras_layers
model = keras.saving.load_model(sys.argv[1])
np.save(sys.argv[3], model(np.load(sys.argv[2]), training=False))
assert not [name for name in sys.modules if name.split(".")[0] in ("apps", "tools")]
"""


@dataclasses.dataclass(frozen=True)
class ModelCase:
    """A registered model, and the input at which it is run.

    Attributes:
        registry: of its application.
        name: registered name.
        input_shape: without the batch axis; None for the native one.
        classes: small, to be quick.
        half_precision: dtype policies under which it is run.
    """

    registry: Registry
    name: str
    input_shape: tuple[int, ...] | None = None
    classes: int = 5
    half_precision: tuple[str, ...] = ("mixed_float16", "mixed_bfloat16")

    @property
    def info(self) -> ModelInfo:
        return self.registry.info(self.name)

    def make(self, **overrides: Any) -> keras.Model:
        shape = self.input_shape or self.info.input_shape
        return self.registry.create(self.name, **{"input_shape": shape, "classes": self.classes, **overrides})

    def inputs(self, batch: int = 1) -> np.ndarray:
        return clip_of(self.input_shape or self.info.input_shape, batch)


def small_input(info: ModelInfo) -> tuple[int, ...]:
    """An input shape that is quick and that the network takes."""
    return SMALL_INPUTS.get(info.constructor.__name__, (8, 32, 32, 3))


def name_of(case_or_check: Any) -> str:
    return getattr(case_or_check, "name", None) or case_or_check.__name__.removeprefix("check_")


def clip_of(shape: Sequence[int], batch: int = 1) -> np.ndarray:
    """Standard normal clips, float32 (batch, *shape)."""
    return np.random.default_rng(0).standard_normal((batch, *shape)).astype(np.float32)


def randomise(model: keras.Model) -> None:
    """Moves every weight off its initial value, to where sizes stay near 1 from layer to layer.

    A weight that is 1 or 0 hides what forgets it; a kernel of small numbers, or a scale of 0, what lies before it.
    """
    rng = np.random.default_rng(1)
    for weight in model.weights:
        values = np.asarray(weight) * rng.uniform(0.9, 1.1, weight.shape) + 1e-3
        if weight.name == "kernel":
            # Drawn anew: of an initial kernel that hands its input on, int8 keeps the one large number of each channel.
            values = rng.standard_normal(weight.shape)
            values = (values - values.mean()) / values.std() * np.sqrt(2 / np.prod(weight.shape[:-1]))
        elif weight.path.endswith("_c_normalization/gamma"):
            # The end of a bottleneck, which some networks begin with 0; with 1 all the blocks of a deep one add up.
            values = rng.uniform(0.25, 0.35, weight.shape)
        weight.assign(values)


def check_facts(registry: Registry, name: str) -> None:
    """Parameters and multiply-adds are what the table says, and every layer with weights was counted."""
    info = registry.info(name)
    counted = profile(registry.create(name))
    assert counted.trainable_parameters == info.parameters
    assert counted.multiply_adds == info.multiply_adds
    assert not counted.uncounted


def check_forward(case: ModelCase, tmp_path: pathlib.Path) -> None:
    """Probabilities are float32 and the softmax of the logits, which are finite, and each input's own."""
    model, inputs = case.make(classifier_activation=None), case.inputs(2)
    # To a deep network of random weights, noise is like any other noise once it is pooled.
    inputs[1] += 1.0
    randomise(model)
    logits = model.predict(inputs, verbose=0)
    assert logits.shape == (2, case.classes) == (2, *model.output_shape[1:])
    assert np.isfinite(logits).all()
    largest = np.abs(logits).max()
    np.testing.assert_allclose(model.predict(inputs[1:], verbose=0), logits[1:], atol=1e-4 * largest)
    assert np.abs(logits[0] - logits[1]).max() > 1e-3 * largest

    classifier = case.make()
    classifier.set_weights(model.get_weights())
    probabilities = classifier.predict(inputs, verbose=0)
    assert probabilities.dtype == np.float32
    exponential = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(
        probabilities, exponential / exponential.sum(axis=1, keepdims=True), rtol=1e-3, atol=1e-5
    )


def check_half_precision(case: ModelCase, tmp_path: pathlib.Path) -> None:
    """Under a mixed policy weights and outputs stay float32, and features stay near float32's."""
    model = case.make(include_top=False)
    randomise(model)
    expected = np.asarray(model(case.inputs(), training=False))
    before = keras.config.dtype_policy()
    try:
        for name in case.half_precision:
            keras.config.set_dtype_policy(name)
            half = case.make(include_top=False)
            half.set_weights(model.get_weights())
            outputs = half(case.inputs(), training=False)
            assert outputs.dtype == tf.float32
            assert {weight.dtype for weight in half.weights} == {"float32"}
            convolutions = [layer for layer in half._flatten_layers() if isinstance(layer, keras.layers.Conv3D)]
            assert {layer.compute_dtype for layer in convolutions} == {keras.config.dtype_policy().compute_dtype}
            assert np.abs(np.asarray(outputs) - expected).max() <= 0.1 * np.abs(expected).max()
            assert case.make()(case.inputs()).dtype == tf.float32
    finally:
        keras.config.set_dtype_policy(before)


def check_gradients(case: ModelCase, tmp_path: pathlib.Path) -> None:
    """A gradient reaches every trainable weight, finite and somewhere not zero."""
    model = case.make(classifier_activation=None)
    # Behind a scale that begins with 0 none does until the first step.
    randomise(model)
    with tf.GradientTape() as tape:
        # A weighted sum: the plain sum of what a normalization puts out does not depend on its input.
        logits = model(case.inputs(2), training=True)
        loss = tf.reduce_sum(logits * np.arange(1, 2 * case.classes + 1, dtype=np.float32).reshape(logits.shape))
    gradients = tape.gradient(loss, [weight.value for weight in model.trainable_weights])
    without = [
        weight.path
        for weight, gradient in zip(model.trainable_weights, gradients, strict=True)
        if gradient is None or not np.isfinite(gradient).all() or not np.any(gradient)
    ]
    assert not without


def check_saving(case: ModelCase, tmp_path: pathlib.Path) -> None:
    """Saved to .keras, the model loads in a new process with `import keras_layers` alone and answers the same."""
    model = case.make()
    randomise(model)
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "inputs.npy", case.inputs())
    files = [str(tmp_path / name) for name in ("model.keras", "inputs.npy", "outputs.npy")]
    subprocess.run([sys.executable, "-c", RESTORE, *files], cwd=ROOT, check=True, timeout=300)
    expected = np.asarray(model(case.inputs(), training=False))
    np.testing.assert_allclose(np.load(tmp_path / "outputs.npy"), expected, rtol=1e-5, atol=1e-6)


def check_publishing(case: ModelCase, tmp_path: pathlib.Path) -> None:
    """The gate of published models, another process without this project, gets the same answers."""
    model = case.make()
    randomise(model)
    (tensor,) = model.inputs
    signature = Signature(
        lambda **inputs: {"probabilities": model(inputs[tensor.name], training=False)},
        {tensor.name: tf.TensorSpec(tensor.shape, tensor.dtype)},
        {tensor.name: case.inputs()},
    )
    published = publish(model, {"serving_default": signature}, base=tmp_path, name="model")
    assert (published.path / "saved_model.pb").is_file()


def check_edge(case: ModelCase, tmp_path: pathlib.Path) -> None:
    """Converted without 3-D operations the model runs on LiteRT: equal in float32, integer throughout in int8."""
    model, inputs = case.make(classifier_activation=None), case.inputs(4)
    randomise(model)
    limits = {"float32": 1e-5, "int8": 0.1}
    for precision, limit in limits.items():
        path = tmp_path / f"{precision}.tflite"
        report = convert(model, path, precision=precision, representative=inputs, seconds=0.1)
        operators = check(path, precision).operators
        assert not [name for name in operators if name.startswith("Flex") or "3D" in name]
        assert all(agreement["relative_rms"] < limit for agreement in report["agreement"].values())


CHECKS = (check_forward, check_half_precision, check_gradients, check_saving, check_publishing, check_edge)
