"""The sizes an instance can have, and what each gives it.

`SIZES` is the one place that knows the numbers; the API's InstanceSize enum, the memory cap of a deployment and the
documentation's table come from it. Units are the published ones: 256 CPU units are a quarter of a CPU, memory is in
MiB.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Size:
    task_cpu: int
    task_memory_mb: int


SIZES: dict[str, Size] = {
    "nano": Size(256, 512),
    "small": Size(512, 1024),
    "medium": Size(1024, 2048),
    "large": Size(2048, 4096),
    "xlarge": Size(4096, 8192),
    "2xlarge": Size(8192, 16384),
}

DEFAULT_SIZE = "nano"


def markdown() -> str:
    """The table of sizes as it stands in the documentation."""
    rows = [f"| {name} | {size.task_cpu} | {size.task_memory_mb} |" for name, size in SIZES.items()]
    return "\n".join(["| size | taskCpu | taskMemoryMb |", "|---|---|---|", *rows])
