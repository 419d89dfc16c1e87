"""After a submitter was killed half-way: which of its arrays SLURM has taken, and which it never heard of."""

from pathlib import Path

from submitit.core.utils import DelayedSubmission, JobPaths

from slurm import submissions
from slurm.job import run_task
from slurm.queue import job_named
from slurm.submissions import JOBS, Submission, folder_of, undecided, with_array


def reconcile(root: Path) -> list[str]:
    """Decide about every array of which the submitter did not write down the id; returns what was found, in words.

    What SLURM has is adopted, with the files that submitit would have put beside it; what it does not have is dropped.
    UserError if the controller does not answer: then nothing is decided. The caller holds the lock of submissions.
    """
    remarks = []
    for submission, number in undecided(root):
        array = submission.arrays[number]
        job_id = job_named(array.job_name, submission.submitted)
        current = submissions.read(root, submission.name)
        if job_id is None:
            submissions.write(
                root, with_array(current, number, dropped="its submission was cut off before SLURM had it")
            )
            remarks.append(f"{array.job_name}: was cut off before SLURM had it; its runs are free again")
        else:
            adopted = with_array(current, number, job_id=job_id)
            complete_files(root, adopted, number)
            submissions.write(root, adopted)
            remarks.append(f"{array.job_name}: SLURM has it as job {job_id}")
    return remarks


def complete_files(root: Path, submission: Submission, number: int) -> None:
    """Write the files from which an array's tasks learn what to do, where they are missing: they wait for them 60 s."""
    array = submission.arrays[number]
    for task in range(len(array.tasks)):
        paths = JobPaths(folder_of(root, submission.name) / JOBS, job_id=array.task_id(task))
        if not paths.submitted_pickle.exists():
            temporary = paths.submitted_pickle.with_suffix(".adopted")
            DelayedSubmission(run_task, str(root), submission.name, number, task).dump(temporary)
            temporary.replace(paths.submitted_pickle)
