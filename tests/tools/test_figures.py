"""The pictures are written, whole, and show what was given."""

import cv2
import numpy as np

from tools.figures import draw_confusion, draw_curves, draw_trade_off


def test_curves(tmp_path):
    history = [
        {"epoch": epoch, "loss": 1 / epoch, "val_loss": 2 / epoch, "learning_rate": 0.1, "seconds": 1.0}
        for epoch in (1, 2, 3)
    ]
    picture = cv2.imread(str(draw_curves(history, tmp_path / "curves.png")))
    assert picture.std() > 0
    without = [{name: row[name] for name in row if name != "val_loss"} for row in history]
    other = cv2.imread(str(draw_curves(without, tmp_path / "other.png")))
    assert other.shape == picture.shape and (other != picture).any()
    assert {path.name for path in tmp_path.iterdir()} == {"curves.png", "other.png"}


def test_confusion_is_dark_where_the_counts_are(tmp_path):
    classes = ["a", "b", "c"]
    right = cv2.imread(str(draw_confusion(np.eye(3, dtype=int) * 4, classes, tmp_path / "right.png")))
    wrong = cv2.imread(str(draw_confusion(np.eye(3, dtype=int)[::-1] * 4, classes, tmp_path / "wrong.png")))
    assert right.shape == wrong.shape and (right != wrong).any()


def test_a_class_without_examples_and_many_classes(tmp_path):
    matrix = np.zeros((101, 101), int)
    matrix[3, 4] = 1
    assert draw_confusion(matrix, [f"class {index}" for index in range(101)], tmp_path / "many.png").exists()


def test_trade_off_shows_every_kind_and_the_path(tmp_path):
    points = [(kind, 10.0 ** (3 + index), 0.1 * index, 0.02) for index, kind in enumerate("abcd")]

    def picture(name, points, path):
        return cv2.imread(str(draw_trade_off(points, path, tmp_path / name, cost="cost", value="value")))

    whole = picture("whole.png", points, [points[0], points[3]])
    assert (whole != picture("path.png", points, [points[0], points[2]])).any()
    assert (whole != picture("fewer.png", [points[0], points[2], points[3]], [points[0], points[3]])).any()
