"""Tabular critics follow the gradient flow of the critic loss."""

from math import inf

import pytest
import torch

from ablations.exact.problems import ROWS, action_value, chain, garnet, greedy, one_state, policy_value
from ablations.exact.tabular import (
    CriticTables,
    Rows,
    expectation,
    no_floor,
    scalars,
    soft_maximum,
    soft_maximum_of,
)
from algorithms.critic_loss import critic_loss


def numbers(*values):
    return torch.tensor(values, dtype=torch.float64)


GOOD = numbers([1.0, 0.0])


def test_rows_have_the_frequencies_of_the_behaviour_policy():
    problem = garnet(0)
    rows = Rows.of(problem)
    counts = torch.zeros_like(problem.behaviour)
    for state, action in zip(rows.states.tolist(), rows.actions.tolist(), strict=True):
        counts[state, action] += 1 / ROWS
    torch.testing.assert_close(counts, problem.behaviour)


def test_tables_reproduce_the_numbers_of_the_tutorial():
    """alpha 60, the policy's action has half of the data: -5 - 60 / 2 (1 / 0.5 - 1) = -35."""
    problem = one_state((-5.0, -15.0), (0.5, 0.5))
    floors = numbers([-inf], [-10.0]).expand(-1, ROWS)
    tables = CriticTables(problem, expectation(GOOD), numbers(60.0, 60.0), floors).converge()
    assert tables[:, 0].tolist() == [[pytest.approx(-35.0), pytest.approx(15.0)], [-10.0, pytest.approx(15.0)]]


def test_without_a_regulariser_a_table_has_the_values_of_the_policy():
    problem = garnet(1)
    policy = greedy(problem.reward)
    table = CriticTables(problem, expectation(policy), numbers(0.0), no_floor(1, Rows.of(problem))).converge()[0]
    torch.testing.assert_close(table, action_value(problem, policy_value(problem, policy)), rtol=0, atol=1e-7)


@pytest.mark.parametrize("masking", ["per_action", "expectation"])
def test_a_table_does_not_depend_on_other_tables(masking):
    problem = garnet(2, states=5)
    rows = Rows.of(problem)
    floors = torch.stack((policy_value(problem, problem.behaviour)[rows.states], no_floor(1, rows)[0]))
    push_down = expectation(problem.behaviour, masking)
    both = CriticTables(problem, push_down, numbers(3.0, 1.0), floors)
    alone = CriticTables(problem, push_down, numbers(3.0), floors[:1])
    for _ in range(50):
        both.step(0.5)
        alone.step(0.5)
    assert torch.equal(both.values[0], alone.values[0])


def test_velocity_is_the_scaled_negative_gradient_of_the_loss():
    """Central differences of the loss with a fixed target, at a table with no value on a floor."""
    problem = chain(3, slip=0.2, discount=0.9)
    rows = Rows.of(problem)
    floor = numbers(*(-4.0 - 0.01 * row for row in range(len(rows.states))))[None]
    start = torch.randn(1, 3, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 4.0
    tables = CriticTables(problem, soft_maximum(problem), numbers(2.0), floor, start)
    target = tables.targets()

    def loss(table):
        values = table.flatten()[tables._cells][None, None]
        density = tables._log_density[None]
        return critic_loss(values, target, density, floor, tables.push_down.form, scalars(tables.alpha)).loss.item()

    velocity = tables.velocity()[0]
    for state, action in ((0, 0), (1, 1), (2, 0)):
        perturbation = torch.zeros(3, 2, dtype=torch.float64)
        perturbation[state, action] = 1e-6
        gradient = (loss(start[0] + perturbation) - loss(start[0] - perturbation)) / 2e-6
        assert velocity[state, action].item() == pytest.approx(-gradient / (2 * tables.share[state, action].item()))


@pytest.mark.parametrize("form", ["expectation", "soft maximum"])
@pytest.mark.parametrize("start", [0.0, -3.0])
def test_a_value_without_data_converges_exactly_to_its_floor(form, start):
    problem = one_state((-1.0, -5.0), (1.0, 0.0))
    push_down = expectation(numbers([0.5, 0.5])) if form == "expectation" else soft_maximum(problem)
    floor = torch.full((1, ROWS), -2.0, dtype=torch.float64)
    begin = numbers([[-1.0, start]])
    table = CriticTables(problem, push_down, numbers(5.0), floor, begin).converge()
    assert table[0, 0, 1].item() == min(start, -2.0)


def test_a_mean_converges_to_its_floor():
    """Actions with values -9 and -11, a policy of 5/8 and 3/8, and a floor of -9.5: the mean stops there."""
    problem = one_state((-9.0, -11.0), (0.5, 0.5))
    policy = numbers([0.625, 0.375])
    floor = torch.full((1, ROWS), -9.5, dtype=torch.float64)
    table = CriticTables(problem, expectation(policy, "expectation"), numbers(10.0), floor).converge()
    assert (policy * table[0]).sum().item() == pytest.approx(-9.5, abs=1e-12)
    # On the floor, a fraction m of the push-down acts: the mean value -9.75 plus 5 (1 - 2 m sum of pi^2) is -9.5.
    fraction = (5.0 + 9.5 - 9.75) / (5.0 * (0.625**2 + 0.375**2) * 2)
    expected = [value + 5.0 * (1 - fraction * share * 2) for value, share in ((-9.0, 0.625), (-11.0, 0.375))]
    assert table[0, 0].tolist() == pytest.approx(expected, abs=1e-8)


def test_noise_free_importance_sampling_equals_the_soft_maximum():
    problem = garnet(3, states=4)
    rows = Rows.of(problem)
    exact = CriticTables(problem, soft_maximum(problem), numbers(2.0), no_floor(1, rows))
    weighted = CriticTables(problem, soft_maximum_of(problem.behaviour), numbers(2.0), no_floor(1, rows))
    difference = exact.velocity() - weighted.velocity()
    # The two differ only in the backup, and tables of zeros have equal backups.
    torch.testing.assert_close(difference, torch.zeros_like(difference), rtol=0, atol=1e-12)


def test_a_policy_in_other_units_raises():
    with pytest.raises(ValueError, match="multiples of 1/8"):
        expectation(numbers([0.3, 0.7]))


def test_tables_that_do_not_converge_raise():
    problem = one_state((-1.0, -5.0), (1.0, 0.0))
    tables = CriticTables(problem, expectation(numbers([0.0, 1.0])), numbers(1.0), no_floor(1, Rows.of(problem)))
    with pytest.raises(RuntimeError, match="not converged after 50 steps"):
        tables.converge(limit=50)
