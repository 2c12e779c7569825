"""The learning curves of a run as a picture."""

from pathlib import Path

from seqlab.plots import BLUE, ORANGE, literal
from seqlab.training.logs import read_rows


def draw_curves(metrics: Path, picture: Path, title: str) -> None:
    """Draws training loss and every validation score over optimizer steps.

    Args:
        metrics: The run's ``metrics.csv``.
        picture: The PNG file to write.
        title: Title of the picture.
    """
    import matplotlib  # half a second to import, and only needed once a run has ended

    matplotlib.use("Agg")
    from matplotlib import pyplot

    curves: dict[str, tuple[list[float], list[float]]] = {}
    for row in read_rows(metrics):
        for name, value in row.items():
            if name == "train/loss" or name.startswith("val/"):
                steps, values = curves.setdefault(name, ([], []))
                steps.append(float(row["step"]))
                values.append(float(value))
    if not curves:
        return
    columns = min(2, len(curves))
    rows = -(-len(curves) // columns)
    figure, axes = pyplot.subplots(
        rows, columns, figsize=(5.2 * columns, 3.2 * rows), squeeze=False, layout="constrained"
    )
    for axis in axes.flat[len(curves) :]:
        axis.set_visible(False)
    for axis, (name, (steps, values)) in zip(axes.flat, curves.items(), strict=False):
        validated = name.startswith("val/")
        axis.plot(
            steps,
            values,
            color=ORANGE if validated else BLUE,
            marker="o" if validated else None,
            markersize=3,
            linewidth=1.5,
        )
        if name.endswith("perplexity") and min(values) > 0 and max(values) > 10 * min(values):
            axis.set_yscale("log")
        axis.set_title(literal(name), loc="left", fontsize=10)
        axis.annotate(
            f"{values[-1]:.4g}", (steps[-1], values[-1]), xytext=(4, 0), textcoords="offset points", fontsize=8
        )
        axis.set_xlabel("optimizer step", fontsize=9)
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(literal(title), fontsize=11)
    figure.savefig(picture, dpi=130)
    pyplot.close(figure)
