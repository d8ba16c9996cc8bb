"""Reading the run folder of a prior, with the autoencoder whose codes it knows."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from apps.vq_vae.runs import PRIOR, WHICH, load_checkpoint, medium_of
from tools.errors import InputError
from tools.files import read_json

if TYPE_CHECKING:
    import keras

    from tools.sampling import Sampler

REPORT = "report.json"


@dataclasses.dataclass(frozen=True)
class PriorRun:
    """A trained prior.

    Attributes:
        path: the run folder.
        model: codes and conditions to the logits of the codes.
        config: config.json; "prior_of" is the medium.
        autoencoder: the run of the autoencoder, as its medium loads it.
        names: of the conditions that are classes, the names of the classes.
    """

    path: pathlib.Path
    model: keras.Model
    config: dict[str, Any]
    autoencoder: Any
    names: Mapping[str, Sequence[str]]

    @functools.cached_property
    def sampler(self) -> Sampler:
        """Draws codes."""
        from tools.sampling import Sampler

        return Sampler(self.model, tuple(self.config["data"]["found_lengths"]))

    def class_numbers(self, condition: str, wanted: Sequence[str]) -> np.ndarray:
        """The numbers of classes by their names, int32.

        Raises:
            InputError: if the prior knows no such condition, or no such class.
        """
        from apps.vq_vae.images.codes import shortened

        if condition not in self.names:
            raise InputError(f"Expected no {condition}: the prior in {self.path} knows none. Received {wanted[0]!r}.")
        names = list(self.names[condition])
        for name in wanted:
            if name not in names:
                raise InputError(f"Expected {condition} to be one of {shortened(names)}. Received {name!r}.")
        return np.array([names.index(name) for name in wanted], np.int32)


def load_prior_run(
    path: str | os.PathLike, which: str = "best", autoencoder: str | os.PathLike | None = None
) -> PriorRun:
    """Reads a run folder that `train-prior` wrote, and the autoencoder.

    Args:
        path: the run folder.
        which: "best" (lowest validation loss) or "last" (last epoch).
        autoencoder: its run folder now, where it is no longer where it was at the training. Default: there.

    Raises:
        InputError: if this is no run of a prior, its training has not ended, or the autoencoder is not the one whose
            codes the prior was trained on.
    """
    from apps.vq_vae.media import MEDIA

    folder = pathlib.Path(path)
    if which not in WHICH:
        raise InputError(f"Expected which to be one of {', '.join(WHICH)}. Received {which!r}.")
    medium = medium_of(folder)
    if medium != PRIOR:
        raise InputError(f"Expected a run of train-prior. Received {folder}, a run of an autoencoder of {medium}.")
    if not (folder / REPORT).exists():
        raise InputError(f"Expected a run whose training has ended. Received {folder}: no {REPORT} (--resume goes on).")
    config = read_json(folder / "config.json", "data", "prior_of", "autoencoder_digest", "names")
    place = pathlib.Path(autoencoder or config["data"]["autoencoder"])
    if not place.is_dir():
        raise InputError(
            f"Expected the autoencoder of the prior {folder} in {place}. Received no such folder (--autoencoder)."
        )
    loaded = MEDIA[config["prior_of"]].load_run(place, config["data"]["which"])
    if digest_of(loaded.model) != config["autoencoder_digest"]:
        raise InputError(
            f"Expected the autoencoder that the prior {folder} was trained with. Received {place}, with another code "
            "book."
        )
    return PriorRun(folder, load_checkpoint(folder / f"{which}.keras"), config, loaded, config["names"])


def digest_of(model: keras.Model) -> str:
    """A fingerprint of the weights of an autoencoder: with others, codes mean something else."""
    found = hashlib.sha256()
    for weights in model.get_weights():
        found.update(repr((weights.shape, weights.dtype.name)).encode())
        found.update(np.ascontiguousarray(weights))
    return found.hexdigest()


def check_one_code(autoencoder: Any) -> None:
    """Raises an `InputError` if an autoencoder has several codes a position, for which no prior is made."""
    from apps.vq_vae.models import quantizer_of

    columns = quantizer_of(autoencoder.model).columns
    if columns is not None:
        raise InputError(
            f"Expected an autoencoder of one code a position, to learn a prior of. Received {columns} codes a position "
            "(heads or stages of its quantizer)."
        )
