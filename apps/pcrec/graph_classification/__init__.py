"""Graph classification: whether GIN is GIN, on the TU sets, by the official folds and protocol."""
