"""Measures the seconds and the peak memory of a command. Linux only.

Memory is the greatest sum of resident memory over the command's processes,
sampled ten times a second. Pages that processes share count once for each.
"""

import os
import pathlib
import subprocess
import time


def run_measured(command):
    """Runs it; returns `exit_status`, `seconds`, `peak_memory_mb` (10^6 B)."""
    start, peak = time.monotonic(), 0
    process = subprocess.Popen(command)
    while process.poll() is None:
        peak = max(peak, _resident_bytes(process.pid))
        time.sleep(0.1)
    return {
        "exit_status": process.returncode,
        "seconds": round(time.monotonic() - start, 1),
        "peak_memory_mb": round(peak / 1e6),
    }


def _resident_bytes(root_pid):
    """Resident memory of a process and of all its descendants."""
    sizes, parents = {}, {}
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # the process has ended meanwhile
        parents[int(folder.name)] = int(stat[1])
        sizes[int(folder.name)] = int(stat[21]) * os.sysconf("SC_PAGE_SIZE")

    def descends(pid):
        while pid and pid != root_pid:
            pid = parents.get(pid, 0)
        return pid == root_pid

    return sum(size for pid, size in sizes.items() if descends(pid))
