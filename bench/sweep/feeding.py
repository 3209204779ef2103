"""The network of a request together with what it is called with: an image of the workload's shape, or its inputs."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from bench.hardware.subject import Subject
from bench.registry.callables import OwnArchitecture, module_of, named
from bench.registry.targets import runnable
from bench.results.keys import Request
from bench.spec.inputs import inputs_of, is_reference, parsed
from bench.sweep.subjects import subject_of

if TYPE_CHECKING:
    from bench.hardware.arguments import Arguments


def fed_subject(request: Request, plugins: tuple[str, ...]) -> Subject:
    """The subject of a request; of a user's own network, what it returns may be any object.

    Raises RegistryError for a name that does not exist, ValueError for example inputs without tensor.
    """
    subject, inputs = subject_of(request, plugins), inputs_of(request.workload)
    if not inputs and not isinstance(runnable(request.variant.architecture, plugins), OwnArchitecture):
        return subject
    from bench.hardware.arguments import FedSubject, fitted

    arguments = _arguments(inputs, subject, request.variant.values) if inputs else None
    values: dict[str, Any] = {each.name: getattr(subject, each.name) for each in fields(Subject)}
    values["build"] = lambda: fitted(subject.build(), arguments)
    if arguments is not None:
        values["shape"] = tuple(arguments.tensors[0].shape[1:])
    return FedSubject(**values, arguments=arguments)


def _arguments(inputs: str, subject: Subject, axes: Mapping[str, Any]) -> Arguments:
    import torch

    from bench.hardware.arguments import Arguments, drawn

    torch.manual_seed(subject.seed)
    example = _example(inputs, {**axes, "batch": subject.batch}) if is_reference(inputs) else inputs
    return Arguments.of(drawn(parsed(example), subject.batch, subject.seed) if isinstance(example, str) else example)


def _example(reference: str, values: Mapping[str, Any]) -> Any:
    """What a name in a file has or gives: a function gets the batch size and the axes that it has parameters for."""
    where, _, attribute = reference.rpartition(":")
    example = named(module_of(where), attribute, where)
    if not callable(example):
        return example
    return example(**{name: values[name] for name in inspect.signature(example).parameters if name in values})
