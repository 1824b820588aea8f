import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from worldloom.model import flow

TIMES = st.floats(0, 1, allow_nan=False)
FACTORS = st.floats(0.05, 20)


def pair(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, 4, 3, 2, 2, 2, generator=generator, dtype=torch.float64)


def test_t_0_is_data_and_t_1_is_noise():
    x0, noise = pair()
    assert torch.equal(flow.interpolate(x0, noise, torch.zeros(4)), x0)
    assert torch.equal(flow.interpolate(x0, noise, torch.ones(4)), noise)


@settings(deadline=None)
@given(TIMES, TIMES)
def test_a_point_and_its_velocity_give_back_data_and_noise(first, second):
    x0, noise = pair()
    t = torch.tensor([first, second, 0.0, 1.0], dtype=torch.float64)
    x_t, v = flow.interpolate(x0, noise, t), flow.velocity(x0, noise)
    torch.testing.assert_close(flow.x0_from(x_t, v, t), x0)
    torch.testing.assert_close(flow.noise_from(x_t, v, t), noise)


@settings(deadline=None)
@given(st.floats(0.1, 0.9))
def test_velocity_is_the_derivative_of_the_path(time):
    x0, noise = pair()
    times = (torch.full((4,), time + step, dtype=torch.float64) for step in (-1e-3, 1e-3))
    before, after = (flow.interpolate(x0, noise, t) for t in times)
    torch.testing.assert_close((after - before) / 2e-3, flow.velocity(x0, noise))


def test_the_time_is_not_rounded_to_the_dtype_of_the_data():
    noise = torch.linspace(1, 2, 64).bfloat16()[None]
    t = torch.tensor([0.1234567])
    x_t = flow.interpolate(torch.zeros_like(noise), noise, t)
    assert x_t.dtype == torch.bfloat16
    assert torch.equal(x_t, (noise.float() * t).bfloat16())
    assert not torch.equal(x_t, noise * t.bfloat16())  # what rounding it first would give


@settings(deadline=None)
@given(TIMES, FACTORS)
def test_shift_and_back(time, factor):
    t = torch.tensor(time, dtype=torch.float64)
    torch.testing.assert_close(flow.unshift(flow.shift(t, factor), factor), t)


@settings(deadline=None)
@given(TIMES, FACTORS, FACTORS)
def test_shifts_compose_by_multiplying_their_factors(time, first, second):
    t = torch.tensor(time, dtype=torch.float64)
    torch.testing.assert_close(flow.shift(flow.shift(t, first), second), flow.shift(t, first * second))


def test_shift_keeps_the_ends_and_7_moves_the_middle_to_seven_eighths():
    t = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    torch.testing.assert_close(flow.shift(t, 7.0), torch.tensor([0.0, 7 / 8, 1.0], dtype=torch.float64))


@pytest.mark.parametrize("factor", [0, -1, float("nan")])
def test_a_shift_that_is_not_positive_is_refused(factor):
    with pytest.raises(ValueError, match="positive"):
        flow.shift(torch.tensor(0.5), factor)


@settings(deadline=None)
@given(st.integers(1, 60), FACTORS)
def test_a_schedule_falls_strictly_from_1_to_0(steps, factor):
    times = flow.schedule(steps, factor)
    assert times.shape == (steps + 1,)
    assert times[0] == pytest.approx(1)
    assert times[-1] == 0
    assert (times.diff() < 0).all()


def test_the_released_schedule():
    times = flow.schedule(30, 1.0)
    assert times[1].item() == pytest.approx((1000 - 999 / 29) / 1000)
    assert times[-2].item() == pytest.approx(0.001)
    with pytest.raises(ValueError, match="at least one"):
        flow.schedule(0)


@settings(deadline=None)
@given(st.integers(1, 12), FACTORS)
def test_euler_is_exact_where_the_velocity_is_constant(steps, factor):
    x0, noise = pair()
    found = flow.euler(lambda x, t: flow.velocity(x0, noise), noise, flow.schedule(steps, factor))
    torch.testing.assert_close(found, x0)


def test_euler_converges_on_a_velocity_that_changes():
    # x' = x from t = 1 to 0 ends at x / e; the error of one order falls with the step.
    noise = torch.ones(1, 1, dtype=torch.float64)
    exact = float(torch.exp(torch.tensor(-1.0)))
    errors = [
        abs(flow.euler(lambda x, t: x, noise, torch.linspace(1, 0, steps + 1)).item() - exact) for steps in (20, 40)
    ]
    assert 1.8 < errors[0] / errors[1] < 2.2


def test_euler_asks_at_the_start_of_each_step_and_never_at_0():
    asked = []
    flow.euler(lambda x, t: asked.append(t) or x, torch.ones(3, 2), [1.0, 0.5, 0.25, 0.0])
    assert [t.tolist() for t in asked] == [[1.0] * 3, [0.5] * 3, [0.25] * 3]


@pytest.mark.parametrize("kind", ["uniform", "logit_normal"])
def test_times_depend_on_the_generator_alone_and_have_their_distribution(kind):
    draws = [flow.sample_times(20_000, torch.Generator().manual_seed(3), kind, 1.0) for _ in range(2)]
    assert torch.equal(*draws)
    t = draws[0]
    assert t.dtype == torch.float32
    assert t.min() >= 0
    assert t.max() <= 1
    spread = {"uniform": 1 / 12**0.5, "logit_normal": 0.2083}[kind]  # std of sigmoid(N(0, 1)), by quadrature
    assert t.mean().item() == pytest.approx(0.5, abs=0.01)
    assert t.std().item() == pytest.approx(spread, abs=0.005)


def test_times_are_shifted_after_the_draw():
    plain, shifted = (flow.sample_times(64, torch.Generator().manual_seed(1), "uniform", s) for s in (1.0, 7.0))
    torch.testing.assert_close(flow.shift(plain.double(), 7.0).float(), shifted)


def test_an_unknown_kind_of_times_is_refused():
    with pytest.raises(ValueError, match="uniform, logit_normal"):
        flow.sample_times(1, torch.Generator(), "cosine")


def test_guidance_of_1_is_conditional_0_unconditional_and_beyond_extrapolates():
    cond, uncond = torch.tensor([2.0, 3.0]), torch.tensor([1.0, 1.0])
    assert torch.equal(flow.guide(cond, uncond, 1.0), cond)
    assert torch.equal(flow.guide(cond, uncond, 0.0), uncond)
    assert flow.guide(cond, uncond, 5.0).tolist() == [6.0, 11.0]
