"""Compile the kernels with torch's extension builder: `python compilation.py NAME SOURCE FOLDER FLAG...`.

Runs in a separate process: the builder imports setuptools, which fails if another package imported distutils before.
"""

import sys

from torch.utils import cpp_extension


def main() -> None:
    """Compile what the command line names."""
    name, source, folder, *flags = sys.argv[1:]
    cpp_extension.load(name, [source], extra_cflags=flags, build_directory=folder, is_python_module=False)


if __name__ == "__main__":
    main()
