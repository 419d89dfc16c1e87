"""Configuration files of a cluster, and settings that are refused."""

import re
import stat
from pathlib import Path

import pytest

from harness.errors import UserError
from tests.support.testcluster import configuration
from tests.support.testcluster.configuration import Settings, check_folder, node_names, write_configuration


@pytest.fixture
def written(tmp_path):
    """A function that writes the files for settings and returns their text by name."""

    def write(settings, name="cluster"):
        (tmp_path / name / "etc").mkdir(parents=True)
        write_configuration(tmp_path / name, settings, 20_000)
        return {file.name: file.read_bytes().decode(errors="replace") for file in (tmp_path / name / "etc").iterdir()}

    return write


def values(text):
    """The settings of a SLURM file."""
    return dict(re.findall(r"^(\w+)=(\S+)", text, re.MULTILINE))


def test_only_accounting_needs_a_database(written):
    plain, full = written(Settings(accounting=False), "plain"), written(Settings(), "full")
    assert set(plain) == {"slurm.conf", "gres.conf", "cgroup.conf", "munge.key"}
    assert set(full) - set(plain) == {"slurmdbd.conf", "my.cnf", "database.sql"}
    assert values(plain["slurm.conf"])["AccountingStorageType"] == "accounting_storage/none"
    assert "AccountingStorageTRES" not in plain["slurm.conf"]
    assert values(full["slurm.conf"])["AccountingStoragePort"] == "20002" == values(full["slurmdbd.conf"])["DbdPort"]


def test_every_node_has_a_port_and_every_gpu_a_device(written):
    files = written(Settings(nodes=3, gpus=2, cpus=5, max_array_size=77))
    nodes = ",".join(node_names(3))
    assert f"NodeName={nodes} " in files["slurm.conf"]
    assert "Port=[20003-20005]" in files["slurm.conf"]
    assert "CPUs=5 RealMemory=16000 Gres=gpu:2 " in files["slurm.conf"]
    assert values(files["slurm.conf"])["SlurmctldPort"] == "20001"
    assert values(files["slurm.conf"])["MaxArraySize"] == "77"
    assert re.findall(r"Name=gpu File=(\S+)", files["gres.conf"]) == ["/dev/null", "/dev/zero"]
    assert all(stat.S_ISCHR(Path(device).stat().st_mode) for device in configuration.CHARACTER_DEVICES)


def test_clusters_differ_in_their_keys_and_first_job_ids(written):
    files = [written(Settings(accounting=False), name) for name in "abcd"]
    assert len({text["munge.key"] for text in files}) == 4
    assert len({values(text["slurm.conf"])["FirstJobId"] for text in files}) > 1


def test_files_are_private(written, tmp_path):
    written(Settings())
    assert {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "cluster" / "etc").iterdir()} == {0o600}


@pytest.mark.parametrize(
    ("host", "names"),
    [
        ("vm", ("vm", "localhost", "node3")),
        ("localhost", ("localhost", "node2", "node3")),
        ("runner-with-a-very-long-name-0123456789", ("localhost", "node2", "node3")),
    ],
)
def test_the_first_nodes_have_names_that_resolve(monkeypatch, host, names):
    monkeypatch.setattr(configuration, "host_name", lambda: host)
    assert node_names(3) == names
    assert node_names(1) == names[:1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nodes": 0}, "nodes = 0: must be from 1 to 13"),
        ({"gpus": 7}, "gpus = 7: must be from 0 to 6"),
        ({"max_array_size": 1}, "max_array_size = 1: must be from 2 to 4000001"),
    ],
)
def test_settings_have_limits(change, message):
    with pytest.raises(UserError, match=f"^{message}$"):
        Settings(**change)


def test_paths_that_are_too_long_for_sockets_are_refused(monkeypatch):
    monkeypatch.setattr(configuration, "host_name", lambda: "vm")
    # "/spool/localhost/localhost_67108863.4294967295" has 46 characters, and 107 are allowed.
    check_folder(Path("/" + 60 * "x"), 2)
    with pytest.raises(UserError, match="1 bytes too long for sockets"):
        check_folder(Path("/" + 61 * "x"), 2)
    with pytest.raises(UserError, match="not a path that SLURM can handle"):
        check_folder(Path("/my cluster"), 2)
