"""The edge: rewrite a model without 3-D operations, convert it to LiteRT, quantise, check, run and time it.

The names load on first use, so that a command line can be built without TensorFlow.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "rewrite": "tools.lite.rewriting",
    "convert": "tools.lite.conversion",
    "inspect": "tools.lite.inspection",
    "check": "tools.lite.inspection",
    "Runner": "tools.lite.runtime",
    "measure": "tools.lite.benchmark",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
