"""SLURM's programs: answers, errors in one line, the queue and the limits of a cluster."""

import pytest

from harness.errors import UserError
from slurm.queue import Limits, QueuedTask, ask, is_refusal, limits, parse_limits, parse_queue, reason_in


def test_an_answer():
    assert ask("echo", "a", "b") == "a b\n"


def test_preferences_for_slurms_programs_do_not_take_part(monkeypatch):
    monkeypatch.setenv("SLURM_CONF", "/etc/slurm.conf")
    for name in ("SQUEUE_STATES", "SQUEUE_PARTITION", "SACCT_FORMAT", "SLURM_TIME_FORMAT", "SCANCEL_INTERACTIVE"):
        monkeypatch.setenv(name, "mine")
    lines = ask("env").splitlines()
    assert "SLURM_CONF=/etc/slurm.conf" in lines
    assert [line for line in lines if line.endswith("=mine")] == []


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (("no-such-program",), "no-such-program not found; is SLURM installed?"),
        (("sleep", "5"), "sleep: no answer within 0 s"),
        (("false",), "false: failed with exit code 1"),
        (("sh", "-c", "echo sh: error: it is so >&2; exit 3"), "sh: it is so"),
    ],
)
def test_errors_are_one_line(command, reason):
    with pytest.raises(UserError) as caught:
        ask(*command, timeout=0.3)
    assert str(caught.value) == reason


# Errors of SLURM 22.05.
ERRORS = {
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


@pytest.mark.parametrize("text", ERRORS)
def test_the_first_reason_is_used(text):
    assert reason_in(text) == ERRORS[text]


# Errors of libslurm 22.05.
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
def test_a_missing_answer_is_not_a_refusal(reason):
    assert not is_refusal(reason)


@pytest.mark.parametrize(
    "reason", ["Invalid account", "AssocGrpSubmitJobsLimit", "Required partition not available (inactive or drain)"]
)
def test_refusals(reason):
    assert is_refusal(reason)


def test_job_names_may_contain_separators():
    text = "7_3|7|PENDING|Priority||floorbench-0\n8|8|RUNNING|None|n1|a|b c\n"
    assert parse_queue(text) == [
        QueuedTask("7_3", "7", "PENDING", "Priority", "", "floorbench-0"),
        QueuedTask("8", "8", "RUNNING", "None", "n1", "a|b c"),
    ]


# Lines of `scontrol show config` of SLURM 22.05.
CONFIGURATION = """Configuration data as of 2025-11-23T12:02:19
AccountingStorageEnforce = associations,limits,qos
ClusterName             = testcluster
MaxArraySize            = 1001
MaxJobCount             = 10000
MaxTasksPerNode         = 512

Cgroup Support Configuration:
"""


def test_no_limit_for_the_user():
    assert parse_limits(CONFIGURATION, "testcluster|research||\ntestcluster|root||\n") == Limits(1001, 10_000, None)
    assert parse_limits("", "") == Limits()


def test_the_lowest_limit_of_the_account():
    table = "testcluster|research|300|250\ntestcluster|other|10|\nelsewhere|research|1|\n"
    assert parse_limits(CONFIGURATION, table, "research").max_submitted == 250
    assert parse_limits(CONFIGURATION, table).max_submitted == 10
    assert parse_limits(CONFIGURATION, table, "none").max_submitted is None


def test_largest_array_and_room():
    assert Limits(max_array_size=1001, max_job_count=500).largest_array == 499
    assert Limits(max_submitted=250).room(queued=100) == 150
    assert Limits(max_job_count=200, max_submitted=250).room(queued=100) == 99
    assert Limits(max_submitted=250).room(queued=300) == 0


@pytest.mark.slurm
def test_limits_of_the_test_cluster(at_cluster, cluster):
    assert limits() == Limits(1001, 10_000, None)
    cluster.run("sacctmgr", "--immediate", "modify", "account", "research", "set", "MaxSubmitJobs=700")
    try:
        assert limits("research").max_submitted == 700
        assert limits("root").max_submitted is None
    finally:
        cluster.run("sacctmgr", "--immediate", "modify", "account", "research", "set", "MaxSubmitJobs=-1")
