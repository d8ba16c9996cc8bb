"""Samples codes, one after the other, from any Functional model that gives the logits of each from those before it."""

from tools.sampling.choice import choose, uniforms
from tools.sampling.naive import NaiveSampler
from tools.sampling.sampler import Sampler
from tools.sampling.stepping import SteppedModel

__all__ = ["NaiveSampler", "Sampler", "SteppedModel", "choose", "uniforms"]
