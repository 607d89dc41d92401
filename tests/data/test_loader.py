import platform
import time

import numpy as np
import pytest
import torch
from accelerate.data_loader import BatchSamplerShard
from torch.utils.data import default_collate

from depthkit.data.loader import EpochSampler, SharedBatches, keep_freed_memory, train_loader
from depthkit.training.splits import open_splits


def test_an_epoch_is_a_permutation_that_seed_and_epoch_decide():
    sampler = EpochSampler(10, seed=3)
    orders = []
    for epoch in (0, 1):
        sampler.start_at(epoch)
        pairs = list(sampler)
        assert {e for e, _ in pairs} == {epoch} and sorted(i for _, i in pairs) == list(range(10))
        orders.append(pairs)
    assert [i for _, i in orders[0]] != [i for _, i in orders[1]]
    sampler.start_at(1, first=4)
    assert list(sampler) == orders[1][4:] and len(sampler) == 6


def test_a_global_batch_holds_the_same_images_for_one_process_and_two(config):
    dataset, _ = open_splits(config)
    one = list(train_loader(dataset, 4, 1, config.seed).batch_sampler)
    shares = [
        list(
            BatchSamplerShard(
                train_loader(dataset, 2, 2, config.seed).batch_sampler, num_processes=2, process_index=rank
            )
        )
        for rank in (0, 1)
    ]
    assert [a + b for a, b in zip(*shares, strict=True)] == one


def test_workers_do_not_change_what_is_loaded(config):
    dataset, _ = open_splits(config)
    loads = []
    for workers in (0, 2):
        loader = train_loader(dataset, config.batch_size, 1, config.seed, workers)
        loader.sampler.start_at(1)
        loads.append(list(loader))
    for a, b in zip(*loads, strict=True):
        assert a["name"] == b["name"]
        assert torch.equal(a["image"], b["image"]) and torch.equal(a["depth"], b["depth"])


@pytest.mark.parametrize("workers", [1, 2])
def test_a_batch_holds_until_two_more_were_taken(config, workers):
    dataset, _ = open_splits(config)
    kept, count = [], 0
    loader = train_loader(dataset, 1, 1, config.seed, workers)
    for epoch in range(2):
        loader.sampler.start_at(epoch)
        for batch in loader:
            time.sleep(0.02)  # the worker has made all that it may
            kept = [*kept[-2:], (batch, {key: batch[key].clone() for key in ("image", "depth", "mask")})]
            assert all(torch.equal(held[key], copy[key]) for held, copy in kept for key in copy)
            count += 1
    assert count == 32


def test_the_memory_of_batches_is_used_again():
    collate = SharedBatches()
    sample = {"image": torch.ones(3, 2, 2, dtype=torch.uint8), "depth": torch.ones(2, 2), "name": "a"}
    batches = [collate([sample, sample]) for _ in range(6)]
    places = [batch["image"].data_ptr() for batch in batches]
    assert len(set(places)) == 5 and places[0] == places[5] and batches[0]["image"].is_shared()
    plain = default_collate([sample, sample])
    assert batches[0].keys() == plain.keys() and batches[0]["name"] == plain["name"]
    assert all(torch.equal(batches[0][key], plain[key]) for key in ("image", "depth"))


def test_too_few_images_for_one_step_are_refused(config):
    dataset, _ = open_splits(config)
    with pytest.raises(
        ValueError, match=r"16 training images are fewer than one step takes \(2 processes × batch_size 9\)"
    ):
        train_loader(dataset, 9, 2, config.seed)


def test_freed_memory_is_kept_and_fetched_once():
    """Page faults of 90 MB that are taken and freed over and over: by default the system clears each page anew."""
    keep_freed_memory()  # elsewhere than with glibc it does nothing, and raises nothing
    if platform.libc_ver()[0] != "glibc":
        return
    import resource  # not on every system

    def take():
        return len([np.ones(3 * 2**17) for _ in range(30)])  # 768 pages of 4 kB each

    take()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        take()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before < 30 * 768
