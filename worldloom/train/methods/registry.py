"""The method of a recipe."""

from __future__ import annotations

from worldloom.train.method import Method
from worldloom.train.methods.flow_matching import FlowMatching
from worldloom.train.methods.revisit_dense import RevisitDense
from worldloom.train.recipe import Recipe


def build_method(recipe: Recipe) -> Method:
    """The method that a recipe names, checked against it.

    Raises:
        UsageError: the recipe asks for what the method cannot do.
    """
    config = recipe.method
    method = RevisitDense(config) if config.kind == "revisit_dense" else FlowMatching(config)
    method.check(recipe)
    return method
