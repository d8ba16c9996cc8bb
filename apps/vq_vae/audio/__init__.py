"""VQ-VAE of audio: data, training, measures, generation, conversion, export."""
