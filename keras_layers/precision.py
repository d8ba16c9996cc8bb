"""Data types: what is float32 whatever the dtype policy of a layer."""

from __future__ import annotations

import keras


def float32_variables(policy: keras.dtype_policies.DTypePolicy) -> keras.dtype_policies.DTypePolicy:
    """The policy for sublayers that keep statistics: computes as `policy` does, with variables in float32.

    A running mean in half precision stops moving once the update is smaller than its last digit; so "float16" and
    "bfloat16" become "mixed_float16" and "mixed_bfloat16". Every other policy is returned as it is.
    """
    if policy.name in ("float16", "bfloat16"):
        return keras.dtype_policies.DTypePolicy(f"mixed_{policy.name}")
    return policy


def pooling_policy(policy: keras.dtype_policies.DTypePolicy) -> keras.dtype_policies.DTypePolicy:
    """The policy for sublayers that pool over three axes: `policy`, but "float32" where it computes in float16.

    TensorFlow has no such pooling in float16 on CPU. The largest of some numbers is the same in float32.
    """
    return keras.dtype_policies.DTypePolicy("float32") if policy.compute_dtype == "float16" else policy
