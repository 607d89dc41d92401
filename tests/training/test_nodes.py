"""Training on two machines: two launches that know of each other by address alone, here both on the loopback one."""

import os
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

from depthkit.run_folder import read_json
from depthkit.training.train import free_port

LAUNCH = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
TRAIN = [
    "-m",
    "depthkit",
    "train",
    "--encoder",
    "tiny",
    "--size",
    "56",
    "--epochs",
    "1",
    "--batch_size",
    "2",
    "--workers",
    "0",
]


def run(data, output, *machines, extra=([], []), fails=False):
    """Start a launch for each of `machines` (its flags) at once, as their users would; returns what each printed.

    `extra` are arguments for the training on each of them.
    """
    arguments = [*TRAIN, "--data", str(data), "--output", str(output)]
    environment = os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [*LAUNCH, *flags, *arguments, *more],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for flags, more in zip(machines, extra, strict=False)
    ]
    try:
        printed = [process.communicate(timeout=240)[0] for process in processes]
    finally:
        for process in processes:  # one that waits for a machine that failed would wait long
            process.terminate()
    assert [bool(process.returncode) for process in processes] == [fails] * len(machines), "\n".join(printed)
    return printed


def test_two_machines_train_the_weights_that_two_processes_of_one_do(nyu_root, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    run(nyu_root, one, ["--num_machines", "1", "--main_process_port", free_port()])
    meet = ["--num_machines", "2", "--main_process_ip", "127.0.0.1", "--main_process_port", free_port()]
    printed = run(nyu_root, two, *([*meet, "--machine_rank", rank] for rank in "01"))
    assert all("2 process(es) on cpu" in text for text in printed)
    for part in ("last", "best"):
        mine, theirs = (load_file(Path(run, part, "model.safetensors")) for run in (two, one))
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    mine, theirs = (read_json(run / "eval" / "val.json")["records"] for run in (two, one))
    assert len(mine) == 5 and mine == theirs
    state = read_json(two / "last" / "state.json")
    assert (state["epoch"], state["num_processes"]) == (1, 2)
    assert len(list((two / "last").glob("random_states_*.pkl"))) == 2  # one of each machine, for resuming

    # Where a machine does not see the checkpoint, nobody goes on: its part would begin again beside the other's.
    meet[-1] = free_port()
    elsewhere = ["--output", str(tmp_path / "elsewhere")]
    flags = [[*meet, "--machine_rank", "0"], [*meet, "--machine_rank", "1"]]
    printed = run(nyu_root, two, *flags, extra=(["--resume", "True"], ["--resume", "True", *elsewhere]), fails=True)
    assert all("it must lie on storage that all machines see" in text for text in printed)
