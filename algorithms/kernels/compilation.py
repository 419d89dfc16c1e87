"""Compile and load the kernels through torch's extension build: `python compilation.py NAME SOURCE FOLDER FLAG...`.

A process of its own: torch's build takes setuptools, which fails where another package has imported distutils before.
"""

import sys

from torch.utils import cpp_extension


def main() -> None:
    """Compile as the command line says."""
    name, source, folder, *flags = sys.argv[1:]
    cpp_extension.load(name, [source], extra_cflags=flags, build_directory=folder, is_python_module=False)


if __name__ == "__main__":
    main()
