"""Clips: data, their codes, and prediction in the latent space."""
