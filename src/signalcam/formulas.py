"""Every class activation map that is arithmetic on activations and gradients.

``a`` and ``g`` are ``(b, c, p)``: batch, channel, position. ``g`` is the gradient of the explained
score with respect to ``a``. A formula returns the signed map ``(b, p)``.
"""

from collections.abc import Callable
from dataclasses import dataclass

from signalcam.arrays import Layered, Map, Weights, namespace
from signalcam.errors import MethodError, nearest

Formula = Callable[[Layered, Layered], Map]


@dataclass(frozen=True)
class Method:
    """A registered method: its formula and where that comes from.

    Attributes:
        name: The paper's name, in lower case with dashes.
        formula: From activations and gradients ``(b, c, p)`` to the signed map ``(b, p)``.
        paper: Where the formula is published.
        family: How the method gets its evidence.
        needs_gradients: Whether a backward pass is needed.
        passes: Forward and backward passes of the network for each target, in words.
    """

    name: str
    formula: Formula
    paper: str
    family: str = "gradient"
    needs_gradients: bool = True
    passes: str = "1 forward, 1 backward"

    @property
    def summary(self) -> str:
        """The first line of the formula's docstring."""
        return (self.formula.__doc__ or self.name).splitlines()[0]


_registry: dict[str, Method] = {}


def method(name: str, *, paper: str) -> Callable[[Formula], Formula]:
    """Register a formula under its paper's name.

    Args:
        name: Lower case with dashes; what users pass as ``method=``.
        paper: Where the formula is published.

    Example:
        >>> from signalcam.formulas import method, weigh
        >>> @method("sum-cam", paper="none")
        ... def sum_cam(a, g):
        ...     return a.sum(1)
        >>> _ = _registry.pop("sum-cam")
    """

    def register(formula: Formula) -> Formula:
        _registry[name] = Method(name, formula, paper)
        return formula

    return register


def methods() -> tuple[Method, ...]:
    """List every registered method.

    Returns:
        The methods with name, family, paper, need of gradients and passes, by name.

    Example:
        >>> import signalcam as sc
        >>> [m.name for m in sc.methods()]
        ['grad-cam', 'hires-cam']
    """
    return tuple(_registry[name] for name in sorted(_registry))


def find(wanted: object) -> Method:
    """Return the method called ``wanted``, in any of its papers' spellings.

    Raises:
        MethodError: There is no such method.
    """
    if isinstance(wanted, Method):
        return wanted
    if isinstance(wanted, str):
        spellings = {_bare(name): known for name, known in _registry.items()}
        if _bare(wanted) in spellings:
            return spellings[_bare(wanted)]
    known = ", ".join(sorted(_registry))
    hint = nearest(str(wanted).lower(), _registry)
    message = f"there is no method {wanted!r}.{hint} Known: {known} (see signalcam.methods())."
    raise MethodError(message)


def _bare(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "").replace(" ", "")


def weigh(a: Layered, w: Weights) -> Map:
    """Add up the channels of ``a``, each times its weight."""
    xp = namespace(a)
    return xp.matmul(w[:, None, :], a)[:, 0, :]


@method("grad-cam", paper="Selvaraju et al. 2017, arXiv:1610.02391, eq. 1-2")
def grad_cam(a: Layered, g: Layered) -> Map:
    """Weigh each channel by the mean of its gradient.

    Averaging the gradient over positions can highlight places the network did not use
    (Draelos and Carin, arXiv:2011.08891); ``hires-cam`` cannot.
    """
    return weigh(a, namespace(g).mean(g, axis=-1))


@method("hires-cam", paper="Draelos and Carin 2020, arXiv:2011.08891, eq. 3")
def hires_cam(a: Layered, g: Layered) -> Map:
    """Multiply activation and gradient at each position and add up the channels."""
    return namespace(a).sum(a * g, axis=1)
