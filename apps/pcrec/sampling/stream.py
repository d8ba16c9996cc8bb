"""Views as streams for training and for embedding, made by several workers while the network works."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import threadpoolctl

from apps.pcrec.sampling.views import ViewSampler
from tools.errors import InputError

_PARTS = {"positions": tf.float32, "degrees": tf.int32, "seeds": tf.float32, "edges": tf.int32, "graphs": tf.int32}


def one_thread() -> contextlib.AbstractContextManager[Any]:
    """A context in which NumPy's linear algebra uses one thread; to be entered where views are made.

    The matrices of a view are too small to be shared: threads that wait for each other take several times the processor
    time, and on a busy machine twenty times. Of workers that make views at once each has a thread anyway.
    """
    return threadpoolctl.threadpool_limits(limits=1, user_api="blas")


def pair_dataset(
    sampler: ViewSampler, *, batch_size: int, steps: int, seed: int, first_step: int = 0, workers: int = 2
) -> tf.data.Dataset:
    """Two views of random start nodes: the batches of a contrastive pre-training.

    Args:
        sampler: what makes the views.
        batch_size: pairs in a batch.
        steps: batches.
        seed: with the number of a step it decides all of it, however many workers there are.
        first_step: number of the first step, for a run that goes on.
        workers: batches that are made at once.

    Returns:
        Dictionaries of the inputs of two views, with "query_" and "key_" before the names of `Views.inputs`, and
        labels of 0: the column of the right key. A batch is `batch_size` subgraphs, whatever their nodes.

    Raises:
        InputError: for a size below 1.
    """
    _check(batch_size=batch_size, steps=steps, workers=workers)

    def make(step: int) -> list[np.ndarray]:
        rng = np.random.default_rng((seed, step))
        return [
            array
            for view in sampler.pair(sampler.start_nodes(batch_size, rng), rng)
            for array in view.inputs().values()
        ]

    names = [f"{side}_{name}" for side in ("query", "key") for name in _PARTS]
    dataset = _dataset(make, names, tf.data.Dataset.range(first_step, first_step + steps), sampler, workers)
    return dataset.map(lambda inputs: (inputs, tf.zeros(batch_size, tf.int32)))


def view_dataset(
    sampler: ViewSampler, nodes: np.ndarray, *, batch_size: int = 256, seed: int = 0, workers: int = 2
) -> tf.data.Dataset:
    """A view of each node, in order: the inputs of a graph encoder.

    Args:
        sampler: what makes the views.
        nodes: int64 (nodes,).
        batch_size: views in a batch; the last may have fewer.
        seed: of the views.
        workers: batches that are made at once.

    Raises:
        InputError: for a size below 1, or a node that is none of the graph.
    """
    _check(batch_size=batch_size, workers=workers)
    nodes = sampler.graph.checked(nodes)

    def make(step: int) -> list[np.ndarray]:
        chosen = nodes[step * batch_size : (step + 1) * batch_size]
        return list(sampler.views(chosen, np.random.default_rng((seed, step))).inputs().values())

    steps = tf.data.Dataset.range(-(-len(nodes) // batch_size))
    return _dataset(make, list(_PARTS), steps, sampler, workers)


def embed(
    encoder: keras.Model,
    sampler: ViewSampler,
    nodes: np.ndarray | None = None,
    *,
    views: int = 2,
    batch_size: int = 256,
    seed: int = 0,
    workers: int = 2,
    progress: Callable[[Any, int, str], Any] | None = None,
) -> np.ndarray:
    """The vector of each node: the mean of what the encoder says of several views, as GCC does with two.

    Args:
        encoder: takes the inputs of `Views.inputs`.
        sampler: what makes the views.
        nodes: int64 (nodes,); None for all of the graph.
        views: of each node.
        batch_size: views in a batch.
        seed: of the views.
        workers: batches that are made at once.
        progress: called with the batches, their number and a label; yields the batches, as `tools.commands.progress`.

    Returns:
        float32 (nodes, channels).

    Raises:
        InputError: for a size below 1, or a node that is none of the graph.
    """
    _check(views=views)
    nodes = np.arange(sampler.graph.nodes) if nodes is None else nodes
    total = None
    predict = tf.function(lambda inputs: encoder(inputs, training=False), reduce_retracing=True)
    for number in range(views):
        # Numbers of views of one seed do not meet those of the next.
        own_seed = int(np.random.SeedSequence((seed, number)).generate_state(1)[0])
        batches = view_dataset(sampler, nodes, batch_size=batch_size, seed=own_seed, workers=workers)
        if progress is not None:
            batches = progress(batches, len(batches), f"view {number + 1} of {views}")
        with one_thread():
            rows = [predict(inputs).numpy() for inputs in batches]
        vectors = np.concatenate(rows) if rows else np.zeros((0, encoder.output_shape[-1]), np.float32)
        total = vectors if total is None else total + vectors
    return total / np.float32(views)


def _dataset(
    make: Callable[[int], list[np.ndarray]],
    names: list[str],
    steps: tf.data.Dataset,
    sampler: ViewSampler,
    workers: int,
) -> tf.data.Dataset:
    parts = [name.split("_")[-1] for name in names]
    shapes = {"positions": (None, sampler.dimensions), "seeds": (None, 1), "edges": (None, 2)}

    def of_step(step: tf.Tensor) -> dict[str, tf.Tensor]:
        arrays = tf.numpy_function(make, [step], [_PARTS[part] for part in parts])
        for array, part in zip(arrays, parts, strict=True):
            array.set_shape(shapes.get(part, (None,)))
        return dict(zip(names, arrays, strict=True))

    return steps.map(of_step, num_parallel_calls=workers, deterministic=True).prefetch(2)


def _check(**sizes: int) -> None:
    for name, value in sizes.items():
        if value < 1:
            raise InputError(f"Expected {name} to be at least 1. Received {value}.")
