"""One training in a process of its own, to be killed: `python child.py RECIPE.yaml`."""

from __future__ import annotations

import sys

from worldloom.train.loop import train
from worldloom.train.recipe import load_recipe

if __name__ == "__main__":
    sys.exit(train(load_recipe(sys.argv[1])).exit_code)
