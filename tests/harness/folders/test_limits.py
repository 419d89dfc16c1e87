"""Limits of containers and batch jobs, as the files of both versions of cgroups show them."""

import os

import pytest

from harness.folders.limits import Limits, read_limits, usable_cores, usable_memory

GB = 10**9
NONE = "9223372036854771712"


def processes(root, groups, *mounts):
    """The files of this process: its groups, and the mounts of cgroups as (top, place, type, options)."""
    folder = root / "proc/self"
    folder.mkdir(parents=True)
    (folder / "cgroup").write_text(groups + "\n")
    lines = ["25 23 0:5 / /dev rw - devtmpfs devtmpfs rw,size=5", "26 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw"]
    lines += [f"31 23 0:29 {top} {place} rw shared:9 - {kind} {kind} {options}" for top, place, kind, options in mounts]
    (folder / "mountinfo").write_text("\n".join(lines) + "\n")


VERSION_2 = ("/", "/sys/fs/cgroup", "cgroup2", "rw,nsdelegate")


def at(root, folder, **files):
    for name, text in files.items():
        file = root / "sys/fs/cgroup" / folder / name.replace("__", ".")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")


def test_half_a_core_by_version_2(tmp_path):
    """As in a container that sees its own group as the root."""
    processes(tmp_path, "0::/", VERSION_2)
    at(tmp_path, "", cpu__max="50000 100000", memory__max=str(2 * GB), memory__current=str(GB))
    at(tmp_path, "", memory__stat=f"anon 5\ninactive_file {GB // 4}")
    assert read_limits(tmp_path) == Limits(0.5, 2 * GB, GB - GB // 4)
    assert usable_cores(tmp_path) == 1
    assert usable_memory(tmp_path) == GB + GB // 4


def test_the_groups_above_count_too(tmp_path):
    """As for a batch job: the step is unlimited, the job is not."""
    processes(tmp_path, "0::/slurm/job_7/step_0", VERSION_2)
    at(tmp_path, "slurm/job_7/step_0", cpu__max="max 100000", memory__max="max")
    at(tmp_path, "slurm/job_7", cpu__max="150000 100000", memory__max=str(8 * GB), memory__current="0")
    at(tmp_path, "slurm", cpu__max="max 100000", memory__max="max")
    assert read_limits(tmp_path) == Limits(1.5, 8 * GB, 0)
    assert usable_cores(tmp_path) == 1


@pytest.mark.parametrize(("most", "high"), [("max", str(3 * GB)), (str(4 * GB), str(3 * GB)), (str(3 * GB), "max")])
def test_memory_above_which_a_group_is_slowed_down_is_not_used(tmp_path, most, high):
    """As with MemoryHigh of systemd."""
    processes(tmp_path, "0::/", VERSION_2)
    at(tmp_path, "", memory__max=most, memory__high=high, memory__current=str(GB))
    assert read_limits(tmp_path) == Limits(None, 3 * GB, GB)
    assert usable_memory(tmp_path) == 2 * GB


@pytest.mark.parametrize("folder", ["cpu,cpuacct", "cpu"])
@pytest.mark.parametrize("visible", [True, False])
def test_version_1(tmp_path, folder, visible):
    """In a container the paths of the host's groups are often missing below the mounted hierarchies."""
    groups = "12:memory:/docker/a\n4:cpu,cpuacct:/docker/a\n1:name=systemd:/docker/a"
    cpu, memory = (f"/sys/fs/cgroup/{name}" for name in (folder, "memory"))
    processes(tmp_path, groups, ("/", cpu, "cgroup", "rw,cpu,cpuacct"), ("/", memory, "cgroup", "rw,memory"))
    group = "docker/a" if visible else ""
    at(tmp_path, f"{folder}/{group}", cpu__cfs_quota_us="250000", cpu__cfs_period_us="100000")
    at(tmp_path, f"memory/{group}", memory__limit_in_bytes=str(3 * GB), memory__usage_in_bytes=str(GB))
    assert read_limits(tmp_path) == Limits(2.5, 3 * GB, GB)
    assert usable_cores(tmp_path) == min(2, len(os.sched_getaffinity(0)))


@pytest.mark.parametrize("group", ["docker/a/step", "docker/a", "other", "../b"])
def test_a_mount_whose_top_is_the_group_of_a_container(tmp_path, group):
    """The paths are those of the host; a group inside the container is below the mount."""
    processes(tmp_path, f"4:cpu:/{group}", ("/docker/a", "/sys/fs/cgroup/cpu", "cgroup", "rw,cpu"))
    at(tmp_path, "cpu", cpu__cfs_quota_us="200000", cpu__cfs_period_us="100000")
    at(tmp_path, "cpu/step", cpu__cfs_quota_us="50000", cpu__cfs_period_us="100000")
    assert read_limits(tmp_path).cores == (0.5 if group.endswith("step") else 2.0)


def test_hierarchies_anywhere(tmp_path):
    """Both versions at once, version 2 beside version 1, and a place with a blank in its name."""
    cpu = ("/", "/sys/fs/cgroup/a\\040place", "cgroup", "rw,cpu")
    processes(tmp_path, "4:cpu:/b\n0::/b", cpu, ("/", "/sys/fs/cgroup/unified", "cgroup2", "rw"))
    at(tmp_path, "a place/b", cpu__cfs_quota_us="150000", cpu__cfs_period_us="100000")
    at(tmp_path, "unified/b", memory__max=str(GB), memory__current="7")
    assert read_limits(tmp_path) == Limits(1.5, GB, 7)


def test_without_limits(tmp_path):
    affinity = len(os.sched_getaffinity(0))
    assert (read_limits(tmp_path), usable_cores(tmp_path), usable_memory(tmp_path)) == (Limits(), affinity, None)
    cpu, memory = (("/", f"/sys/fs/cgroup/{name}", "cgroup", f"rw,{name}") for name in ("cpu", "memory"))
    processes(tmp_path, "4:cpu:/\n3:memory:/\n0::/", cpu, memory)
    at(tmp_path, "cpu", cpu__cfs_quota_us="-1", cpu__cfs_period_us="100000")
    at(tmp_path, "memory", memory__limit_in_bytes=NONE, memory__usage_in_bytes="5")
    assert (read_limits(tmp_path), usable_cores(tmp_path), usable_memory(tmp_path)) == (Limits(), affinity, None)
