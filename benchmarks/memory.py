"""Peak memory of one task in a process of its own.

python -m benchmarks.memory ours|reference step|forward ENCODER BATCH H W

Prints the largest resident size of the process, MB.
"""

import sys

from benchmarks import networks
from benchmarks.measure import own_peak_memory
from benchmarks.reference import authors_twin
from depthkit.data.transforms import normalise

REPEATS = 2  # the optimiser's state appears in the first step, and the second one needs its gradients beside it


def main(side, kind, encoder, count, height, width):
    batch = networks.raw_batch(int(count), int(height), int(width))
    model = networks.our_model(encoder)
    if side == "reference":
        model, batch = authors_twin(model), networks.article_batch(batch)
    if kind == "forward":
        task = networks.forward_task(model, batch["image"] if side == "reference" else normalise(batch["image"]))
    elif side == "reference":
        task = networks.their_step(model, batch)
    else:
        task = networks.our_step(model, batch, encoder)
    for _ in range(REPEATS):
        task()
    print(own_peak_memory())


if __name__ == "__main__":
    main(*sys.argv[1:])
