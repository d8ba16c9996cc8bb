"""The process of one side: builds one network in one framework, runs it, and prints what `work_in_turn` prints."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np

from tools.bench import work_in_turn

CLASSES = 400
# Of both sides' training step.
LEARNING_RATE, MOMENTUM = 0.01, 0.9


def torch_side(options: argparse.Namespace) -> Callable[[], Callable[[], object]]:
    """The reference network, as a user of its package runs it."""
    import torch

    from apps.action_recognition.reference_benchmark.networks import REFERENCES, builders

    reference = REFERENCES[options.model]
    build = getattr(builders(reference.package), reference.builder)
    torch.set_num_threads(options.threads)

    def prepare() -> Callable[[], object]:
        module = build()
        inputs = reference.inputs(torch.from_numpy(np.ascontiguousarray(np.moveaxis(clips(options), -1, 1))))
        if options.work == "forward":
            module.eval()

            def forward() -> object:
                with torch.inference_mode():
                    return module(inputs())

            return forward
        labels = torch.from_numpy(classes(options))
        optimizer = torch.optim.SGD(module.parameters(), LEARNING_RATE, MOMENTUM)
        module.train()

        def step() -> None:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(module(inputs()).flatten(1), labels).backward()
            optimizer.step()

        return step

    return prepare


def keras_side(options: argparse.Namespace) -> Callable[[], Callable[[], object]]:
    """Our network: a `tf.function` for the forward pass, `train_on_batch` for a training step."""
    import keras
    import tensorflow as tf

    from apps.action_recognition import models

    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(options.threads)

    def prepare() -> Callable[[], object]:
        model, inputs = models.create(options.model, input_shape=tuple(options.shape)), tf.constant(clips(options))
        if options.work == "forward":
            forward = tf.function(lambda batch: model(batch, training=False))
            return lambda: forward(inputs).numpy()
        labels = classes(options)
        model.compile(keras.optimizers.SGD(LEARNING_RATE, MOMENTUM), "sparse_categorical_crossentropy")
        return lambda: model.train_on_batch(inputs, labels)

    return prepare


def lite_side(options: argparse.Namespace) -> Callable[[], Callable[[], object]]:
    """Our network as the LiteRT file that `--file` names."""
    from tools.lite import Runner

    def prepare() -> Callable[[], object]:
        runner, inputs = Runner(options.file, options.threads), {"clip": clips(options)}
        return lambda: runner(inputs)

    return prepare


SIDES = {"torch": torch_side, "keras": keras_side, "lite": lite_side}


def clips(options: argparse.Namespace) -> np.ndarray:
    """Standard normal clips, float32 (batch, frames, height, width, channels)."""
    return np.random.default_rng(0).standard_normal((options.batch, *options.shape), dtype=np.float32)


def classes(options: argparse.Namespace) -> np.ndarray:
    """A class for each clip, int64 (batch,)."""
    return np.random.default_rng(1).integers(0, CLASSES, options.batch)


def main() -> None:
    """Reads the command line that the benchmark writes, and works."""
    parser = argparse.ArgumentParser(prog="python -m apps.action_recognition.reference_benchmark.side")
    parser.add_argument("side", choices=SIDES)
    parser.add_argument("model")
    parser.add_argument("--work", choices=("forward", "train"), required=True)
    parser.add_argument("--shape", type=int, nargs=4, required=True, help="of a clip, channels last")
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--repeats", type=int, required=True)
    parser.add_argument("--file", help="of the side lite")
    options = parser.parse_args()
    work_in_turn(SIDES[options.side](options), options.repeats)


if __name__ == "__main__":
    main()
