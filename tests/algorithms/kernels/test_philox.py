"""Philox against the published known answers, and the numbers drawn from it."""

import numpy as np
import pytest
import torch
from scipy import stats

from algorithms.kernels import philox as module
from algorithms.kernels.philox import Counters, philox, scaled

fill_uniform, fill_normal = Counters.fill_uniform, Counters.fill_normal

# Known answers of the authors' library Random123, philox4x32 with 10 rounds: counter, key, words.
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN)
def test_known_answers(counter, key, words):
    drawn = philox([torch.tensor(word) for word in counter], [torch.tensor(word) for word in key])
    assert tuple(int(word) for word in drawn) == words


def drawn(fill, seeds=(3,), updates=2, shape=(5, 7), update=0, stream="state") -> torch.Tensor:
    into = torch.empty(len(seeds), updates, *shape)
    fill(Counters(seeds, stream, updates, into[0, 0].numel(), "cpu"), into, torch.tensor([update]))
    return into


@pytest.mark.parametrize("fill", [fill_uniform, fill_normal])
def test_numbers_depend_on_seed_stream_and_update_alone(fill, monkeypatch):
    alone = drawn(fill, seeds=(7,), updates=1, update=6)
    packed = drawn(fill, seeds=(1, 7, 2**40), updates=4, update=4)
    assert torch.equal(packed[1, 2], alone[0, 0])
    monkeypatch.setattr(module, "CHUNK", 40)
    assert torch.equal(drawn(fill, seeds=(1, 7, 2**40), updates=4, update=4), packed), "however it is divided"
    different = [alone[0, 0], packed[1, 1], packed[0, 2], packed[2, 2],
                 drawn(fill, seeds=(7,), updates=1, update=6, stream="uniform")[0, 0]]  # fmt: skip
    assert len({float(values.sum()) for values in different}) == len(different)


def test_the_number_of_elements_does_not_matter():
    """A larger batch continues the numbers of a smaller one."""
    small, large = drawn(fill_normal, shape=(6,)), drawn(fill_normal, shape=(11,))
    assert torch.equal(large[..., :6], small)


@pytest.mark.parametrize(("fill", "distribution"), [(fill_uniform, stats.uniform(-1, 2)), (fill_normal, stats.norm())])
def test_distribution(fill, distribution):
    values = drawn(fill, seeds=(0, 1), updates=10, shape=(2_000,)).flatten().numpy()
    assert stats.kstest(values, distribution.cdf).pvalue > 0.001
    assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 0.02
    assert np.isfinite(values).all()


def test_the_extreme_words_give_finite_numbers(monkeypatch):
    def extreme(counter, key):
        shape = torch.broadcast_shapes(*(word.shape for word in (*counter, *key)))
        return tuple(torch.full(shape, word) for word in (0, 0xFFFFFFFF, 0xFFFFFFFF, 0))

    monkeypatch.setattr(module, "philox", extreme)
    normal, uniform = drawn(fill_normal, shape=(4,)), drawn(fill_uniform, shape=(4,))
    assert normal.abs().max() == pytest.approx((48 * np.log(2)) ** 0.5, rel=1e-6)
    assert (uniform.min(), uniform.max()) == (-1.0, 1.0 - 2.0**-23)


def test_words_are_scaled_to_every_number_below_a_count():
    words = torch.tensor([0, 2**31 - 1, 2**31, 2**32 - 1])
    assert scaled(words, 10).tolist() == [0, 4, 5, 9]
    assert scaled(words, 2**31 - 1).tolist() == [0, 2**30 - 1, 2**30 - 1, 2**31 - 2]
