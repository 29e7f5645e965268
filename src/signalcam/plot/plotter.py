"""Choose the figure that fits."""


class Plotter:
    """x."""

    def __init__(self, exp: object) -> None:
        self.exp = exp
