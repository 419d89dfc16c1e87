"""Limits of containers and batch jobs, as the files of both versions of cgroups show them."""

import os

import pytest

from harness.folders.limits import Limits, read_limits, usable_cores, usable_memory

GB = 10**9
NONE = "9223372036854771712"


def tree(root, **files):
    """A file system with these files; underscores twice in a name stand for a slash."""
    for name, text in files.items():
        file = root / name.replace("__", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    return root


def at(root, folder, **files):
    for name, text in files.items():
        file = root / "sys/fs/cgroup" / folder / name.replace("__", ".")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")


def test_half_a_core_by_version_2(tmp_path):
    """As in a container that sees its own group as the root."""
    tree(tmp_path, proc__self__cgroup="0::/")
    at(tmp_path, "", cpu__max="50000 100000", memory__max=str(2 * GB), memory__current=str(GB))
    at(tmp_path, "", memory__stat=f"anon 5\ninactive_file {GB // 4}")
    assert read_limits(tmp_path) == Limits(0.5, 2 * GB, GB - GB // 4)
    assert usable_cores(tmp_path) == 1
    assert usable_memory(tmp_path) == GB + GB // 4


def test_the_groups_above_count_too(tmp_path):
    """As for a batch job: the step is unlimited, the job is not."""
    tree(tmp_path, proc__self__cgroup="0::/slurm/job_7/step_0")
    at(tmp_path, "slurm/job_7/step_0", cpu__max="max 100000", memory__max="max")
    at(tmp_path, "slurm/job_7", cpu__max="150000 100000", memory__max=str(8 * GB), memory__current="0")
    at(tmp_path, "slurm", cpu__max="max 100000", memory__max="max")
    assert read_limits(tmp_path) == Limits(1.5, 8 * GB, 0)
    assert usable_cores(tmp_path) == 1


@pytest.mark.parametrize(("most", "high"), [("max", str(3 * GB)), (str(4 * GB), str(3 * GB)), (str(3 * GB), "max")])
def test_memory_above_which_a_group_is_slowed_down_is_not_used(tmp_path, most, high):
    """As with MemoryHigh of systemd."""
    tree(tmp_path, proc__self__cgroup="0::/")
    at(tmp_path, "", memory__max=most, memory__high=high, memory__current=str(GB))
    assert read_limits(tmp_path) == Limits(None, 3 * GB, GB)
    assert usable_memory(tmp_path) == 2 * GB


@pytest.mark.parametrize("folder", ["cpu,cpuacct", "cpu"])
@pytest.mark.parametrize("visible", [True, False])
def test_version_1(tmp_path, folder, visible):
    """In a container the paths of the host's groups are often missing below the mounted hierarchies."""
    tree(tmp_path, proc__self__cgroup="12:memory:/docker/a\n4:cpu,cpuacct:/docker/a\n1:name=systemd:/docker/a")
    group = "docker/a" if visible else ""
    at(tmp_path, f"{folder}/{group}", cpu__cfs_quota_us="250000", cpu__cfs_period_us="100000")
    at(tmp_path, f"memory/{group}", memory__limit_in_bytes=str(3 * GB), memory__usage_in_bytes=str(GB))
    assert read_limits(tmp_path) == Limits(2.5, 3 * GB, GB)
    assert usable_cores(tmp_path) == min(2, len(os.sched_getaffinity(0)))


def test_without_limits(tmp_path):
    affinity = len(os.sched_getaffinity(0))
    assert (read_limits(tmp_path), usable_cores(tmp_path), usable_memory(tmp_path)) == (Limits(), affinity, None)
    tree(tmp_path, proc__self__cgroup="4:cpu:/\n3:memory:/\n0::/")
    at(tmp_path, "cpu", cpu__cfs_quota_us="-1", cpu__cfs_period_us="100000")
    at(tmp_path, "memory", memory__limit_in_bytes=NONE, memory__usage_in_bytes="5")
    assert (read_limits(tmp_path), usable_cores(tmp_path), usable_memory(tmp_path)) == (Limits(), affinity, None)
