"""Priors over codes: training, measures, sampling, export."""
