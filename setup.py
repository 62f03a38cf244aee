"""Compiles the Cython kernels; everything else about the build is in pyproject.toml.

DARKFLOW_SANITIZE=1 builds them with AddressSanitizer and UndefinedBehaviorSanitizer for the tests.
"""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

SANITIZE = os.environ.get("DARKFLOW_SANITIZE") == "1"
FLAGS = (
    # Python is built with -fwrapv, under which no overflow is reported.
    ["-O1", "-g1", "-fno-wrapv", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
    if SANITIZE
    else ["-O3", "-g0"]
)
# The kernels read untrusted bytes: the cheap hardening of distributions is on in every build.
HARDENING = ["-fstack-protector-strong", "-Wall", "-Wno-unused-function"]

extensions = [
    Extension(
        ".".join(path.with_suffix("").parts[1:]),
        [str(path)],
        extra_compile_args=FLAGS + HARDENING,
        extra_link_args=["-fsanitize=address,undefined"] if SANITIZE else [],
    )
    for path in sorted(Path("src").rglob("*.pyx"))
]

setup(
    ext_modules=cythonize(
        extensions,
        include_path=["src"],
        build_dir="build/sanitize-c" if SANITIZE else "build/c",
        compiler_directives={
            "language_level": "3",
            "boundscheck": False,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": False,
            "embedsignature": True,
        },
    ),
    options={"build_ext": {"parallel": os.cpu_count() or 1}},
)
