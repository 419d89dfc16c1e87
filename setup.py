"""Record in every wheel the commit that it was built from; everything else is in pyproject.toml."""

import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

# Builds run isolated from the folder; the module needs only the standard library.
sys.path.insert(0, str(Path(__file__).resolve().parent))

from harness.folders.provenance import BUILT_FILE, write_built


class BuildWithCommit(build_py):
    """Copy the packages, and write what `harness.folders.provenance` reads in an installed wheel."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            write_built(Path(self.build_lib) / BUILT_FILE)


setup(cmdclass={"build_py": BuildWithCommit})
