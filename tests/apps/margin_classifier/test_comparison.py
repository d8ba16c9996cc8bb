"""What a comparison trains on, and with what."""

import numpy as np
import pytest
import sklearn.linear_model
import sklearn.svm

from apps.margin_classifier import peers
from apps.margin_classifier.benchmark import breast_cancer_table, main
from apps.margin_classifier.comparison import ComparisonConfig, Fitter, _Trainer, compare
from apps.margin_classifier.data import Table
from apps.margin_classifier.recipe import make_loss
from keras_layers import losses
from tools.errors import InputError


@pytest.fixture
def breast_cancer(tmp_path):
    """scikit-learn's table, 569 rows, as a file."""
    return breast_cancer_table(tmp_path)


@pytest.mark.parametrize("flip", [0.0, 0.1, 0.4])
def test_labels_are_flipped_in_training_alone(flip):
    labels = np.arange(200) % 2
    trainer = _Trainer(ComparisonConfig("t", folds=4), Table("t", {}), None, labels.copy())
    training, test = trainer._split(0, 1)
    assert not set(training) & set(test) and len(training) == 150
    flipped = trainer._flipped(training, 0, 1, flip)
    assert (flipped != labels[training]).sum() == round(150 * flip)
    np.testing.assert_array_equal(trainer.labels, labels)
    if flip:
        assert (flipped != trainer._flipped(training, 1, 1, flip)).any()


def test_flips_that_leave_one_class_are_refused_before_the_folder_is_taken(tmp_path):
    (tmp_path / "few.csv").write_text("x,y\n" + "".join(f"{i},{int(i >= 2)}\n" for i in range(4)))
    config = ComparisonConfig(str(tmp_path / "few.csv"), folds=2, repeats=20, flips=(0.49,), losses=("exp",))
    with pytest.raises(InputError, match="two classes in every training part"):
        compare(config, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_weight_of_the_squares_makes_weights_small():
    generator = np.random.default_rng(0)
    x = generator.normal(size=(100, 3)).astype("float32")
    labels = (x[:, 0] > 0).astype("int32")
    sizes = []
    for l2 in (0.0, 1.0):
        fitter = Fitter("linear", make_loss("logit_margin"), 3, 100, l2=l2, epochs=20)
        fitter.fit(x, labels)
        sizes.append(np.linalg.norm(fitter.core.get_layer("score").kernel))
    # Of logit_margin + |w|^2 the minimum is near w = 0.18 on these features, without the squares it is far out.
    assert sizes[0] > 1 > 0.3 > sizes[1] > 0.1


def test_each_of_scikit_learns_trains_with_its_counterpart(monkeypatch):
    """At scores of one row and label 1: what the classifier of scikit-learn says it minimises is what our loss says."""
    scores = np.linspace(-3, 3, 13)
    theirs = {
        "squared_hinge": np.maximum(0, 1 - scores) ** 2,
        "hinge": np.maximum(0, 1 - scores),
        "log": np.log1p(np.exp(-scores)),
        "modified_huber": np.where(scores >= -1, np.maximum(0, 1 - scores) ** 2, -4 * scores),
        "perceptron": np.maximum(0, -scores),
    }
    fitted = []
    for kind in (sklearn.svm.LinearSVC, *map(sklearn.linear_model.__dict__.get, ("SGDClassifier", "Perceptron"))):
        monkeypatch.setattr(kind, "fit", lambda self, x, y, fit=kind.fit: fitted.append(self) or fit(self, x, y))
    generator = np.random.default_rng(0)
    x, labels = generator.normal(size=(50, 2)), np.arange(50) % 2
    for method in peers.PEERS:
        peers.peer_scores(method, x, labels, x, seed=0)
        estimator = None if method == "LogisticRegression" else fitted.pop()
        name = "log" if estimator is None else estimator.loss
        np.testing.assert_allclose(losses.get(peers.counterpart(method)).value(scores), theirs[name], atol=1e-6)
        if method.startswith("SGD"):
            assert estimator.alpha == 1 / 50


def test_the_benchmark_says_which_of_its_measurements_have_one_table(capsys):
    with pytest.raises(SystemExit) as end:
        main(["speed", "--only", "sonar"])
    assert end.value.code == 2 and "--only with tables or flips" in capsys.readouterr().err


def test_in_the_same_folds_nothing_is_lost_beside_scikit_learn(breast_cancer, tmp_path):
    config = ComparisonConfig(
        str(breast_cancer), losses=("l2_hinge", "logit_margin"), flips=(0.0,), repeats=1, scikit_learn=True
    )
    found = {row["method"]: row for row in compare(config, tmp_path / "clean")["flips"][0]["rows"]}
    for peer in ("LinearSVC", "LogisticRegression"):
        ours, theirs = found[peers.counterpart(peer)], found[peer]
        assert ours["accuracy"] >= theirs["accuracy"] - theirs["accuracy_deviation"] / np.sqrt(5)


def test_the_bounded_loss_keeps_what_convex_ones_lose_to_flipped_labels(breast_cancer, tmp_path):
    config = ComparisonConfig(str(breast_cancer), losses=("sigmoid", "logit_margin", "exp"), flips=(0.3,), repeats=1)
    found = {row["method"]: row["accuracy"] for row in compare(config, tmp_path / "flipped")["flips"][0]["rows"]}
    assert found["sigmoid"] > 0.92 > 0.9 > found["logit_margin"] > found["exp"]
