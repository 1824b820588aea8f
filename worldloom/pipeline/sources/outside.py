"""Sources that are not part of worldloom: a job names their class, `kind: "module:Class"`, like an annotator's."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from pydantic import ValidatorFunctionWrapHandler

from worldloom.catalogs.config import load
from worldloom.catalogs.errors import UsageError
from worldloom.pipeline.sources.source import Source


def of_any_module(value: Any, ours: ValidatorFunctionWrapHandler) -> Any:
    """A source as a job has it: one of another module is checked by its own class, every other one is ours.

    Args:
        value: plain data, or a source.
        ours: checks one of ours.

    Raises:
        UsageError: the class cannot be loaded, or refuses a key.
    """
    if isinstance(value, Mapping) and isinstance(kind := value.get("kind"), str) and ":" in kind:
        return load(source_class(kind), value, where=f"sources: {kind}")
    return value if isinstance(value, Source) else ours(value)


def source_class(place: str) -> type[Source]:
    """The class at `module:Class`, as a job's `kind` names a source that is not one of ours.

    Raises:
        UsageError: it cannot be loaded, or is no source.
    """
    module, _, name = place.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        remedy = "install it, or put its folder on PYTHONPATH"
        raise UsageError(f"sources: '{place}' cannot be loaded ({error}); {remedy}") from None
    if not (isinstance(found, type) and issubclass(found, Source)):
        raise UsageError(f"sources: '{place}' is not a subclass of worldloom.pipeline.sources.source.Source")
    return found
