"""VQ-VAE, VAE and VIMCO of images: data, training, measures, export."""
