"""Keeps start-up lines of native libraries off the standard error of a command.

TensorFlow writes some before its own log level applies, and LiteRT knows no level, so only the file descriptor helps.
"""

from __future__ import annotations

import contextlib
import importlib.abc
import importlib.machinery
import os
import sys
from collections.abc import Iterator, Sequence
from types import ModuleType


@contextlib.contextmanager
def native_messages_silenced() -> Iterator[None]:
    """Sends what is written to file descriptor 2 to nowhere; Python's own `sys.stderr` is flushed before and after."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
        sys.stderr.flush()
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def import_tensorflow_quietly() -> None:
    """From now on the first `import tensorflow`, whoever makes it, prints nothing of its own.

    It takes seconds, so on a terminal one line says what is going on.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if not any(isinstance(finder, _QuietTensorFlow) for finder in sys.meta_path):
        sys.meta_path.insert(0, _QuietTensorFlow())


class _QuietTensorFlow(importlib.abc.MetaPathFinder):
    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_quietly(module: ModuleType) -> None:
                if sys.stderr.isatty():
                    print("kapps: loading TensorFlow", file=sys.stderr, flush=True)
                with native_messages_silenced():
                    load(module)

            spec.loader.exec_module = load_quietly
        return spec
