"""Profiles: the examples are sound, and every fault is one line with the file and the field."""

import json

import pytest

from ablations.grids import runs_of
from harness.errors import UserError
from harness.settings import with_settings
from slurm.profile import Profile, examples, load, profile_from_dict, profile_to_dict


def test_every_example_is_sound_and_explains_itself():
    assert examples() == ["cpu", "gpu-preemptable", "whole-node"]
    gpu, cpu, node = (load(name) for name in ("gpu-preemptable", "cpu", "whole-node"))
    assert (gpu.gpus, gpu.requeue, gpu.partition) == (1, True, "gpu")
    assert (cpu.gpus, cpu.workers, cpu.cpus_per_task) == (0, 4, 4)
    assert node.sbatch == {"exclusive": True, "mem": 0}


def test_a_profile_file_is_loaded_by_its_path(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('time_minutes = 5\nsetup = ["module load x", "ulimit -c 0"]\n[sbatch]\nmail-type = "END"\n')
    profile = load(str(file))
    assert profile.setup == ("module load x", "ulimit -c 0")
    assert profile == Profile(time_minutes=5, setup=profile.setup, sbatch={"mail-type": "END"}, signal_seconds=120)
    assert profile_from_dict(json.loads(json.dumps(profile_to_dict(profile))), "here") == profile


@pytest.mark.parametrize(
    ("gres", "count"),
    [(None, 0), ("gpu", 1), ("gpu:3", 3), ("gpu:a100:2", 2), ("gpu:a100", 1), ("tpu:4", 0), ("gpu:2(S:0-1),nvme:1", 2),
     ("gpu:1g.10gb:2", 2 / 7), ("gpu:a100_3g.20gb", 3 / 7)],
)  # fmt: skip
def test_gpus_of_a_task(gres, count):
    assert Profile(time_minutes=5, gres=gres).gpus == pytest.approx(count)


@pytest.mark.parametrize(
    ("sbatch", "count"), [({"gpus": 2}, 2), ({"gpus-per-task": "a100:2"}, 2), ({"gpus-per-node": "h100"}, 1), ({}, 0)]
)
def test_gpus_may_be_requested_by_options_of_sbatch(sbatch, count):
    assert Profile(time_minutes=5, sbatch=sbatch).gpus == count


@pytest.mark.parametrize(
    ("fields", "models"),
    [({"gres": "gpu:a100:2"}, ("a100",)), ({"gres": "gpu:2"}, ()), ({"gres": "gpu:nvidia_l40s"}, ("nvidia_l40s",)),
     ({"gres": "gpu:2", "constraint": "h100|h200"}, ("h100", "h200")), ({"sbatch": {"gpus": "v100:1"}}, ("v100",)),
     ({"gres": "gpu:a100", "constraint": "h200"}, ("a100",)), ({}, ()), ({"gres": "gpu", "constraint": "intel&ib"}, ()),
     ({"gres": "gpu", "constraint": "[gpu_V100|h100_80gb]&fast*2"}, ("v100", "h100_80gb")),
     ({"gres": "gpu", "constraint": "rtx-a6000"}, ("rtx-a6000",))],
)  # fmt: skip
def test_models_of_the_gpus_of_a_task(fields, models):
    assert Profile(time_minutes=5, **fields).gpu_models == models


def test_packs_are_larger_on_gpus_unless_the_profile_says_otherwise():
    on_gpu = [with_settings(run, {"algorithm.kernel": "cuda"}) for run in runs_of("smoke")]
    default = Profile(time_minutes=5)
    assert (default.pack_limit(runs_of("smoke")), default.pack_limit(on_gpu)) == (4, 64)
    assert Profile(time_minutes=5, runs_per_pack=3).pack_limit(on_gpu) == 3


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "field time_minutes: is missing"),
        ('time_minutes = "5"', "field time_minutes = '5': input should be a valid integer"),
        ("time_minutes = 5\nworker = 2", "field worker: unknown; did you mean workers?"),
        ("time_minutes = 5\ncpus_per_task = 2\nworkers = 3", "workers = 3 must be at most cpus_per_task = 2"),
        ("time_minutes = 2\nsignal_seconds = 120", "signal_seconds = 120 must be shorter than time_minutes = 2"),
        ("time_minutes = 5\n[sbatch]\ntime = 3", "sbatch.time is set by the field time_minutes"),
        ("time_minutes = 5\n[sbatch]\narray = '0-3'", "sbatch.array is set by floorbench; remove it"),
        ("time_minutes = 5\n[sbatch]\nbegin = [1]", "sbatch.begin = [1] must be text, a number, true or false"),
        ("time_minutes = 5\nsetup = 'module'", "field setup = 'module': input should be a valid array"),
    ],
)
def test_faults_are_one_line_with_file_and_field(tmp_path, text, reason):
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(UserError) as caught:
        load(str(file))
    assert str(caught.value) == f"{file}: {reason}"


def test_what_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"^--cluster gpus: unknown profile; use one of cpu, gpu-preempt"):
        load("gpus")
    with pytest.raises(
        UserError, match=r"^--cluster .*/none\.toml: no such file; name a profile or the path of a TOML file$"
    ):
        load(str(tmp_path / "none.toml"))
    (tmp_path / "cut.toml").write_text("time_minutes = ")
    with pytest.raises(UserError, match=r"cut\.toml:1: not valid TOML: invalid value$"):
        load(str(tmp_path / "cut.toml"))
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"binary\.toml: is not a text file in UTF-8 \(byte \d+\)$"):
        load(str(tmp_path / "binary.toml"))
