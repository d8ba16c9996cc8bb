"""Publishes models as SavedModel versions: signatures, labels, model card, warm-up requests, and the gate."""

from tools.saved_model.gate import GateError
from tools.saved_model.publishing import Published, publish
from tools.saved_model.signatures import Signature

__all__ = ["GateError", "Published", "Signature", "publish"]
