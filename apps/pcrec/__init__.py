"""Recommendation from interaction logs: matrix factorisation, its baselines, and a service. Imports no framework."""
