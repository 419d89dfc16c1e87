"""Check a file of reference values against this project's functions: `python -m tests.support.golden FILE.npz`.

The cases are critic losses with gradients, or returns-to-go, in the format of tests/algorithms/golden_cases/README.md;
their options are in a JSON file of the same name. Prints the largest relative error; exit code 1 if it exceeds the
tolerance.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from algorithms.critic_loss import (
    CriticLoss,
    CriticLossForm,
    CriticLossScalars,
    TargetInputs,
    bellman_target,
    bound_rate,
    critic_loss,
    uniform_log_density,
)
from algorithms.floors import return_to_go

TOLERANCE = 1e-6


def relative_error(ours: np.ndarray, golden: np.ndarray) -> float:
    """Largest relative error of the elements; the denominator is at least 1e-9 of the largest element."""
    ours, golden = np.asarray(ours, dtype=np.float64), np.asarray(golden, dtype=np.float64)
    if ours.shape != golden.shape or not (np.isfinite(ours) & np.isfinite(golden)).all():
        return float("inf")
    scale = np.abs(golden) + 1e-9 * np.abs(golden).max() + np.finfo(np.float64).tiny
    return float((np.abs(ours - golden) / scale).max())


def critic_case(
    options: dict, given: dict[str, np.ndarray], loss: Callable[..., CriticLoss] = critic_loss
) -> dict[str, np.ndarray]:
    """Outputs of one critic-loss case, computed by `loss` in float64 as a pack of one run."""
    tensor = {name: torch.from_numpy(array).double() for name, array in given.items()}

    def both(name: str) -> torch.Tensor:
        return torch.stack((tensor[f"q1_{name}"], tensor[f"q2_{name}"]))[None]

    def scalar(value: float) -> torch.Tensor:
        return torch.tensor([value], dtype=torch.float64)

    next_values = torch.stack((tensor["target_q1"], tensor["target_q2"]))[None]
    next_log_prob = tensor["log_prob_target"][None]
    if not options["max_target_backup"]:
        next_values, next_log_prob = next_values.unsqueeze(-1), next_log_prob.unsqueeze(-1)
    inputs = TargetInputs(
        tensor["reward"][None],
        tensor["done"][None],
        scalar(options["discount"]),
        next_values,
        next_log_prob,
        "min_then_max" if options["max_target_backup"] else "off",
        scalar(options["entropy_temperature"]) if options["backup_entropy"] else None,
    )
    target = bellman_target(inputs)
    floor = tensor["floor"] if options["calibrated"] else torch.full_like(tensor["floor"], -torch.inf)
    n = options["n_actions"]
    values = torch.cat((both("data").unsqueeze(-1), both("random"), both("current"), both("next")), dim=-1)
    uniform = torch.full_like(tensor["log_prob_current"], uniform_log_density(options["action_dim"]))
    log_density = torch.cat((uniform, tensor["log_prob_current"], tensor["log_prob_next"]), dim=-1)
    result = loss(
        values,
        target,
        log_density[None],
        floor[None],
        CriticLossForm("soft_maximum", options["importance_sampling"], options["lagrange"]),
        CriticLossScalars(
            alpha=scalar(options["alpha"]),
            temperature=scalar(options["temperature"]),
            target_action_gap=scalar(options["target_action_gap"]),
            difference_min=scalar(options["clip_difference_min"]),
            difference_max=scalar(options["clip_difference_max"]),
            raw_multiplier=scalar(options["log_lagrange_multiplier"]),
        ),
    )
    # Bound rates refer to the given floor, even in cases without calibration.
    sampled, given_floor = values[..., 1:], tensor["floor"][None]
    outputs = {
        "critic_loss": result.loss[0],
        "bound_rate_current": bound_rate(sampled[..., n : 2 * n], given_floor)[0],
        "bound_rate_next": bound_rate(sampled[..., 2 * n :], given_floor)[0],
    }
    if options["lagrange"]:
        outputs["lagrange_loss"] = result.lagrange_loss[0]
    for critic in (0, 1):
        of_data, *of_sampled = result.gradient[0, critic].split((1, n, n, n), dim=-1)
        outputs[f"grad_q{critic + 1}_data"] = of_data.squeeze(-1)
        for kind, gradient in zip(("random", "current", "next"), of_sampled, strict=True):
            outputs[f"grad_q{critic + 1}_{kind}"] = gradient
    return {name: value.numpy() for name, value in outputs.items()}


def return_case(options: dict, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return-to-go of one trajectory."""
    values = return_to_go(
        torch.from_numpy(given["reward"]),
        torch.from_numpy(given["terminated"]).bool(),
        options["discount"],
        failure_reward=options["failure_reward"],
    )
    return {"return_to_go": values.numpy()}


def check(file: Path, loss: Callable[..., CriticLoss] = critic_loss) -> float:
    """Print the largest relative error of `loss` per output of a file; returns the largest of all."""
    arrays = np.load(file)
    cases = json.loads(file.with_suffix(".json").read_text())
    worst: dict[str, float] = {}
    for number, options in enumerate(cases):
        case = {key.split("/", 1)[1]: arrays[key] for key in arrays.files if int(key.split("/", 1)[0]) == number}
        if "return_to_go" in case:
            expected = {"return_to_go": case.pop("return_to_go")}
            outputs = return_case(options, case)
        else:
            expected = {key[4:]: value for key, value in case.items() if key.startswith("out/")}
            outputs = critic_case(
                options, {key[3:]: value for key, value in case.items() if key.startswith("in/")}, loss
            )
        for name, value in expected.items():
            worst[name] = max(worst.get(name, 0.0), relative_error(outputs[name], value))
    for name, error in worst.items():
        print(f"{name:24s} {error:.2e}")
    return max(worst.values())


def main(arguments: list[str]) -> int:
    """Command line; returns the exit code."""
    if len(arguments) != 1 or not Path(arguments[0]).with_suffix(".json").exists():
        print("usage: python -m tests.support.golden FILE.npz (with FILE.json in the same folder)", file=sys.stderr)
        return 2
    worst = check(Path(arguments[0]))
    print(f"largest relative error   {worst:.2e}")
    return 0 if worst < TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
