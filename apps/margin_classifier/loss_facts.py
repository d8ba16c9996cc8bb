"""What docs/margin_losses.md shows: the picture of the losses, and the table of their properties.

python -m apps.margin_classifier.loss_facts docs/margin_losses.png    draws the picture, prints the table
"""

from __future__ import annotations

import pathlib
import sys


def properties_table() -> list[str]:
    """The lines of a Markdown table of the properties of all losses, with their default parameters."""
    from keras_layers import losses

    def yes(value: bool) -> str:
        return "yes" if value else "no"

    def number(value: float | None) -> str:
        return "none" if value is None else f"{value:.4g}"

    def places(values: tuple[float, ...]) -> str:
        return "everywhere" if not values else "but at " + ", ".join(f"{value:g}" for value in values)

    lines = [
        "| loss | convex | Lipschitz constant | constant of psi' | psi' exists | psi'' exists | clippable | "
        "calibrated | population minimiser, eta > 1/2 |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name in losses.names():
        facts = losses.get(name).properties
        convex = "strongly" if facts.strong_convexity else "strictly" if facts.strictly_convex else yes(facts.convex)
        cells = [
            f"`{name}`",
            convex,
            number(facts.lipschitz_constant),
            number(facts.smoothness_constant),
            places(facts.not_differentiable_at),
            places(facts.not_twice_differentiable_at),
            yes(facts.clippable),
            yes(facts.classification_calibrated),
            facts.population_minimizer,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def main(arguments: list[str]) -> int:
    """Draws the picture at the path given and prints the table."""
    from apps.margin_classifier.figures import draw_losses

    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    draw_losses(pathlib.Path(arguments[0]))
    print("\n".join(properties_table()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
