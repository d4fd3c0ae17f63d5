"""The published networks with batch normalisation: sizes, numbers of weights, and batches normalised each by itself."""

import pytest
import torch
from torch import nn

from sepray.networks.batch_norm import BatchNorm, learning
from sepray.networks.batch_variational import MOMENTUM, BatchNormDiscriminator, BatchNormEncoder, BatchNormMaskDecoder


def images(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def weights(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def test_share_of_the_newest_batch_is_that_of_four_passes_of_a_tenth():
    running = 0.0
    for _ in range(4):
        running += 0.1 * (1.0 - running)
    assert pytest.approx(running) == MOMENTUM
    layers = [m for m in BatchNormEncoder(1, (8, 8), 2, 2, 3, 4).modules() if isinstance(m, BatchNorm)]
    assert [(layer.momentum, layer.runs) for layer in layers] == [(MOMENTUM, True)] * 3


@pytest.mark.parametrize("size", [(9, 8), (8, 9), (13, 1), (16, 5)])
@pytest.mark.parametrize("stages", [1, 2, 3])
def test_a_mask_has_exactly_the_images_size(size, stages):
    image = images(3, 2, *size)
    mean, log_variance = BatchNormEncoder(2, size, 4, stages, 8, 5)(image)
    assert mean.shape == log_variance.shape == (3, 5)
    mask = BatchNormMaskDecoder(2, size, 4, stages, 5)(mean)
    assert mask.shape == image.shape
    assert 0 < mask.min() <= mask.max() < 1


def test_numbers_of_weights_by_hand():
    """No layer but the last of the discriminator has a bias; each norm has two numbers a channel."""
    convolutions = 25 * 1 * 2 + 2 * 2 + 25 * 2 * 4 + 2 * 4  # 8x8 becomes 2x2, of 4 channels: 16 features
    assert weights(BatchNormEncoder(1, (8, 8), 2, 2, 3, 5)) == convolutions + 16 * 3 + 2 * 3 + 3 * 2 * 5
    back = 5 * 16 + 2 * 16 + 25 * 4 * 2 + 2 * 2 + 25 * 2 * 1 + 2 * 1
    assert weights(BatchNormMaskDecoder(1, (8, 8), 2, 2, 5)) == back
    assert weights(BatchNormDiscriminator(1, (8, 8), 2, 2, 3)) == convolutions + 16 * 3 + 2 * 3 + 3 + 1


def test_last_layer_alone_is_a_sigmoid_and_the_discriminator_s_leak():
    decoder = BatchNormMaskDecoder(1, (8, 8), 2, 3, 5)
    assert [type(layer[2]) for layer in decoder.layers] == [nn.ReLU, nn.ReLU, nn.Sigmoid]
    critic = BatchNormDiscriminator(1, (16, 16), 2, 4, 3)
    assert {layer[2].negative_slope for layer in critic.convolutions} == {0.2}
    assert critic.dense[2].negative_slope == 0.2
    assert {layer[2].negative_slope for layer in BatchNormEncoder(1, (8, 8), 2, 2, 3, 5).convolutions} == {0.0}


def test_features_are_those_after_the_third_convolution_or_the_last():
    critic, image = BatchNormDiscriminator(1, (32, 32), 2, 4, 3), images(5, 1, 32, 32)
    [features] = critic.features([image])
    first, second, third, _ = critic.convolutions
    torch.testing.assert_close(features, third(second(first(image))))
    assert features.shape == (5, 8, 4, 4)
    shallow = BatchNormDiscriminator(1, (8, 8), 2, 2, 3)
    [features] = shallow.features([images(5, 1, 8, 8)])
    assert features.shape == (5, 4, 2, 2)
    assert shallow.judge([features])[0].shape == (5,)


def test_logit_is_the_head_of_all_layers():
    critic, image = BatchNormDiscriminator(1, (16, 16), 2, 4, 3), images(5, 1, 16, 16)
    hidden = image
    for layer in critic.convolutions:
        hidden = layer(hidden)
    torch.testing.assert_close(critic(image), critic.head(critic.dense(hidden.flatten(1)))[:, 0])


def test_batches_are_judged_each_by_itself():
    critic = BatchNormDiscriminator(1, (16, 16), 2, 4, 3)
    some, others = images(5, 1, 16, 16), 10 + 3 * images(5, 1, 16, 16, seed=1)
    together = critic.judge(critic.features([some, others]))
    for found, alone in zip(together, (some, others), strict=True):
        torch.testing.assert_close(found, critic(alone), rtol=1e-4, atol=1e-5)
    mixed = critic(torch.cat([some, others])).chunk(2)
    assert not torch.allclose(mixed[0], together[0], atol=1e-3)


def test_codes_are_decoded_each_batch_by_itself_while_it_learns():
    decoder = BatchNormMaskDecoder(1, (8, 8), 2, 2, 5)
    some, others = images(6, 5), 4 + 2 * images(6, 5, seed=1)
    with learning(decoder):
        together = decoder.decode([some, others])
    for found, codes in zip(together, (some, others), strict=True):
        with learning(decoder):
            torch.testing.assert_close(found, decoder(codes), rtol=1e-4, atol=1e-5)
    with learning(decoder):
        assert not torch.allclose(decoder(torch.cat([some, others]))[:6], together[0], atol=1e-3)
