"""An embedded server of TensorFlow Serving's protocols, its clients, and server configuration."""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {"Server": "server", "Client": "client", "RestClient": "client", "ServingError": "errors"}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
