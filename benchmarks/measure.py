"""Clocks and scales: two things timed in turn, a process's peak memory, this machine's matmul rate and its name."""

import os
import platform
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from statistics import median

import torch

PACKAGES = ("torch", "transformers", "opencv-python-headless", "albumentations", "h5py", "numpy")


def alternate(tasks, rounds, warmups=1):
    """Seconds of each task, {name: [seconds of each round]}; every round runs them all, every other one backwards.

    Whatever else the machine does then meets all of them alike.
    """
    for task in list(tasks.values()) * warmups:
        task()
    seconds = {name: [] for name in tasks}
    for number in range(rounds):
        for name in list(tasks)[:: -1 if number % 2 else 1]:
            start = time.perf_counter()
            tasks[name]()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def speed_row(what, seconds, target=None, images=None):
    """A row of the table from rounds of "ours" and "reference": images/s if `images` went through each, else seconds.

    The ratio is of speeds, round by round: its median, smallest and largest.
    """
    ratios = sorted(r / o for o, r in zip(seconds["ours"], seconds["reference"], strict=True))
    middle = {side: median(seconds[side]) for side in ("ours", "reference")}
    values = {side: images / value if images else value for side, value in middle.items()}
    ratio = (median(ratios), ratios[0], ratios[-1])
    row = {"what": what, "unit": "images/s" if images else "s", **values, "ratio": ratio}
    return row | ({"target": f"≥ {target:g} ×", "met": ratio[0] >= target} if target else {})


def ratio_text(row) -> str:
    """The ratio of a `speed_row`, with its extremes."""
    return "{:.1f} × ({:.1f} to {:.1f})".format(*row["ratio"])


def matmul_task(side):
    """A float32 matmul of `side` cubed as a task, and how many floating point operations it is."""
    a, b, out = (torch.randn(side, side) for _ in range(3))
    return lambda: torch.mm(a, b, out=out), 2 * side**3


def peak_memory(*arguments) -> float:
    """Peak memory, MB, of `python -m benchmarks.memory` with these arguments, as it says itself."""
    command = [sys.executable, "-m", "benchmarks.memory", *map(str, arguments)]
    done = subprocess.run(command, cwd=Path(__file__).parent.parent, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return float(done.stdout.split()[-1])


def own_peak_memory() -> float:
    """The largest resident size of this process so far, MB.

    From the kernel's high-water mark where there is one: `ru_maxrss` of a started process begins at its parent's size.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(fields["VmHWM"].split()[0]) / 1024
    import resource  # not on every system

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)


def machine():
    """What the numbers depend on: {name: text}."""
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "machine": f"{_cpu_name()}, {cores()} cores, load {load} at the start",
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "packages": ", ".join(f"{name} {version(name)}" for name in PACKAGES),
    }


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _cpu_name():
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown CPU"
