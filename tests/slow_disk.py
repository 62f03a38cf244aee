"""A disk that is slow from a moment on: a library between a program and its writes to a folder."""

from __future__ import annotations

import subprocess
from pathlib import Path
from shutil import which

SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A write to a file of SLOW_FOLDER whose path has SLOW_NAME in it takes SLOW_SECONDS longer while
   the file SLOW_FLAG exists. */
static void wait_for_disk(int fd) {
    const char *folder = getenv("SLOW_FOLDER"), *flag = getenv("SLOW_FLAG");
    char link[64], path[4096];
    ssize_t size;
    if (!folder || !flag || access(flag, F_OK)) return;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    size = readlink(link, path, sizeof path - 1);
    if (size < 0) return;
    path[size] = 0;
    if (!strncmp(path, folder, strlen(folder)) && strstr(path, getenv("SLOW_NAME")))
        sleep(atoi(getenv("SLOW_SECONDS")));
}

ssize_t write(int fd, const void *data, size_t size) {
    static ssize_t (*real)(int, const void *, size_t);
    if (!real) real = dlsym(RTLD_NEXT, "write");
    wait_for_disk(fd);
    return real(fd, data, size);
}
"""


def cannot() -> str | None:
    """Why there can be no slow disk here, or None."""
    return None if which("cc") else "a slow disk needs a C compiler"


class SlowDisk:
    """A folder on it, and the environment of the programs that are to feel it.

    `name`: files with this in their path are slow to write, ".parquet" or "_delta_log".
    """

    def __init__(self, work: Path, seconds: int, name: str = ".parquet") -> None:
        self.folder = work / "slow"
        self.folder.mkdir()
        self._flag = work / "slow-now"
        source, library = work / "slow.c", work / "slow.so"
        source.write_text(SOURCE)
        command = ["cc", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"]
        subprocess.run(command, check=True)
        self.environment = {
            "LD_PRELOAD": str(library), "SLOW_FOLDER": str(self.folder),
            "SLOW_FLAG": str(self._flag), "SLOW_SECONDS": str(seconds),
            "SLOW_NAME": name,
        }  # fmt: skip

    def begin(self) -> None:
        """Slow from now on."""
        self._flag.touch()

    def end(self) -> None:
        """As fast as before; what waits already goes on waiting."""
        self._flag.unlink()
