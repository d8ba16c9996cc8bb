"""What the README says was measured: speed beside another library, size, and the speed of the served model.

Example:
    python -m apps.pcrec.benchmark implicit data/grocery
    python -m apps.pcrec.benchmark scale /tmp/scale --users 1000000 --items 200000 --interactions 20000000
    python -m apps.pcrec.benchmark serving savedmodels mf runs/mf
"""

from __future__ import annotations

import argparse
import importlib.util
import pathlib
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

from tools.commands import add_command, print_result, run_command, table
from tools.errors import InputError


def main(arguments: list[str] | None = None) -> int:
    """Runs a measurement; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m apps.pcrec.benchmark")
    verbs = parser.add_subparsers(metavar="VERB")
    implicit = add_command(
        verbs,
        "implicit",
        help="matrix factorisation by BPR here and in implicit (pip install 'kapps[bench]'): seconds a pass, quality",
        example="python -m apps.pcrec.benchmark implicit data/grocery",
        run=run_implicit,
    )
    implicit.add_argument("prepared", help="a folder that prepare wrote, with stored negatives")
    implicit.add_argument("--threads", type=int, default=1, help="of both (default 1)")
    implicit.add_argument("--epochs", type=int, default=400, help="passes here at most (default 400)")
    implicit.add_argument("--iterations", type=int, default=500, help="passes of implicit (default 500)")
    implicit.add_argument("--learning-rate", type=float, default=0.05, help="of implicit (default 0.05)")
    implicit.add_argument("--regularization", type=float, default=0.06, help="of implicit (default 0.06)")
    scale = add_command(
        verbs,
        "scale",
        help="generate a large log, prepare it, train a pass, rank, export",
        example="python -m apps.pcrec.benchmark scale /tmp/scale",
        run=run_scale,
    )
    scale.add_argument("folder", type=pathlib.Path, help="a new folder")
    scale.add_argument("--users", type=int, default=1_000_000)
    scale.add_argument("--items", type=int, default=200_000)
    scale.add_argument("--interactions", type=int, default=20_000_000)
    scale.add_argument("--batch-size", type=int, default=8192)
    scale.add_argument("--ranked", type=int, default=2000, help="users to rank (default 2000)")
    serving = add_command(
        verbs,
        "serving",
        help="requests a second of a published recommender on one thread, without the network",
        example="python -m apps.pcrec.benchmark serving savedmodels mf runs/mf",
        run=run_serving,
    )
    serving.add_argument("base", type=pathlib.Path, help="folder of published models")
    serving.add_argument("name", help="of the model")
    serving.add_argument("run_folder", type=pathlib.Path, help="the run it was exported from")
    serving.add_argument("--k", type=int, default=20)
    serving.add_argument("--batch-size", type=int, default=256)
    serving.add_argument("--seconds", type=float, default=5.0)
    return run_command(parser, arguments)


def run_implicit(options: argparse.Namespace) -> None:
    """Prints seconds of a pass over the interactions, and what the test part says, of both."""
    if not importlib.util.find_spec("implicit"):
        raise InputError("Expected the package implicit (pip install 'kapps[bench]'). Received none.")
    import implicit
    import numpy as np
    import tensorflow as tf
    from implicit.cpu.bpr import BayesianPersonalizedRanking

    from apps.pcrec.data.prepared import read_prepared
    from apps.pcrec.evaluation.protocol import evaluate
    from apps.pcrec.recommenders.vectors import Vectors
    from apps.pcrec.runs import TrainingConfig, load_run
    from apps.pcrec.training import train

    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(options.threads)
    prepared = read_prepared(options.prepared)
    rows = []

    def add(name: str, passes: int, seconds: float, recommender: Any) -> None:
        found = evaluate(recommender, prepared, protocol="stored", cutoffs=(5,)).document["measures"]
        measures = {measure: round(found[measure], 4) for measure in ("hr@5", "ndcg@5")}
        rows.append({"library": name, "passes": passes, "seconds_per_pass": round(seconds, 3), **measures})

    config = TrainingConfig(
        prepared=options.prepared, passes=1, epochs=options.epochs, patience=10, monitor="ndcg@5", protocol="stored"
    )
    with tempfile.TemporaryDirectory() as folder:
        report = train(config, pathlib.Path(folder) / "run")
        recommender = load_run(pathlib.Path(folder) / "run").recommender()
    add("kapps", report["epochs"], report["seconds_per_pass"], recommender)
    peer = BayesianPersonalizedRanking(
        factors=recommender.user.shape[1],
        learning_rate=options.learning_rate,
        regularization=options.regularization,
        iterations=options.iterations,
        num_threads=options.threads,
        random_state=config.seed,
    )
    started = time.perf_counter()
    peer.fit(prepared.matrix("train").tocsr(), show_progress=sys.stderr.isatty())
    seconds = (time.perf_counter() - started) / options.iterations
    vectors = Vectors(np.asarray(peer.user_factors), np.asarray(peer.item_factors))
    add(f"implicit {implicit.__version__}", options.iterations, seconds, vectors)
    header = list(rows[0])
    print_result(options, rows, lambda: table([[row[name] for name in header] for row in rows], header))


def run_scale(options: argparse.Namespace) -> None:
    """Prints seconds of each stage and the most memory so far."""
    import numpy as np
    import pyarrow
    import pyarrow.parquet

    from apps.pcrec.data.preparing import PrepareConfig, prepare
    from apps.pcrec.evaluation.protocol import Monitor
    from apps.pcrec.export import export
    from apps.pcrec.runs import TrainingConfig, load_run
    from apps.pcrec.training import train

    options.folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    rows = options.interactions
    log = {
        "user_id": generator.integers(0, options.users, rows),
        # Few items are met often, most seldom.
        "item_id": (options.items * generator.random(rows) ** 3).astype("int64"),
        "time": generator.integers(0, 10**9, rows),
    }
    pyarrow.parquet.write_table(pyarrow.table(log), options.folder / "log.parquet")
    del log
    stages: list[dict[str, Any]] = []

    def timed(name: str, call: Callable[[], Any]) -> Any:
        started = time.perf_counter()
        value = call()
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        stages.append({"stage": name, "seconds": round(time.perf_counter() - started, 1), "gib": round(memory, 2)})
        print(stages[-1], file=sys.stderr)
        return value

    config = PrepareConfig(str(options.folder / "log.parquet"), time="time")
    prepared = timed("prepare", lambda: prepare(config, options.folder / "prepared", lambda line: None))
    training = TrainingConfig(
        prepared=str(prepared.path),
        batch_size=options.batch_size,
        learning_rate=0.01,
        epochs=1,
        passes=1,
        validation_users=options.ranked,
    )
    report = timed("finetune", lambda: train(training, options.folder / "run"))
    run = load_run(options.folder / "run")
    monitor = Monitor(prepared, "ndcg@10", "full", options.ranked, 0)
    recommender = run.recommender()
    timed(f"rank {options.ranked} users", lambda: monitor(recommender))
    timed("export", lambda: export(run, base=options.folder / "savedmodels", name="scale"))
    document = {"statistics": prepared.description["statistics"], "report": report, "stages": stages}
    print_result(options, document, "\n".join(map(str, stages)))


def run_serving(options: argparse.Namespace) -> None:
    """Prints answers a second of `top_k` and `serving_default`, and that they are those of NumPy."""
    import numpy as np
    import tensorflow as tf

    from apps.pcrec.recommendation import Recommendations
    from apps.pcrec.runs import load_run
    from apps.pcrec.serving import none_of
    from tools.saved_model.versions import versions

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    run = load_run(options.run_folder)
    folder = options.base / options.name
    loaded = tf.saved_model.load(str(folder / str(versions(folder)[-1])))
    users = np.random.default_rng(0).choice(run.users, options.batch_size)
    plain = {"user": tf.constant(users.tolist(), _kind(run.users)), "k": tf.fill([len(users)], options.k)}
    none = tf.fill([len(users), 1], tf.constant(none_of(run.items), _kind(run.items)))
    speeds = {}
    for name, inputs in (("top_k", plain), ("serving_default", {**plain, "exclude": none, "allow": none})):
        signature = loaded.signatures[name]
        answer = signature(**inputs)
        started, batches = time.perf_counter(), 0
        while time.perf_counter() - started < options.seconds:
            signature(**inputs)
            batches += 1
        speeds[name] = round(batches * len(users) / (time.perf_counter() - started), 1)
    expected = Recommendations(run).for_users([str(user) for user in users], options.k)
    items = [[_text(item) for item in row] for row in answer["item"].numpy().tolist()]
    same = float(np.mean([row[: len(one.items)] == one.items for row, one in zip(items, expected, strict=True)]))
    document = {"users_per_second": speeds, "batch": len(users), "k": options.k, "rows_as_numpy": same}
    print_result(options, document, str(document))


def _kind(ids: Any) -> Any:
    import tensorflow as tf

    return tf.string if ids.dtype.kind == "U" else tf.int64


def _text(item: Any) -> Any:
    return item.decode() if isinstance(item, bytes) else item


if __name__ == "__main__":
    sys.exit(main())
