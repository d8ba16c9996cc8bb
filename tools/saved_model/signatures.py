"""What a published model answers: signatures with named inputs and outputs, guarded so that bad input is refused."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from tools.errors import InputError

if TYPE_CHECKING:
    import tensorflow as tf

# What REST and gRPC clients of TensorFlow Serving can send (half precision and double are left out on purpose: REST
# cannot carry the first, and the second only hides that the model computes in float32).
INPUT_TYPES = ("float32", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool", "string")
OUTPUT_TYPES = ("float32", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "string")
HALF_TYPES = ("float16", "bfloat16")
# The calls of TensorFlow Serving: the inputs and outputs that each takes. Predict takes all.
METHODS = ("predict", "classify", "regress")

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclasses.dataclass(frozen=True)
class Signature:
    """One thing a published model can be asked.

    Attributes:
        function: called with one tensor a keyword, named as in `inputs`; returns a dictionary of named tensors, each
            with the batch axis first. Half-precision outputs are cast to float32.
        inputs: name to `tf.TensorSpec`; the first axis is the batch and must be None.
        example: name to array of one or more valid inputs (batch axis first). The gate runs them one and two at a
            time, and the first is the warm-up request.
        expected: called with a dictionary of arrays; returns the right outputs by a way of its own, with which the gate
            compares. Default None: `function`, run eagerly by Keras.
        method: call of TensorFlow Serving that the signature is for: "predict" (default); "classify", with the one
            input "inputs" (serialised tf.Example) and outputs "classes" (string) and "scores" (float32), each (batch,
            classes); "regress", with the input "inputs" and the output "outputs", float32 (batch,) or (batch, 1).
    """

    function: Callable[..., dict[str, Any]]
    inputs: dict[str, tf.TensorSpec]
    example: dict[str, np.ndarray]
    expected: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]] | None = None
    method: str = "predict"

    def batch(self, size: int) -> dict[str, np.ndarray]:
        """`size` examples; they are repeated where there are fewer."""
        return {name: np.take(value, np.arange(size) % len(value), axis=0) for name, value in self.example.items()}

    def answer(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The right outputs for `inputs`, computed outside the SavedModel, in float32 or integers."""
        if self.expected is not None:
            outputs = {name: np.asarray(value) for name, value in self.expected(inputs).items()}
            return {name: x.astype(np.float32) if x.dtype.name in HALF_TYPES else x for name, x in outputs.items()}
        import tensorflow as tf

        outputs = self.function(**{name: tf.constant(value) for name, value in inputs.items()})
        return {name: _plain_output(tf.convert_to_tensor(value)).numpy() for name, value in outputs.items()}


def check_signature(name: str, signature: Signature) -> None:
    """Refuses what TensorFlow Serving could not serve, or what has no valid example.

    Raises:
        InputError: naming the signature and the input.
    """
    if not _NAME.fullmatch(name):
        raise InputError(f"Expected a signature name of letters, digits and _. Received {name!r}.")
    if not signature.inputs:
        raise InputError(f"Signature {name!r}: Expected at least one input. Received none.")
    if set(signature.inputs) != set(signature.example):
        raise InputError(
            f"Signature {name!r}: Expected an example of the inputs {sorted(signature.inputs)}. "
            f"Received one of {sorted(signature.example)}."
        )
    if signature.method not in METHODS:
        raise InputError(
            f"Signature {name!r}: Expected method to be one of {', '.join(METHODS)}. Received {signature.method!r}."
        )
    if signature.method != "predict" and {key: spec.dtype.name for key, spec in signature.inputs.items()} != {
        "inputs": "string"
    }:
        raise InputError(f"Signature {name!r}: Expected the one input 'inputs', string, for {signature.method}.")
    for key, spec in signature.inputs.items():
        _check_input(f"Signature {name!r}, input {key!r}", key, spec, signature.example[key])
    sizes = {len(value) for value in signature.example.values()}
    if len(sizes) != 1:
        raise InputError(f"Signature {name!r}: Expected examples of one batch size. Received {sorted(sizes)}.")


def _check_input(where: str, key: str, spec: tf.TensorSpec, example: np.ndarray) -> None:
    if not _NAME.fullmatch(key):
        raise InputError(f"{where}: Expected a name of letters, digits and _. Received {key!r}.")
    if spec.dtype.name not in INPUT_TYPES:
        raise InputError(f"{where}: Expected a dtype of {', '.join(INPUT_TYPES)}. Received {spec.dtype.name}.")
    if spec.shape.rank is None or spec.shape.rank < 1 or spec.shape[0] is not None:
        raise InputError(f"{where}: Expected a shape whose first axis, the batch, is None. Received {spec.shape}.")
    kind = np.asarray(example).dtype
    right = kind.kind in "SUO" if spec.dtype.name == "string" else kind == spec.dtype.as_numpy_dtype
    if not right or not spec.shape.is_compatible_with(np.shape(example)) or len(example) == 0:
        raise InputError(
            f"{where}: Expected an example of shape {spec.shape} and dtype {spec.dtype.name} with at least one row. "
            f"Received shape {np.shape(example)} and dtype {kind}."
        )


def serving_function(signature: Signature) -> tf.types.experimental.GenericFunction:
    """`signature.function` as a `tf.function` of a dictionary, which refuses bad input before the network sees it.

    Wrong ranks and sizes, empty batches, inputs of differing batch sizes, not-a-number and infinite values end as
    INVALID_ARGUMENT; TensorFlow Serving checks none of them itself, and a kernel that meets them may abort or answer
    with garbage.
    """
    import tensorflow as tf

    specs = {name: tf.TensorSpec(spec.shape, spec.dtype, name=name) for name, spec in sorted(signature.inputs.items())}

    def serve(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        checked = {name: tf.ensure_shape(inputs[name], spec.shape) for name, spec in specs.items()}
        sizes = [tf.shape(value)[0] for value in checked.values()]
        sound = [tf.debugging.assert_positive(sizes[0], "Expected a batch of at least one")]
        sound += [tf.debugging.assert_equal(size, sizes[0], "Expected inputs of one batch size") for size in sizes[1:]]
        with tf.control_dependencies(sound):
            checked = {name: _finite(name, value) for name, value in checked.items()}
        outputs = signature.function(**checked)
        return {name: _plain_output(tf.convert_to_tensor(value)) for name, value in outputs.items()}

    return tf.function(serve, input_signature=[specs], autograph=False)


def _finite(name: str, value: tf.Tensor) -> tf.Tensor:
    import tensorflow as tf

    if not value.dtype.is_floating:
        return tf.identity(value)
    return tf.debugging.check_numerics(value, f"Expected finite values in {name!r}.")


def _plain_output(value: tf.Tensor) -> tf.Tensor:
    import tensorflow as tf

    return tf.cast(value, tf.float32) if value.dtype.name in HALF_TYPES else value


def check_outputs(name: str, outputs: Any, method: str = "predict") -> None:
    """Refuses outputs that TensorFlow Serving could not return for each row of a batch.

    Args:
        name: signature.
        outputs: the structured outputs of the traced function: tensors (symbolic) by name.
        method: of the signature.

    Raises:
        InputError: naming the signature and the output.
    """
    if not isinstance(outputs, dict) or not outputs:
        raise InputError(f"Signature {name!r}: Expected a dictionary of named outputs. Received {type(outputs)}.")
    for key, value in outputs.items():
        where = f"Signature {name!r}, output {key!r}"
        if not isinstance(key, str) or not _NAME.fullmatch(key):
            raise InputError(f"{where}: Expected a name of letters, digits and _. Received {key!r}.")
        if value.dtype.name not in OUTPUT_TYPES:
            raise InputError(f"{where}: Expected float32, integers or string. Received {value.dtype.name}.")
        if value.shape.rank is not None and (value.shape.rank < 1 or value.shape[0] is not None):
            raise InputError(f"{where}: Expected the batch as first axis, free. Received shape {value.shape}.")
    found = {(key, value.dtype.name, value.shape.rank) for key, value in outputs.items()}
    if method == "classify" and not found <= {("classes", "string", 2), ("scores", "float32", 2)}:
        raise InputError(
            f"Signature {name!r}: Expected classes, string, and scores, float32 (batch, n). Received {found}."
        )
    if method == "regress" and found not in ({("outputs", "float32", 1)}, {("outputs", "float32", 2)}):
        raise InputError(f"Signature {name!r}: Expected outputs, float32 (batch,) or (batch, 1). Received {found}.")
