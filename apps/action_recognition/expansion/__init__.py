"""X3D's expansion: the search that grows a tiny network along one of six axes at a time.

Feichtenhofer, "X3D: Expanding Architectures for Efficient Video Recognition" (2020), section 3.

networks   a network as a point of the six axes, its steps, and what it costs
search     the search: candidates, their trainings, the choice, the contraction
"""

from apps.action_recognition.expansion.networks import AXES, Network
from apps.action_recognition.expansion.search import ExpansionConfig, config_of, expand

__all__ = ["AXES", "ExpansionConfig", "Network", "config_of", "expand"]
