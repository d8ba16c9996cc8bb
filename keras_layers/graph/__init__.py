"""Layers for graphs: nodes with features, and edges as a list or as an adjacency matrix.

Every layer takes both forms, and tells them by the rank of the features:

    a list of edges   features (nodes, channels), edges (edges, 2) of integers, each row a source and a target. Several
                      graphs are one graph without edges between them; a vector says to which each node belongs.
    a dense batch     features (batch, nodes, channels), adjacency (batch, nodes, nodes), of which row i holds what node
                      i receives; a mask (batch, nodes) says which nodes are no padding.

An undirected graph has every edge in both directions.
"""

from keras_layers.graph.gin_conv import GINConv
from keras_layers.graph.light_gcn import LightGCNPropagation
from keras_layers.graph.readout import GraphReadout, JumpingKnowledgeReadout

__all__ = ["GINConv", "GraphReadout", "JumpingKnowledgeReadout", "LightGCNPropagation"]
