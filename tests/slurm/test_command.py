"""SLURM's programs: their answers, and their reasons in one line."""

import pytest

from harness.errors import UserError
from slurm.command import ask, complaint, is_decision


def test_an_answer():
    assert ask("echo", "a", "b") == "a b\n"


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (("no-such-program",), "no-such-program: there is no such program; this machine does not know SLURM"),
        (("sleep", "5"), "sleep: did not answer within 0 s"),
        (("false",), "false: ended with 1"),
        (("sh", "-c", "echo sh: error: it is so >&2; exit 3"), "sh: it is so"),
    ],
)
def test_whatever_goes_wrong_is_one_line(command, reason):
    with pytest.raises(UserError) as caught:
        ask(*command, patience=0.3)
    assert str(caught.value) == reason


# As SLURM 22.05 complains.
COMPLAINTS = {
    "sbatch: error: invalid partition specified: x\nallocation failure: Invalid partition name specified\n": (
        "invalid partition specified: x"
    ),
    "allocation failure: Requested node configuration is not available\n": (
        "Requested node configuration is not available"
    ),
    "sbatch: error: Batch job submission failed: Invalid account\n": "Invalid account",
    "sbatch: unrecognized option '--x=1'\nTry \"sbatch --help\" for more information\n": "unrecognized option '--x=1'",
    "sbatch: note\nsbatch: error: AssocMaxSubmitJobLimit\nsbatch: error: Batch job submission failed: Job violates\n": (
        "AssocMaxSubmitJobLimit"
    ),
    "\n": "",
}


@pytest.mark.parametrize("text", COMPLAINTS)
def test_the_first_reason_counts(text):
    assert complaint(text) == COMPLAINTS[text]


# Of libslurm 22.05.
@pytest.mark.parametrize(
    "reason",
    [
        "",
        "Socket timed out on send/recv operation",
        "Zero Bytes were transmitted or received",
        "Unexpected message received",
        "Message receive failure",
        "Unable to contact slurm controller (connect failure)",
    ],
)
def test_without_an_answer_nothing_is_decided(reason):
    assert not is_decision(reason)


@pytest.mark.parametrize(
    "reason", ["Invalid account", "AssocGrpSubmitJobsLimit", "Required partition not available (inactive or drain)"]
)
def test_a_refusal_is_decided(reason):
    assert is_decision(reason)
