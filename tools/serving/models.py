"""The version manager: which versions are in memory, which one answers, and how one follows another unnoticed."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import gc
import logging
import os
import pathlib
import threading
from collections.abc import Callable, Iterator

from tools.serving.bundle import SavedModel
from tools.serving.config import ModelConfig
from tools.serving.errors import ServingError, invalid

_log = logging.getLogger(__name__)


class State(enum.IntEnum):
    """States of a version, with the numbers of the ModelVersionStatus protocol."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclasses.dataclass
class Version:
    """A version that the manager knows, and who uses it.

    Attributes:
        number: the version number.
        path: its folder.
        state: where it is on its way.
        error: why it could not be loaded, or None.
        model: the model in memory while the state is AVAILABLE, or UNLOADING with requests in it.
        requests: how many requests use it now.
        files: what the folder held when loading it failed, so that a changed folder is tried again.
    """

    number: int
    path: pathlib.Path
    state: State = State.START
    error: ServingError | None = None
    model: SavedModel | None = None
    requests: int = 0
    files: frozenset = frozenset()


class ModelManager:
    """Keeps the versions of all models in memory as the file system says.

    A new version is loaded, and warmed up, before the one it follows is unloaded; requests that run on the old one
    finish on it. A version that fails to load leaves the old one serving, and is tried again when its folder changes.

    Args:
        source: lists the models to serve; called at every poll.
        poll_seconds: seconds between looks at the file system.
    """

    def __init__(self, source: Callable[[], list[ModelConfig]], poll_seconds: float = 1.0):
        self._source = source
        self._poll_seconds = poll_seconds
        self._configs: dict[str, ModelConfig] = {}
        self._models: dict[str, dict[int, Version]] = {}
        self._said: dict[str, str] = {}
        self._lock = threading.Condition()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="serving-versions", daemon=True)

    def start(self) -> None:
        """Loads what is there, then watches for changes in a thread of its own."""
        self.poll()
        self._thread.start()

    def stop(self, grace: float = 30.0) -> None:
        """Ends the watching, waits up to `grace` seconds for requests under way, and unloads every model."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        with self._lock:
            versions = [version for model in self._models.values() for version in model.values()]
            self._lock.wait_for(lambda: not any(version.requests for version in versions), timeout=grace)
        for version in versions:
            if version.state == State.AVAILABLE:
                self._unload(version)
        gc.unfreeze()

    def _watch(self) -> None:
        while not self._stopping.wait(self._poll_seconds):
            try:
                self.poll()
            except Exception:
                _log.exception("Looking for new versions failed; the versions in memory go on serving")

    def poll(self) -> None:
        """Looks at the file system once, and loads and unloads what has changed."""
        try:
            configs = {config.name: config for config in self._source()}
        except OSError as error:
            self._say("", f"Could not list the models: {error}. The models in memory go on serving.")
            return
        with self._lock:
            self._configs = configs
        changed = False
        for name in sorted({*configs, *self._models}):
            if self._stopping.is_set():
                return
            try:
                aspired = configs[name].versions() if name in configs else {}
            except OSError as error:
                self._say(
                    name, f"Could not find base path {configs[name].base_path} for servable {name} with error {error}"
                )
                continue
            if name in configs:
                self._warn_of_missing(configs[name], aspired)
            changed |= self._update(name, aspired)
        if changed:
            # Graphs hold themselves in cycles, so versions that have gone stay in memory until they are collected.
            # What is left stays: frozen, it no longer takes part in the collections that large JSON sets off, each of
            # which went through all of TensorFlow's objects and held up every request for some tenths of a second.
            gc.unfreeze()
            gc.collect()
            gc.freeze()

    def _warn_of_missing(self, config: ModelConfig, aspired: dict[int, pathlib.Path]) -> None:
        missing = sorted(config.specific - set(aspired))
        if not aspired:
            self._say(
                config.name,
                f"No versions of servable {config.name} found under base path {config.base_path}. Did you forget to "
                "name your leaf directory as a number (eg. '/1/')?",
            )
        elif missing:
            self._say(
                config.name,
                f"Version {missing[0]} of servable {config.name}, which was requested to be served as a 'specific' "
                "version in the servable's version policy, was not found in the file system",
            )
        else:
            self._said.pop(config.name, None)

    def _say(self, name: str, text: str) -> None:
        if self._said.get(name) != text:
            self._said[name] = text
            _log.warning(text)

    def _update(self, name: str, aspired: dict[int, pathlib.Path]) -> bool:
        """Loads and unloads versions of a model; returns whether there were any to load or unload."""
        changed = False
        with self._lock:
            known = dict(self._models.get(name, {}))
        for number in sorted(aspired, reverse=True):
            version = known.get(number)
            if version is None or _to_try_again(version):
                known[number] = self._load(name, number, aspired[number])
                changed = True
            if self._stopping.is_set():
                return changed
        serving = {number for number, version in known.items() if version.state == State.AVAILABLE}
        if aspired and not serving & set(aspired):
            return changed
        for number in sorted(serving - set(aspired)):
            _log.info("Unloading version %d of %s", number, name)
            self._unload(known[number])
        return changed or bool(serving - set(aspired))

    def _load(self, name: str, number: int, path: pathlib.Path) -> Version:
        version = Version(number, path, State.LOADING, files=_files(path))
        with self._lock:
            self._models.setdefault(name, {})[number] = version
        try:
            model, error = SavedModel(path), None
        except ServingError as failure:
            model, error = None, failure
        except Exception as failure:
            model, error = None, ServingError("INTERNAL", f"{type(failure).__name__}: {failure}")
        with self._lock:
            version.model, version.error = model, error
            version.state = State.END if error else State.AVAILABLE
        if error:
            _log.error("Version %d of %s, at %s, could not be loaded: %s", number, name, path, error)
        else:
            _log.info("Version %d of %s is available", number, name)
        return version

    def _unload(self, version: Version) -> None:
        with self._lock:
            version.state = State.UNLOADING
            idle = version.requests == 0
        if idle:
            self._close(version)

    def _close(self, version: Version) -> None:
        model, version.model = version.model, None
        if model is not None:
            model.close()
        with self._lock:
            version.state = State.END
            self._lock.notify_all()

    @contextlib.contextmanager
    def use(self, name: str, number: int | None = None, label: str | None = None) -> Iterator[tuple[int, SavedModel]]:
        """The version (its number, and the model) that answers a request; it stays in memory within the context.

        Raises:
            ServingError: if there is no such model, version or label.
        """
        with self._lock:
            version = self._find(name, number, label)
            version.requests += 1
        try:
            yield version.number, version.model
        finally:
            with self._lock:
                version.requests -= 1
                last = version.requests == 0 and version.state == State.UNLOADING
                self._lock.notify_all()
            if last:
                self._close(version)

    def _find(self, name: str, number: int | None, label: str | None) -> Version:
        if label is not None:
            labels = self._configs[name].labels if name in self._configs else {}
            if label not in labels:
                raise invalid(f"Unrecognized servable version label: {label}")
            number = labels[label]
        available = {
            key: version for key, version in self._models.get(name, {}).items() if version.state == State.AVAILABLE
        }
        if number is None and available:
            number = max(available)
        if number not in available:
            wanted = f"Latest({name})" if number is None else f"Specific({name}, {number})"
            raise ServingError("NOT_FOUND", f"Servable not found for request: {wanted}")
        return available[number]

    def status(self, name: str, number: int | None = None) -> list[tuple[int, State, ServingError | None]]:
        """Number, state and error of every version of a model, or of one version; newest first.

        Raises:
            ServingError: if the model or the version was never there.
        """
        with self._lock:
            versions = sorted(self._models.get(name, {}).values(), key=lambda version: -version.number)
            rows = [(version.number, version.state, version.error) for version in versions]
        if number is not None:
            rows = [row for row in rows if row[0] == number]
            if not rows:
                raise ServingError("NOT_FOUND", f"Could not find version {number} of model {name}")
        if not rows:
            raise ServingError("NOT_FOUND", f"Could not find any versions of model {name}")
        return rows

    def available(self) -> dict[str, list[int]]:
        """The versions that answer now, by model; a model without any has an empty list."""
        with self._lock:
            names = sorted({*self._configs, *self._models})
            return {
                name: sorted(
                    version.number
                    for version in self._models.get(name, {}).values()
                    if version.state == State.AVAILABLE
                )
                for name in names
            }


def _to_try_again(version: Version) -> bool:
    if version.state != State.END:
        return False
    return version.error is None or _files(version.path) != version.files


def _files(path: pathlib.Path) -> frozenset:
    """Names, sizes and times of all files of a folder: another set means that somebody has worked on it."""
    found = set()
    for folder, _, names in os.walk(path):
        for name in names:
            file = pathlib.Path(folder, name)
            with contextlib.suppress(OSError):
                information = file.stat()
                found.add((str(file), information.st_size, information.st_mtime_ns))
    return frozenset(found)
