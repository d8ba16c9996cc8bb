"""VAE and VIMCO beside the VQ-VAE."""
