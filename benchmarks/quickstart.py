"""Seconds and peak memory of the quickstart, as a user would run it.

Memory is the greatest sum of resident memory over the run's processes, looked
at ten times a second. Linux only.

    python benchmarks/quickstart.py       # about 1 minute; quickstart.json
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from pipelines.provenance import environment

ROOT = pathlib.Path(__file__).parents[1]
RESULTS = pathlib.Path(__file__).with_suffix(".json")


def resident_bytes(root_pid):
    """Resident memory of a process and all that descend from it."""
    sizes, parents = {}, {}
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended meanwhile
        parents[int(folder.name)] = int(stat[1])
        sizes[int(folder.name)] = int(stat[21]) * os.sysconf("SC_PAGE_SIZE")

    def descends(pid):
        while pid and pid != root_pid:
            pid = parents.get(pid, 0)
        return pid == root_pid

    return sum(size for pid, size in sizes.items() if descends(pid))


def main():
    made_with = environment()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pipelines.run", "--workdir", folder]
        command += ["--config", str(ROOT / "configs" / "quickstart.yaml")]
        start, peak = time.monotonic(), 0
        process = subprocess.Popen(command)
        while process.poll() is None:
            peak = max(peak, resident_bytes(process.pid))
            time.sleep(0.1)
        seconds = time.monotonic() - start
        rows = json.loads((pathlib.Path(folder) / "report.json").read_text())
    results = {
        "environment": made_with,
        "exit_status": process.returncode,
        "seconds": round(seconds, 1),
        "peak_memory_mb": round(peak / 1e6),
        "rows": rows["rows"],
    }
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
