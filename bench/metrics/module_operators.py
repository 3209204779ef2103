"""Operators by the module that executes them."""

from __future__ import annotations

from collections import Counter

from bench.hardware.subject import Subject
from bench.registry import metric
from bench.results.measurement import Reading


@metric(unit="modules", better=None, kind="static", display_name="modules with operators", bounds=(0, None))
def module_operators(subject: Subject) -> Reading:
    """Modules that execute operators; detail: the operators of each, `layers.0: convolution, relu; head: addmm 2`.

    In the order of execution. What the network executes outside of its submodules is listed under `(network)`.
    """
    modules: dict[str, Counter[str]] = {}
    for node in subject.tape.executed:
        modules.setdefault(node.module or "(network)", Counter())[node.name] += 1
    return Reading(len(modules), {"modules": "; ".join(f"{name}: {_listed(ops)}" for name, ops in modules.items())})


def _listed(operators: Counter[str]) -> str:
    return ", ".join(name if count == 1 else f"{name} {count}" for name, count in operators.items())
