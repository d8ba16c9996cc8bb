"""The networks that are compared."""

import numpy as np

from apps.action_recognition.comparison.networks import build


def test_a_random_network_answers_with_all_of_its_blocks():
    model = build("slow_r50", (2, 32, 32))
    scales = [weight.numpy() for weight in model.weights if weight.name == "gamma"]
    assert len(scales) == 53 and all(np.all(scale == 1) for scale in scales)
