"""Limits of a cluster, in what SLURM's programs print and from those of the test cluster."""

import pytest

from slurm.limits import Limits, limits, parse_limits

# Lines of `scontrol show config` of SLURM 22.05.
CONFIGURATION = """Configuration data as of 2025-11-23T12:02:19
AccountingStorageEnforce = associations,limits,qos
ClusterName             = testcluster
MaxArraySize            = 1001
MaxJobCount             = 10000
MaxTasksPerNode         = 512

Cgroup Support Configuration:
"""


def test_a_cluster_without_limits_for_the_user():
    assert parse_limits(CONFIGURATION, "testcluster|research||\ntestcluster|root||\n") == Limits(1001, 10_000, None)
    assert parse_limits("", "") == Limits()


def test_the_least_limit_of_the_account_counts():
    table = "testcluster|research|300|250\ntestcluster|other|10|\nelsewhere|research|1|\n"
    assert parse_limits(CONFIGURATION, table, "research").max_submitted == 250
    assert parse_limits(CONFIGURATION, table).max_submitted == 10
    assert parse_limits(CONFIGURATION, table, "none").max_submitted is None


def test_arrays_and_room():
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
