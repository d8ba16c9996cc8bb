"""The quantiser beside Sonnet's and vector-quantize-pytorch's in one run, each in a process of its own.

Forward: the quantised vectors of standard normal ones, at inference. Train: quantise in training, the layer's loss and
the mean square of its outputs, the gradient to the inputs, and the step of the code book. Memory is what a process took
beyond its libraries, the inputs among it.

Needs the extra `[bench]`.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from tools.bench import work_in_turn
from tools.commands import print_result, progress, run_command, table
from tools.errors import InputError

CODES, DIMENSION, DECAY, COMMITMENT = 512, 64, 0.99, 0.25
POSITIONS = (2048, 65_536, 524_288)
# Different vectors among them; the others repeat these.
DISTINCT = 16_384
WORK = ("forward", "train")
SIDES = {"keras": "ours", "sonnet": "Sonnet", "torch": "vector-quantize-pytorch"}
PACKAGES = {"sonnet": "sonnet", "torch": "vector_quantize_pytorch"}
MEGABYTE = 1e6


def keras_side(options: argparse.Namespace) -> Callable[[], Callable[[], object]]:
    """`VectorQuantizerEMA` in a `tf.function`, whose number of positions is free as that of a batch is."""
    import tensorflow as tf

    from keras_layers import VectorQuantizerEMA

    _limit_threads(tf, options.threads)
    quantizer = VectorQuantizerEMA(CODES, DIMENSION, commitment_cost=COMMITMENT, decay=DECAY, initializer="normal")

    def outputs_and_loss(inputs: Any, training: bool) -> tuple[Any, Any]:
        outputs = quantizer(inputs, training=training)
        return outputs, tf.add_n(quantizer.losses)

    return lambda: _tensorflow_work(tf, options, outputs_and_loss)


def sonnet_side(options: argparse.Namespace) -> Callable[[], Callable[[], object]]:
    """`snt.nets.VectorQuantizerEMA` in a `tf.function`."""
    import sonnet
    import tensorflow as tf

    _limit_threads(tf, options.threads)
    quantizer = sonnet.nets.VectorQuantizerEMA(
        embedding_dim=DIMENSION, num_embeddings=CODES, commitment_cost=COMMITMENT, decay=DECAY
    )

    def outputs_and_loss(inputs: Any, training: bool) -> tuple[Any, Any]:
        answer = quantizer(inputs, is_training=training)
        return answer["quantize"], answer["loss"]

    return lambda: _tensorflow_work(tf, options, outputs_and_loss)


def torch_side(options: argparse.Namespace) -> Callable[[], Callable[[], object]]:
    """`VectorQuantize` with the paper's settings: straight-through, decay 0.99, weight 0.25."""
    import torch
    from vector_quantize_pytorch import VectorQuantize

    torch.set_num_threads(options.threads)
    quantizer = VectorQuantize(
        dim=DIMENSION,
        codebook_size=CODES,
        decay=DECAY,
        commitment_weight=COMMITMENT,
        rotation_trick=False,
        threshold_ema_dead_code=0,
    )

    def prepare() -> Callable[[], object]:
        inputs = torch.randn((1, options.positions, DIMENSION), generator=torch.Generator().manual_seed(0))
        if options.work == "forward":
            quantizer.eval()

            def forward() -> object:
                with torch.inference_mode():
                    return quantizer(inputs)[0]

            return forward
        quantizer.train()
        inputs.requires_grad_(True)

        def step() -> object:
            inputs.grad = None
            outputs, _, loss = quantizer(inputs)
            (outputs.square().mean() + loss.sum()).backward()
            return inputs.grad

        return step

    return prepare


SIDE_PROGRAMS = {"keras": keras_side, "sonnet": sonnet_side, "torch": torch_side}


def _limit_threads(tf: Any, threads: int) -> None:
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


def _tensorflow_work(
    tf: Any, options: argparse.Namespace, outputs_and_loss: Callable[[Any, bool], tuple[Any, Any]]
) -> Callable[[], object]:
    # Repeated: normal numbers take three times their memory while they are made, which can be more than the work.
    distinct = tf.random.stateless_normal((1, min(options.positions, DISTINCT), DIMENSION), (0, 0))
    inputs = tf.gather(distinct, tf.range(options.positions) % distinct.shape[1], axis=1)
    # Variables are made before the graph is.
    outputs_and_loss(inputs[:, :1], False)
    signature = [tf.TensorSpec((1, None, DIMENSION))]
    if options.work == "forward":
        forward = tf.function(lambda some: outputs_and_loss(some, False)[0], input_signature=signature)
        return lambda: forward(inputs)

    def gradient(some: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(some)
            outputs, loss = outputs_and_loss(some, True)
            loss = loss + tf.reduce_mean(tf.square(outputs))
        return tape.gradient(loss, some)

    step = tf.function(gradient, input_signature=signature)
    return lambda: step(inputs)


def measure(work: str, positions: int, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Every side of one piece of work: times and memory."""
    from tools.bench import compare_isolated

    command = [sys.executable, "-m", "apps.vq_vae.quantizer_benchmark", "--work", work, "--positions", str(positions)]
    command += ["--threads", str(options.threads), "--repeats", str(options.repeats)]
    found = compare_isolated({side: [*command, "--side", side] for side in SIDES}, options.rounds)
    ours = found["keras"]
    return [
        {
            "work": work,
            "positions": positions,
            "side": side,
            **{key: value for key, value in measured.to_dict().items() if key not in ("name", "items")},
            "times_ours": measured.timing.median / ours.timing.median,
            "memory_times_ours": measured.work_bytes / ours.work_bytes,
        }
        for side, measured in found.items()
    ]


def run(options: argparse.Namespace) -> None:
    """Measures and prints the table; or, with `--side`, works as the process of one side."""
    positions = options.positions
    for name in ("rounds", "repeats", "threads", "positions"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise InputError(f"Expected --{name} to be at least 1. Received {value}.")
    if options.side:
        if positions is None or options.work is None:
            raise InputError("Expected --positions and --work with --side. Received neither or one.")
        work_in_turn(SIDE_PROGRAMS[options.side](options), options.repeats)
        return
    missing = [package for package in PACKAGES.values() if importlib.util.find_spec(package) is None]
    if missing:
        raise InputError(
            f"Expected the extra [bench] (pip install -c constraints.txt -e '.[bench]'). "
            f"Received an environment without {', '.join(missing)}."
        )
    works = (options.work,) if options.work else WORK
    jobs = [(work, number) for number in ((positions,) if positions else POSITIONS) for work in works]
    rows = []
    for work, number in progress(jobs, len(jobs), "measuring"):
        rows += measure(work, number, options)
    print_result(options, {"threads": options.threads, "rows": rows}, lambda: text(rows))


def text(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as a table."""
    columns = ["", "positions", "side", "median ms", "fastest ms", "times ours", "memory MB", "times ours"]
    return table(
        [
            [
                row["work"],
                row["positions"],
                SIDES[row["side"]],
                f"{row['median_seconds'] * 1e3:.1f}",
                f"{min(row['seconds']) * 1e3:.1f}",
                f"{row['times_ours']:.2f}",
                round(row["work_bytes"] / MEGABYTE),
                f"{row['memory_times_ours']:.1f}",
            ]
            for row in rows
        ],
        columns,
    )


def build_parser() -> argparse.ArgumentParser:
    """The parser of this command."""
    parser = argparse.ArgumentParser(
        prog="python -m apps.vq_vae.quantizer_benchmark",
        description=__doc__.splitlines()[0],
        epilog="example:\n  python -m apps.vq_vae.quantizer_benchmark --positions 65536 --rounds 2",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--positions", type=int, help="vectors to quantise (default: 2048, 65536 and 524288 in turn)")
    parser.add_argument("--work", choices=WORK, help="default: both")
    parser.add_argument("--rounds", type=int, default=3, help="processes of each side, taking turns (default 3)")
    parser.add_argument("--repeats", type=int, default=5, help="timed runs of each process (default 5)")
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count(), help="CPU threads of every side (default: all of the machine)"
    )
    parser.add_argument("--side", choices=SIDES, help="work as the process of this side, which the benchmark starts")
    parser.add_argument("--json", action="store_true", help="print one JSON document, for a program to read")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.set_defaults(run=run)
    return parser


if __name__ == "__main__":
    sys.exit(run_command(build_parser()))
