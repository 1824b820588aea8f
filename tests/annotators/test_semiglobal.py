from __future__ import annotations

import numpy as np

from worldloom.annotators.semiglobal import smooth_costs


def slow_twin(cost: np.ndarray, guide: np.ndarray, small: float, large: float) -> np.ndarray:
    """The recursion written out pixel by pixel; like ours, a path that leaves the picture sideways repeats its edge."""
    planes, height, width = cost.shape
    total = np.zeros_like(cost)
    for dy, dx in [(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1)]:
        path = np.zeros_like(cost)
        for y in range(height) if dy >= 0 else range(height - 1, -1, -1):
            for x in range(width) if dx >= 0 else range(width - 1, -1, -1):
                y0, x0 = y - dy, x - dx
                if not 0 <= y0 < height or (dy == 0 and not 0 <= x0 < width):
                    path[:, y, x] = cost[:, y, x]
                    continue
                x0 = min(max(x0, 0), width - 1)
                before = path[:, y0, x0]
                jump = max(small, large / (1 + abs(guide[y, x] - guide[y0, x0]) / 8))
                for d in range(planes):
                    steps = [before[d], before.min() + jump]
                    steps += [before[k] + small for k in (d - 1, d + 1) if 0 <= k < planes]
                    path[d, y, x] = cost[d, y, x] + min(steps) - before.min()
        total += path
    return total


def test_agrees_with_the_recursion_written_out():
    rng = np.random.default_rng(0)
    cost = rng.random((5, 6, 7)).astype(np.float32)
    guide = rng.uniform(0, 255, (6, 7)).astype(np.float32)
    np.testing.assert_allclose(smooth_costs(cost, guide, 0.05, 0.6), slow_twin(cost, guide, 0.05, 0.6), rtol=1e-4)


def test_one_wrong_pixel_in_a_flat_part_is_outvoted_and_an_edge_is_kept():
    cost = np.ones((4, 9, 12), np.float32)
    cost[1, :, :6], cost[3, :, 6:] = 0, 0
    cost[:, 4, 3] = [0.35, 0.4, 1, 0.3]
    guide = np.zeros((9, 12), np.float32)
    guide[:, 6:] = 200
    winner = smooth_costs(cost, guide, 0.1, 0.8).argmin(0)
    assert (winner[:, :6] == 1).all()
    assert (winner[:, 6:] == 3).all()
