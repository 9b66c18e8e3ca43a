"""Measures size, latency and memory of every file, once."""

from kd_tf.edge.benchmarking import benchmark_file
from kd_tf.results import CostRecord
from pipelines.config.schema import BENCHMARK_FILE
from pipelines.state import Run


def benchmark(
    run: Run, scratch: str
) -> tuple[dict[str, str], dict[str, CostRecord]]:
    """Records the cost of every variant's file."""
    settings = run.config.benchmark.arguments_for(BENCHMARK_FILE)
    return {}, {
        variant: benchmark_file(path, **settings)
        for variant, path in run.files().items()
    }
