"""A small set in the format of the TU sets."""

import numpy as np
import pytest


@pytest.fixture
def rings(tmp_path):
    """Forty graphs of six nodes: one ring, or two; the tags say nothing. With the ten folds."""
    folder = tmp_path / "RINGS"
    (folder / "10fold_idx").mkdir(parents=True)
    lines = ["40"]
    for graph in range(40):
        label = graph % 2
        lines.append(f"6 {label}")
        for node in range(6):
            if label:
                begin = node // 3 * 3
                others = [begin + (node + 1 - begin) % 3, begin + (node + 2 - begin) % 3, (node + 3) % 6]
            else:
                others = [(node + 1) % 6, (node + 5) % 6]
            lines.append(f"0 {len(others)} {' '.join(map(str, others))}")
    (folder / "RINGS.txt").write_text("\n".join(lines) + "\n")
    for fold in range(10):
        test = np.arange(fold * 4, fold * 4 + 4)
        for part, numbers in (("test", test), ("train", np.setdiff1d(np.arange(40), test))):
            (folder / "10fold_idx" / f"{part}_idx-{fold + 1}.txt").write_text("\n".join(map(str, numbers)) + "\n")
    return folder
