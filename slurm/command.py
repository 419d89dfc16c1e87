"""Asking SLURM's programs."""

import os
import re
import subprocess

from harness.errors import UserError

# Seconds for one question. A controller that is away is waited for by the programs themselves, for 10 s or more.
PATIENCE = 60.0

# Words before the reason itself.
PREAMBLE = r"^(\w+: )?((error|fatal|allocation failure): )?(Batch job submission failed: )?"

# Complaints of programs that did not get the controller's whole answer, as slurm_strerror words them: "Socket timed out
# on send/recv operation", "Zero Bytes were transmitted or received", "Unexpected message received", "Message receive
# failure", "Unable to contact slurm controller (receive failure)".
NO_ANSWER = r"timed out|Zero Bytes|Unexpected message|failure\)?$"


def ask(*command: str, patience: float = PATIENCE) -> str:
    """What a program of SLURM prints; UserError with its own reason where it fails, is missing or takes too long."""
    try:
        done = subprocess.run(
            command,
            env={**os.environ, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=patience,
        )
    except FileNotFoundError:
        raise UserError(f"{command[0]}: there is no such program; this machine does not know SLURM") from None
    except subprocess.TimeoutExpired:
        raise UserError(f"{command[0]}: did not answer within {patience:.0f} s") from None
    if done.returncode != 0:
        raise UserError(f"{command[0]}: {complaint(done.stderr) or f'ended with {done.returncode}'}")
    return done.stdout


def complaint(stderr: str) -> str:
    """The reason in what a program of SLURM complains of: its first error, without the words before it."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if re.search(r"\b(error|failure|fatal):", line)] or lines
    return re.sub(PREAMBLE, "", errors[0]) if errors else ""


def is_decision(reason: str) -> bool:
    """Whether a reason is the controller's own: after any other it may have done what it was asked for all the same."""
    return reason != "" and re.search(NO_ANSWER, reason) is None
