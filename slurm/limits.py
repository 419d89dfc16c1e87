"""What a cluster lets one user put into its queue."""

import re
from dataclasses import dataclass

from harness.errors import UserError
from slurm.command import ask


@dataclass(frozen=True)
class Limits:
    """The defaults are SLURM's own."""

    # Largest index of an array task, plus 1.
    max_array_size: int = 1001
    # Jobs the controller keeps, every array task one of them, whoever's they are; the one that would be the last it
    # refuses.
    max_job_count: int = 10_000
    # Jobs of this user that may wait or run at once; None: as many as the controller keeps.
    max_submitted: int | None = None

    @property
    def largest_array(self) -> int:
        """Tasks that one array can have."""
        return min(self.max_array_size, self.max_job_count - 1)

    def room(self, queued: int) -> int:
        """Tasks that can still be submitted by a user who has `queued` in the queue, as far as is known."""
        kept = self.max_job_count - 1
        return max(0, (kept if self.max_submitted is None else min(self.max_submitted, kept)) - queued)


def limits(account: str | None = None) -> Limits:
    """The limits of the cluster at hand, for jobs of an account (None: the user's own).

    Raises UserError if the controller does not answer; without accounting nobody has a limit of his own.
    """
    configuration = ask("scontrol", "show", "config")
    try:
        associations = ask(
            "sacctmgr", "--noheader", "--parsable2", "show", "associations", "where", f"user={_user()}",
            "format=Cluster,Account,MaxSubmit,GrpSubmit",
        )  # fmt: skip
    except UserError:
        associations = ""
    return parse_limits(configuration, associations, account)


def parse_limits(configuration: str, associations: str, account: str | None = None) -> Limits:
    """Limits in what `scontrol show config` and `sacctmgr show associations` print."""
    found = dict(re.findall(r"^(\w+)\s*= (.*)$", configuration, re.MULTILINE))
    cluster = found.get("ClusterName", "")
    own = []
    for line in associations.splitlines():
        words = line.split("|")
        if words[0] == cluster and account in (None, words[1]):
            own += [int(word) for word in words[2:] if word.isdigit()]
    default = Limits()
    return Limits(
        max_array_size=int(found.get("MaxArraySize", default.max_array_size)),
        max_job_count=int(found.get("MaxJobCount", default.max_job_count)),
        max_submitted=min(own, default=None),
    )


def _user() -> str:
    import getpass

    return getpass.getuser()
