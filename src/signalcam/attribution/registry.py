"""The registry of methods by their papers' names: registration, listing, search."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from signalcam.arrays import Array, Layered, Map
from signalcam.attribution.context import AttributionContext, Plan
from signalcam.errors import MethodError, nearest
from signalcam.targets.question import GradientKind

Formula = Callable[[Layered, Layered], Map]
Level = Literal["layer", "input", "channels"]


@dataclass(frozen=True)
class Method:
    """A registered method: its formula or its plan, and where that comes from.

    Attributes:
        name: The paper's name, in lower case with dashes.
        formula: From activations and gradients ``(b, c, p)`` to the signed map ``(b, p)``; ``None`` for
            a method that asks the model more than once.
        paper: Where the method is published.
        family: Where the evidence comes from: ``"gradient"``; ``"activation"``, which knows no target;
            ``"trials"``, what the model says to changed samples; ``"baseline"``, no explanation but what
            one must beat.
        needs_gradients: Whether the method reads the gradient at the layer.
        passes: Forward and backward passes it needs, in words: for each target, or for all together
            where it tries changed samples.
        plan: In place of a formula: from a case to one map ``(b, p)`` a target.
        kind: Which gradient the formula is given.
        at: Where the map lies: at the ``"layer"``'s positions, at the ``"input"``'s ``(b, *positions)``,
            or on every value of it, ``"channels"`` included, ``(b, *one sample)``.
    """

    name: str
    formula: Formula | None
    paper: str
    family: str = "gradient"
    needs_gradients: bool = True
    passes: str = "1 forward, 1 backward"
    plan: Plan | None = None
    kind: GradientKind = "plain"
    at: Level = "layer"

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return ((self.plan or self.formula).__doc__ or self.name).splitlines()[0]

    def maps(self, case: AttributionContext) -> Sequence[Array]:
        """Return the signed map of each target, laid out as ``at`` says."""
        if self.plan is not None:
            return self.plan(case)
        formula, targets = self.formula, range(len(case.scores))
        if formula is None:
            message = f"{self.name} has neither a formula nor a plan. Give Method(...) one of them."
            raise MethodError(message)
        if not self.needs_gradients:
            return [formula(case.a, case.a)] * len(targets)
        return [formula(case.a, case.gradient(target, self.kind)) for target in targets]


_registry: dict[str, Method] = {}


def method(
    name: str, *, paper: str, family: str = "gradient", needs_gradients: bool = True, kind: GradientKind = "plain"
) -> Callable[[Formula], Formula]:
    """Register a formula under its paper's name.

    Args:
        name: Lower case with dashes; what users pass as ``method=``.
        paper: Where the formula is published.
        family: See ``Method``.
        needs_gradients: See ``Method``.
        kind: See ``Method``.

    Example:
        >>> from signalcam.attribution.gradient import method, weigh
        >>> @method("sum-cam", paper="none")
        ... def sum_cam(a, g):
        ...     return a.sum(1)
        >>> _ = _registry.pop("sum-cam")
    """
    passes = _PASSES[kind] if needs_gradients else "1 forward"

    def register(formula: Formula) -> Formula:
        _registry[name] = Method(name, formula, paper, family, needs_gradients, passes, kind=kind)
        return formula

    return register


_PASSES: dict[GradientKind, str] = {
    "plain": "1 forward, 1 backward",
    "curved": "2 forward, 2 backward",
    "relevance": "2 forward, 1 backward",
    "rescale": "3 forward, 1 backward",
    "offset": "2 forward, 1 backward",
    "attention": "2 forward, 1 backward",
}


def register_planned(
    name: str,
    plan: Plan,
    *,
    paper: str,
    passes: str,
    family: str = "trials",
    needs_gradients: bool = False,
    at: Level = "layer",
) -> Method:
    """Register a method that runs the model more than once.

    Args:
        name: Lower case with dashes; what users pass as ``method=``.
        plan: From a ``signalcam.attribution.context.AttributionContext`` to one map a target.
        paper: Where the method is published.
        passes: What it costs, in words.
        family: See ``Method``.
        needs_gradients: See ``Method``.
        at: See ``Method``.
    """
    _registry[name] = Method(name, None, paper, family, needs_gradients, passes, plan, at=at)
    return _registry[name]


def methods() -> tuple[Method, ...]:
    """List every registered method.

    Returns:
        The methods with name, family, paper, need of gradients and passes, by name.

    Example:
        >>> import signalcam as sc
        >>> [m.name for m in sc.methods() if m.family == "activation"]
        ['eigen-cam', 'fem', 'kpca-cam']
    """
    return tuple(_registry[name] for name in sorted(_registry))


def find(spelling: object) -> Method:
    """Return the method called ``spelling``, in any of its papers' spellings.

    Raises:
        MethodError: There is no such method.
    """
    if isinstance(spelling, Method):
        return spelling
    if isinstance(spelling, str):
        spellings = {_bare(name): method for name, method in _registry.items()}
        if _bare(spelling) in spellings:
            return spellings[_bare(spelling)]
    method_name = ", ".join(sorted(_registry))
    hint = nearest(str(spelling).lower(), _registry)
    message = f"there is no method {spelling!r}.{hint} Known: {method_name} (see signalcam.methods())."
    raise MethodError(message)


def _bare(name: str) -> str:
    plain = name.lower().replace("-", "").replace("_", "").replace(" ", "")
    return plain.replace("plusplus", "pp").replace("++", "pp")
