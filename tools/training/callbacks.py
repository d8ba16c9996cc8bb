"""What happens during `model.fit`: files at the end of every epoch, lines on standard error in between."""

from __future__ import annotations

import csv
import math
import pathlib
import shutil
import sys
import time

import keras
import tensorflow as tf

from tools.errors import InputError
from tools.files import replacing
from tools.training.run_folder import BEST, LAST, LOG, STATE, TENSORBOARD
from tools.training.state import Record, save_state

# What makes a summary a scalar for TensorBoard. `tf.summary.scalar` is TensorBoard's own, which need not be installed.
SCALAR = tf.compat.v1.SummaryMetadata(
    plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars"), data_class="DATA_CLASS_SCALAR"
)


class Recorder(keras.callbacks.Callback):
    """Writes the checkpoints, the logs and the state of a run; stops early; refuses a loss that is not finite.

    The state is written last. A run killed at any instant has the state of its last whole epoch; what the other files
    hold beyond it is written again, with the same content, when the run goes on.

    Args:
        folder: the run folder.
        record: what the run has done so far; extended.
        epochs: epochs of the whole run.
        steps_per_epoch: steps that every epoch must have.
        monitor: logged value that decides which epoch is best.
        maximise: whether more of it is better.
        patience: epochs without improvement after which to stop; None to go on.
        kept: what `best.keras` and `last.keras` hold, of weights of the model in training; None for that model.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        record: Record,
        *,
        epochs: int,
        steps_per_epoch: int,
        monitor: str,
        maximise: bool,
        patience: int | None,
        kept: keras.Model | None = None,
    ):
        super().__init__()
        self.folder, self.record = folder, record
        self.epochs, self.steps_per_epoch = epochs, steps_per_epoch
        self.monitor, self.maximise, self.patience = monitor, maximise, patience
        self.kept = kept

    def on_train_begin(self, logs=None):
        # Checkpoints are for use, not for training: without the optimizer they load with the layers alone.
        self._kept = self.model if self.kept is None else self.kept
        self._checkpoint = self._kept.__class__.from_config(self._kept.get_config())
        shutil.rmtree(self.folder / TENSORBOARD, ignore_errors=True)
        self._writers = {
            name: tf.summary.create_file_writer(str(self.folder / TENSORBOARD / name))
            for name in ("train", "validation")
        }
        for row in self.record.history:
            self._summarise(row)

    def on_epoch_begin(self, epoch, logs=None):
        self._started, self._steps = time.monotonic(), 0
        self._rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))

    def on_train_batch_end(self, batch, logs=None):
        # With `steps_per_execution` this is called once for several steps.
        self._steps = batch + 1
        self._check_finite("loss", (logs or {}).get("loss", 0.0), len(self.record.history) + 1)

    def on_epoch_end(self, epoch, logs=None):
        logs = dict(logs or {})
        if self._steps != self.steps_per_epoch:
            raise InputError(f"Expected {self.steps_per_epoch} batches in epoch {epoch + 1}. Received {self._steps}.")
        for name in ("loss", "val_loss"):
            self._check_finite(name, logs.get(name, 0.0), epoch + 1)
        if self.monitor not in logs:
            raise InputError(f"Expected monitor to be one of {', '.join(logs)}. Received {self.monitor!r}.")
        self._extend_record(epoch + 1, logs)
        self._checkpoint.set_weights(self._kept.get_weights())
        for name in (BEST, LAST) if self.record.best_epoch == epoch + 1 else (LAST,):
            with replacing(self.folder / name) as partial:
                self._checkpoint.save(partial)
        self._write_log()
        self._summarise(self.record.history[-1])
        save_state(self.folder / STATE, self.model, self.record)
        self.model.stop_training = self.record.finished

    def _extend_record(self, epoch: int, logs: dict[str, float]) -> None:
        record = self.record
        seconds = round(time.monotonic() - self._started, 3)
        record.history.append({"epoch": epoch, **logs, "learning_rate": self._rate, "seconds": seconds})
        # On a small validation set many epochs have the same accuracy; of those the lowest loss is best.
        merit = [logs[self.monitor] if self.maximise else -logs[self.monitor], -logs.get("val_loss", logs["loss"])]
        if record.best_merit is None or merit > record.best_merit:
            record.best, record.best_epoch, record.best_merit = logs[self.monitor], epoch, merit
        record.stopped_early = self.patience is not None and epoch - record.best_epoch >= self.patience
        record.finished = record.stopped_early or epoch >= self.epochs

    def _write_log(self) -> None:
        with replacing(self.folder / LOG) as partial, open(partial, "w", newline="") as file:
            writer = csv.DictWriter(file, list(self.record.history[-1]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.record.history)

    def _summarise(self, row: dict[str, float]) -> None:
        for name, value in row.items():
            if name == "epoch":
                continue
            writer = self._writers["validation" if name.startswith("val_") else "train"]
            with writer.as_default(step=int(row["epoch"])):
                tf.summary.write(f"epoch_{name.removeprefix('val_')}", tf.constant(value, tf.float32), metadata=SCALAR)
        for writer in self._writers.values():
            writer.flush()

    def _check_finite(self, name: str, value: float, epoch: int) -> None:
        if not math.isfinite(value):
            raise InputError(
                f"Expected a finite {name}. Received {value} in epoch {epoch}, step {self._steps} of "
                f"{self.steps_per_epoch}: lower the learning rate or clip the gradients."
            )


class ProgressLines(keras.callbacks.Callback):
    """Shows on standard error how far training is: rewritten in place on a terminal, a line now and then in a file."""

    def __init__(self, epochs: int, steps_per_epoch: int):
        super().__init__()
        self.epochs, self.steps_per_epoch = epochs, steps_per_epoch
        self.terminal = sys.stderr.isatty()
        self.interval = 0.5 if self.terminal else 10.0

    def on_train_begin(self, logs=None):
        self._traced = False

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch, self._started = epoch + 1, time.monotonic()
        self._shown, self._width = self._started, 0
        if not self._traced:
            # Long before the first step ends: TensorFlow makes its graph, and of a large model a step takes minutes.
            self._traced = True
            self._show(f"building step 1/{self.steps_per_epoch}", None, end="" if self.terminal else "\n")

    def on_train_batch_end(self, batch, logs=None):
        self._now_and_then(f"step {batch + 1}/{self.steps_per_epoch}", logs)

    def on_test_batch_end(self, batch, logs=None):
        self._now_and_then(f"validation step {batch + 1}", logs)

    def on_epoch_end(self, epoch, logs=None):
        self._show("done", logs, end="\n")

    def _now_and_then(self, place: str, logs) -> None:
        if time.monotonic() - self._shown >= self.interval:
            self._show(place, logs, end="" if self.terminal else "\n")

    def _show(self, place: str, logs, end: str) -> None:
        self._shown = time.monotonic()
        values = "  ".join(f"{name} {value:.4g}" for name, value in (logs or {}).items())
        line = f"epoch {self._epoch}/{self.epochs}  {place}  {values}  ({self._shown - self._started:.0f} s)"
        self._width = max(self._width, len(line))
        print(f"\r{line.ljust(self._width)}" if self.terminal else line, end=end, file=sys.stderr, flush=True)
