"""Tables of vectors."""

from keras_layers.embedding.row_embedding import RowEmbedding

__all__ = ["RowEmbedding"]
