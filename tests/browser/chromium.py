"""Debian's chromium for the browser tests: where it is and how to install it.

python -m tests.browser.chromium: install what is missing; exits with code 2 and a one-line message on failure.
"""

import os
import shutil
import subprocess
import sys

PACKAGES = ("chromium", "fonts-dejavu-core")

# Timeout of each apt-get step in seconds.
TIMEOUT = 600.0


def chromium() -> str | None:
    """The path of the executable, or None."""
    return shutil.which("chromium")


def install() -> str | None:
    """Install chromium if it is missing; return None, or the reason for a failure."""
    if chromium():
        return None
    if shutil.which("apt-get") is None:
        return "not installed, and apt-get is not available; install chromium by hand"
    if os.geteuid() != 0:
        return f"not installed; install it as root: sudo apt-get install --no-install-recommends {' '.join(PACKAGES)}"
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    for arguments in (["update"], ["install", "--yes", "--no-install-recommends", *PACKAGES]):
        command = ["apt-get", "-q", *arguments]
        try:
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            return f"apt-get {arguments[0]} did not finish within {TIMEOUT:.0f} s"
        if done.returncode != 0:
            errors = [line for line in done.stderr.splitlines() if line.startswith("E:")]
            return f"apt-get {arguments[0]} failed: {(errors or ['unknown error'])[0]}"
    return None if chromium() else "not found after the installation"


if __name__ == "__main__":
    if reason := install():
        print(f"chromium: {reason}", file=sys.stderr)
        sys.exit(2)
