"""Data types: what stays in float32 whatever the dtype policy of a layer."""

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
