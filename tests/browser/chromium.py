"""Debian's chromium, in which the pages are tested: where it is, and how it gets there.

python -m tests.browser.chromium: installs what is missing; exit code 2 and one line where that is not possible.
"""

import os
import shutil
import subprocess
import sys

PACKAGES = ("chromium", "fonts-dejavu-core")

# Seconds that apt may take for each of its two steps.
PATIENCE = 600.0


def chromium() -> str | None:
    """The path of the program, or None."""
    return shutil.which("chromium")


def install() -> str | None:
    """Install it if it is missing; None, or why that is not possible here."""
    if chromium():
        return None
    if shutil.which("apt-get") is None:
        return "chromium is missing, and this system has no apt-get"
    if os.geteuid() != 0:
        return f"only root can install it: sudo apt-get install --no-install-recommends {' '.join(PACKAGES)}"
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    for arguments in (["update"], ["install", "--yes", "--no-install-recommends", *PACKAGES]):
        command = ["apt-get", "-q", *arguments]
        try:
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            return f"apt-get {arguments[0]} did not end within {PATIENCE:.0f} s"
        if done.returncode != 0:
            complaints = [line for line in done.stderr.splitlines() if line.startswith("E:")]
            return f"apt-get {arguments[0]} failed: {(complaints or ['no reason given'])[0]}"
    return None if chromium() else "chromium should be there after the installation, and is not"


if __name__ == "__main__":
    if reason := install():
        print(f"chromium: {reason}", file=sys.stderr)
        sys.exit(2)
