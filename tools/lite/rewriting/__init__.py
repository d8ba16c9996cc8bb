"""Rewrites a video model so that every operation has at most four axes, for the edge."""

# Imported for their rules.
from tools.lite.rewriting import convolution, elementwise, inception, modules, pooling, slowfast
from tools.lite.rewriting.feature import Feature
from tools.lite.rewriting.graph import rewrite
from tools.lite.rewriting.table import RULES, rule

__all__ = [
    "Feature",
    "RULES",
    "convolution",
    "elementwise",
    "inception",
    "modules",
    "pooling",
    "slowfast",
    "rewrite",
    "rule",
]
