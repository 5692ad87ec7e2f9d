"""Newton's method for the mode of a log-concave density."""

from collections.abc import Callable

import numpy as np

from basalt.io.errors import StudyError
from leaderboard.ratings.models import Floats

_STEPS = 100
_TOLERANCE = 1e-10


def mode(
    density: Callable[[Floats], tuple[float, Floats, Floats]], start: Floats, name: str
) -> tuple[Floats, Floats]:
    """The point of the largest log-density, and the curvature there.

    Steps that lower the log-density are halved, so a point at which it is minus infinity is never taken.

    Args:
        density: Takes a point, float64 (n,); returns the log-density, its gradient (n,) and the negative of its second
            derivatives (n, n).
        start: Point to begin with, float64 (n,).
        name: Name of the model, for the message.

    Raises:
        StudyError: the method did not converge.
    """
    point = start
    value, gradient, curvature = density(point)
    for _ in range(_STEPS):
        step = np.linalg.solve(curvature, gradient)
        # Newton's decrement: twice the gain still to be had.
        if float(gradient @ step) < _TOLERANCE**2:
            return point, curvature
        length = 1.0
        while (new := density(point + length * step))[0] < value and length > 1e-9:
            length /= 2
        point = point + length * step
        value, gradient, curvature = new
        if float(np.abs(length * step).max()) < _TOLERANCE:
            return point, curvature
    raise StudyError(f"{name} did not converge in {_STEPS} steps; please report this")
