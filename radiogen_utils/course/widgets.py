"""The interactive pieces of the notebooks; where nobody can turn a knob, each is a static picture.

A piece is a function that draws a Matplotlib figure from the values of its controls, given to `explore`.
"""

import functools
import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
from IPython import get_ipython

from .. import figures, roc
from ..data.cohort import SEQUENCES, Cohort
from ..data.own_image import OwnImage, UnusableImage
from ..patches import percentile_window, stretch
from ..support import is_batch
from ..words import say

if TYPE_CHECKING:  # the networks take seconds to import, and the other pieces do without
    from torch.nn import Module

    from ..own_tumour import Reference


def is_interactive() -> bool:
    """True where somebody works in the notebook; false under papermill, nbconvert and without a notebook.

    Who executes a notebook in batch cannot be asked for input, and tells its kernel so.
    """
    kernel = getattr(get_ipython(), "kernel", None)
    return not is_batch() and getattr(kernel, "_allow_stdin", False)


def explore(draw: Callable[..., plt.Figure], **controls: ipywidgets.Widget) -> ipywidgets.Widget | plt.Figure:
    """Show what `draw` draws, beside its controls, and draw anew when one of them changes.

    Args:
        draw: function from the controls' values, by name, to a figure.
        controls: widgets with a `value`.

    Returns:
        The widget; or, in batch, the figure at the controls' initial values.
    """
    if not is_interactive():
        figure = draw(**{name: control.value for name, control in controls.items()})
        plt.close(figure)  # or the notebook would show it once more
        return figure
    picture = ipywidgets.Image(format="png", layout={"max_width": "100%", "object_fit": "contain"})

    def update(*_: object) -> None:
        figure = draw(**{name: control.value for name, control in controls.items()})
        picture.value = _png(figure)

    for control in controls.values():
        control.observe(update, "value")
    update()
    return ipywidgets.VBox([picture, *controls.values()], layout={"align_items": "flex-start"})


def _png(figure: plt.Figure) -> bytes:
    """The figure as PNG; it is closed, or the notebook would show it once more."""
    file = io.BytesIO()
    figure.savefig(file, dpi=100, bbox_inches="tight")
    plt.close(figure)
    return file.getvalue()


def slice_browser(cohort: Cohort, patient: str) -> ipywidgets.Widget | plt.Figure:
    """Browse one patient's slices: slice, sequence, level and window (in intensities of 0–255), and the mask.

    It begins at the slice of the largest tumour.

    Args:
        cohort: opened.
        patient: of its index.
    """
    table = cohort.slices[cohort.slices.patient == patient]
    numbers = table.slice.tolist()
    first = int(table.slice[table.tumour_pixels.idxmax()])
    case = table.case.iloc[0]
    read = functools.lru_cache(maxsize=None)(functools.partial(cohort.read, case))
    low, high = percentile_window(read(first)[0][..., SEQUENCES.index("FLAIR")])

    def draw(number: int, sequence: str, level: int, window: int, contour: bool) -> plt.Figure:
        image, mask = read(number)
        shown = stretch(image[..., SEQUENCES.index(sequence)], (level - window / 2, level + window / 2))
        figure, axes = plt.subplots(figsize=(4.6, 4.8), layout="constrained")
        figures.show_slice(axes, shown, mask if contour else np.zeros_like(mask))
        figures.mark_sides(axes)
        axes.set_title(f"{patient}, slice {number}, {sequence}", fontsize=9)
        outlined = ", the tumour outlined" * contour
        return say(figure, f"{axes.get_title()}: a slice of the head in grey{outlined}.", figures.SIDES)

    wide = {"style": {"description_width": "6em"}, "layout": {"width": "28em"}}
    return explore(
        draw,
        number=ipywidgets.SelectionSlider(options=numbers, value=first, description="slice", **wide),
        sequence=ipywidgets.ToggleButtons(options=SEQUENCES, value="FLAIR", style={"button_width": "10em"}),
        level=ipywidgets.IntSlider(round((low + high) / 2), 0, 255, description="level", **wide),
        window=ipywidgets.IntSlider(max(round(high - low), 2), 2, 510, description="window", **wide),
        contour=ipywidgets.Checkbox(True, description="contour of the tumour", indent=False),
    )


def own_tumour(
    own: OwnImage, networks: Sequence["Module"], reference: "Reference", grown: int = 0
) -> ipywidgets.Widget | plt.Figure:
    """Move the square and the mask of a tumour by pixels, and watch patch, score and heatmap.

    Args:
        own: the image.
        networks: that score it.
        reference: the patients' scores.
        grown: pixels by which the mask is wider at first.
    """
    from ..own_tumour import assess, moved

    def draw(**shift: int) -> plt.Figure:
        square_down, square_right = shift.pop("square_down"), shift.pop("square_right")
        try:
            changed = moved(own, **shift)
        except UnusableImage as error:
            figure, axes = plt.subplots(figsize=(8, 1))
            axes.set_axis_off()
            axes.text(0.5, 0.5, error, ha="center", va="center", color="#b2182b")
            return say(figure, f"{error}.")
        return figures.own_tumour(changed, assess(changed, networks, square_down, square_right), reference)

    def slider(description: str, most: int, value: int = 0) -> ipywidgets.IntSlider:
        # Drawn when it is let go: each picture takes half a second.
        wide = {"style": {"description_width": "11em"}, "layout": {"width": "32em"}, "continuous_update": False}
        return ipywidgets.IntSlider(value, -most, most, description=description, **wide)

    return explore(
        draw,
        grown=slider("mask grows by", 10, grown),
        down=slider("mask moves down", 40),
        right=slider("mask moves right", 40),
        square_down=slider("square moves down", 40),
        square_right=slider("square moves right", 40),
    )


def threshold(y_true: np.ndarray, score: np.ndarray) -> ipywidgets.Widget | plt.Figure:
    """Drag a threshold over the patients' scores: who is called positive, the counts, the point of the ROC curve.

    It begins at log-odds 0, where a model finds both answers equally likely.

    Args:
        y_true: (N,) 0 or 1.
        score: (N,).
    """
    low, high = roc.dots_range(score)
    wide = {"style": {"description_width": "6em"}, "layout": {"width": "32em"}}
    slider = ipywidgets.FloatSlider(
        min(max(0, low), high), min=low, max=high, step=(high - low) / 200, description="threshold", **wide
    )
    return explore(functools.partial(roc.threshold_picture, y_true, score), threshold=slider)
