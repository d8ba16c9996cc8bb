"""What the log of a training leaves out."""

from __future__ import annotations

from typing import Any

import keras

from apps.vq_vae import models


class WithoutQuantizer(keras.callbacks.Callback):
    """Takes the quantiser's metrics of validation out of the logs: it counts codes in training alone, so they are 0."""

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs and models.has_quantizer(self.model):
            for metric in models.quantizer_of(self.model).metrics:
                logs.pop(f"val_{metric.name}", None)
