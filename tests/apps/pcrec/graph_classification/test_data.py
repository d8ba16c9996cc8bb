"""Reading of the sets, batches, and files that are wrong."""

import numpy as np
import pytest

from apps.pcrec.graph_classification.data import read_fold, read_graphs
from tools.errors import InputError

TWO = "2\n3 5\n7 1 1\n9 2 0 2\n7 1 1\n2 1\n9 1 1\n7 0\n"


@pytest.fixture
def two(tmp_path):
    folder = tmp_path / "TWO"
    folder.mkdir()
    (folder / "TWO.txt").write_text(TWO)
    return folder


def test_tags_classes_and_edges(two):
    graphs = read_graphs(two)
    assert (len(graphs), graphs.channels, graphs.classes, graphs.features) == (2, 2, 2, "tags")
    inputs, labels = graphs.batch(np.array([1, 0, 1]))
    assert inputs["features"].argmax(1).tolist() == [1, 0, 0, 1, 0, 1, 0]
    assert inputs["features"].sum(1).tolist() == [1] * 7
    assert inputs["graphs"].tolist() == [0, 0, 1, 1, 1, 2, 2]
    # The second graph's list names its edge at one end only; it is an edge in both directions.
    assert inputs["edges"].tolist() == [[0, 1], [1, 0], [2, 3], [3, 2], [3, 4], [4, 3], [5, 6], [6, 5]]
    assert labels.tolist() == [0, 1, 0]
    assert graphs.facts()["mean_edges"] == 1.5


def test_degrees_as_features(two, rings):
    graphs = read_graphs(two, "degrees")
    assert graphs.batch(np.array([0]))[0]["features"].tolist() == [[1, 0], [0, 1], [1, 0]]
    # Where all tags are one they say nothing.
    assert read_graphs(rings).features == "degrees" and read_graphs(rings).channels == 2
    assert read_graphs(rings, "tags").channels == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "integers in line 1 of .*TWO.txt. Received 'the end of the file'"),
        ("0\n", "Expected graphs with nodes in TWO"),
        ("2\n1 0\n0 0\n", "in line 4 .* Received 'the end of the file'"),
        ("1\n2 0\n0 1 1\n0 1 2\n", "1 neighbours from 0 to 1 in line 4 .* Received '0 1 2'"),
        ("1\n2 0\n0 2 1\n0 1 0\n", "2 neighbours from 0 to 1 in line 3"),
        ("1\n2 zero\n", "integers in line 2 .* Received '2 zero'"),
        ("1\n2\n", "at least 2 integers in line 2"),
        ("1\n-1 0\n", "at least 2 integers in line 2"),
        ("2\n1 0\n0 0\n0 1\n", "a graph of 1 node or more in line 4 .* Received '0 1'"),
    ],
)
def test_a_damaged_file_is_told_by_its_line(two, text, message):
    (two / "TWO.txt").write_text(text)
    with pytest.raises(InputError, match=message):
        read_graphs(two)


def test_a_folder_without_graphs_and_a_wrong_feature(tmp_path, two):
    with pytest.raises(InputError, match=r"Expected the graphs in .*Received none"):
        read_graphs(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"features to be one of tags, degrees. Received 'colours'"):
        read_graphs(two, "colours")


def test_folds_divide_the_graphs(rings):
    training, test = read_fold(rings, 3, 40)
    assert test.tolist() == [8, 9, 10, 11] and len(training) == 36
    (rings / "10fold_idx" / "test_idx-3.txt").write_text("8\n9\n10\n10\n")
    with pytest.raises(InputError, match=r"fold 3 of .* each of the 40 graphs once. Received 36 to train on and 4 to"):
        read_fold(rings, 3, 40)
    (rings / "10fold_idx" / "test_idx-3.txt").write_text("8\nnine\n")
    with pytest.raises(InputError, match=r"Expected numbers of graphs in .*test_idx-3.txt"):
        read_fold(rings, 3, 40)


# Graphs, classes, channels of the features, nodes: the last by the files' own lines.
FACTS = {
    "MUTAG": (188, 2, 9, 3371, "tags"),
    "PROTEINS": (1113, 2, 3, 43471, "tags"),
    "IMDBBINARY": (1000, 2, 65, 19773, "degrees"),
}


@pytest.mark.real_data
@pytest.mark.parametrize("name", FACTS)
def test_the_sets_beside_the_project(real_data, name):
    graphs = read_graphs(real_data / "graphs" / name)
    found = (len(graphs), graphs.classes, graphs.channels, len(graphs.tags), graphs.features)
    assert found == FACTS[name]
    for fold in range(1, 11):
        training, test = read_fold(real_data / "graphs" / name, fold, len(graphs))
        assert len(test) == len(graphs) // 10 and len(training) == len(graphs) - len(test)
