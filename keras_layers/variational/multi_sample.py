"""The bound of several samples on a log-likelihood, and its gradient for discrete latents."""

from __future__ import annotations

import math
from typing import Any

from keras import ops


def importance_bound(log_weights: Any) -> Any:
    """`log (1/S sum_s w_s)`, a lower bound of log p(x) in expectation, the tighter the more samples.

    Args:
        log_weights: `log p(x | z_s) + log p(z_s) - log q(z_s | x)` of samples z_s of q, (batch, samples), in nats.

    Returns:
        (batch,), in nats. With one sample the evidence lower bound of it.

    Example:
        >>> weights = ops.convert_to_tensor([[1.0, 3.0]])
        >>> round(float(importance_bound(ops.log(weights))[0]), 4)
        0.6931

    Reference:
        Burda et al., "Importance Weighted Autoencoders" (2015), equation 8.
    """
    return ops.logsumexp(log_weights, axis=1) - math.log(log_weights.shape[1])


def vimco_loss(log_weights: Any, log_q: Any) -> Any:
    """The negative bound of several samples, whose gradient is VIMCO's.

    The value is `-L`, `L = log (1/S sum_s w_s)`. The gradient of L is estimated by

        sum_s (L - L_-s) grad log q(z_s | x) + grad L at fixed z

    where L_-s has the geometric mean of the other weights in place of w_s: what sample s is worth is compared with what
    the others are, so that no baseline need be learned.

    Args:
        log_weights: `log p(x | z_s) + log p(z_s) - log q(z_s | x)`, (batch, samples), at least 2 samples.
        log_q: `log q(z_s | x)` of the same samples, (batch, samples), with a gradient to the encoder.

    Returns:
        (batch,), in nats.

    Raises:
        ValueError: for fewer than 2 samples, or a number of them that is not known.

    Example:
        >>> log_weights = ops.log(ops.convert_to_tensor([[1.0, 3.0]]))
        >>> round(float(vimco_loss(log_weights, log_weights)[0]), 4)
        -0.6931

    Reference:
        Mnih and Rezende, "Variational Inference for Monte Carlo Objectives" (2016), equations 5 to 8.
    """
    samples = log_weights.shape[1]
    if tuple(log_q.shape)[1:] != (samples,):
        raise ValueError(
            f"Expected `log_q` of the shape of `log_weights`, {tuple(log_weights.shape)}. "
            f"Received {tuple(log_q.shape)}."
        )
    if samples is None or samples < 2:
        raise ValueError(
            f"Expected `log_weights` of shape (batch, samples) with 2 samples or more. Received {samples}."
        )
    bound = importance_bound(log_weights)
    # Row s: all weights, but that of sample s replaced.
    own = ops.eye(samples, dtype="bool")[None]
    others = ops.sum(ops.where(own, 0.0, log_weights[:, None]), axis=2, keepdims=True) / (samples - 1)
    replaced = ops.where(own, others, log_weights[:, None])
    without = ops.logsumexp(replaced, axis=2) - math.log(samples)
    worth = ops.stop_gradient(bound[:, None] - without)
    score = ops.sum(worth * log_q, axis=1)
    return -(bound + score - ops.stop_gradient(score))
