"""Usual checks of a backpropagation, for `numpy-vgg7 parity prove --tests docs/my_checks.py`.

docs/checks.md shows which known bugs each of them catches. Those of whole networks examine both the engine
and the definition. Each has a batch size of its own, so that none sees what another left behind.
"""

from functools import cache

import numpy as np

from numpy_vgg7 import VGG7, VGG7Config, network, optim
from numpy_vgg7 import functional as F
from numpy_vgg7.parity import check_layer

H = 1e-5  # the step of finite differences
ACTIVATIONS = ("relu", "relu", "relu", "relu", "tanh", "tanh", "arctan")
SMALL = VGG7Config(image_size=8, channels=(2, 3, 2, 3), hidden=(6, 5), activations=ACTIVATIONS)
LARGER = VGG7Config(image_size=8, channels=(4, 4, 6, 6), hidden=(16, 16), activations=ACTIVATIONS)

WIDE = VGG7Config(image_size=8, channels=(16, 4, 4, 4), hidden=(6, 5), activations=ACTIVATIONS)


def network_and_batch(size, dtype="float64", config=SMALL):
    """A network with random biases, random images and labels."""
    model, rng = VGG7(config, seed=size, dtype=dtype), np.random.default_rng(size)
    for name, parameter in model.params.items():
        if name.endswith("bias"):
            parameter[:] = rng.uniform(-0.1, 0.3, parameter.shape)
    return model, rng.uniform(size=(size, 1, 8, 8)).astype(dtype), rng.integers(10, size=size)


def engine(model, images, labels):
    """Loss and gradients of the engine."""
    return model.loss_and_gradients(images, labels)


def definition(model, images, labels):
    """Loss and gradients of the definition."""
    return network.loss_and_gradients(model.layers, model.params, images, labels)


def loss_of_definition(model, images, labels):
    """The loss alone."""
    return F.cross_entropy(network.forward(model.layers, model.params, images)[-1].out, labels)


LOSSES = {engine: lambda *given: engine(*given)[0], definition: loss_of_definition}


def slope(function, array, index):
    """The derivative of function() with respect to an element of an array, by central differences."""
    old = array[index]
    array[index] = old + H
    ahead = function()
    array[index] = old - H
    behind = function()
    array[index] = old
    return (ahead - behind) / (2 * H)


def slopes(function, array):
    """The derivative with respect to every element."""
    return np.array([slope(function, array, index) for index in np.ndindex(array.shape)]).reshape(array.shape)


# Of the whole network.


def test_forward_only():
    """The loss and the logits are those of another implementation."""
    model, images, labels = network_and_batch(5)
    x = images
    for number in (1, 2, 3, 4):
        weight, bias = (model.params[f"conv{number}.{key}"] for key in ("weight", "bias"))
        side = x.shape[-1]
        padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
        windows = [[padded[..., i : i + 3, j : j + 3] for j in range(side)] for i in range(side)]
        out = np.tensordot(windows, weight, ((3, 4, 5), (1, 2, 3)))  # rows, columns, images, channels
        x = np.maximum(out.transpose(2, 3, 0, 1) + bias[:, None, None], 0)
        if number % 2 == 0:
            x = (x[..., ::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, ::2] + x[..., 1::2, 1::2]) / 4
    x = x.reshape(5, -1)
    for number, function in ((5, np.tanh), (6, np.tanh), (7, np.arctan)):
        x = function(x @ model.params[f"fc{number}.weight"].T + model.params[f"fc{number}.bias"])
    loss = (np.log(np.exp(x).sum(axis=1)) - x[np.arange(5), labels]).mean()
    assert np.allclose(model.logits(images), x)
    assert np.allclose(network.forward(model.layers, model.params, images)[-1].out, x)
    assert np.allclose(engine(model, images, labels)[0], loss)
    assert np.allclose(definition(model, images, labels)[0], loss)


def test_the_loss_goes_down():
    """After sixty steps on eight images the loss has halved."""
    sgd = optim.SGD(lr_conv=0.05, lr_fc=0.05, momentum=0.9)
    model, images, labels = network_and_batch(8, config=LARGER)
    first = engine(model, images, labels)[0]
    velocity = sgd.init(model.params)
    for _ in range(60):
        model.train_step(images, labels, sgd, velocity)
    assert engine(model, images, labels)[0] < first / 2
    model, images, labels = network_and_batch(8, config=LARGER)
    first = definition(model, images, labels)[0]
    velocity, groups = sgd.init(model.params), network.parameter_groups(model.layers)
    for _ in range(60):
        sgd.step(model.params, definition(model, images, labels)[1], velocity, groups)
    assert definition(model, images, labels)[0] < first / 2


def test_one_random_element_by_differences():
    """One random element of each parameter's gradient, to one percent."""
    model, *batch = network_and_batch(3)
    rng = np.random.default_rng(0)
    for method in (engine, definition):
        gradients = method(model, *batch)[1]
        for name, parameter in model.params.items():
            index = tuple(rng.integers(parameter.shape))
            expected = slope(lambda method=method: LOSSES[method](model, *batch), parameter, index)
            assert abs(gradients[name][index] - expected) <= 1e-2 * max(abs(expected), 1e-3), name


@cache
def ten_elements():
    """Ten random elements of each parameter's gradient, for engine and definition, and by differences."""
    model, *batch = network_and_batch(4)
    rng = np.random.default_rng(0)
    found = {}
    for method in (engine, definition):
        gradients = method(model, *batch)[1]
        for name, parameter in model.params.items():
            chosen = rng.permutation(list(np.ndindex(parameter.shape)))[:10]
            for index in map(tuple, chosen):
                expected = slope(lambda method=method: LOSSES[method](model, *batch), parameter, index)
                found[method.__name__, name, index] = gradients[name][index], expected
    return found


def test_ten_elements_by_differences_to_two_hundredths():
    """Ten random elements of each parameter's gradient, with an absolute tolerance of 2e-2."""
    for where, (gradient, expected) in ten_elements().items():
        assert np.isclose(gradient, expected, rtol=0, atol=2e-2), where


def test_ten_elements_by_differences_with_allclose():
    """The same with the tolerances of `numpy.allclose`, 1e-5 relative and 1e-8 absolute."""
    for where, (gradient, expected) in ten_elements().items():
        assert np.isclose(gradient, expected), where


def test_engine_in_float32_against_definition():
    """The gradients of the engine in float32 are those of the definition in float64, to a thousandth."""
    model, images, labels = network_and_batch(6, "float32")
    wide = VGG7.from_params(SMALL, {name: p.astype("float64") for name, p in model.params.items()})
    expected = definition(wide, images.astype("float64"), labels)[1]
    for name, gradient in engine(model, images, labels)[1].items():
        assert np.allclose(gradient, expected[name], rtol=1e-3, atol=1e-3), name


def test_engine_in_float64_against_definition():
    """The gradients of the engine are those of the definition, to 1e-12 of the largest element."""
    model, *batch = network_and_batch(7)
    expected = definition(model, *batch)[1]
    for name, gradient in engine(model, *batch)[1].items():
        assert np.abs(gradient - expected[name]).max() <= 1e-12 * np.abs(expected[name]).max(), name


def test_engine_as_it_is_used():
    """The engine in training, with shards, threads, momentum, decay and a schedule, against the definition"""
    sgd = optim.SGD(lr_conv=0.02, lr_fc=0.05, momentum=0.9, weight_decay=0.01, nesterov=True)
    model, images, labels = network_and_batch(400, config=WIDE)
    groups, velocity = network.parameter_groups(model.layers), sgd.init(model.params)
    kept = []
    engines = [(VGG7.from_params(WIDE, model.params, threads), sgd.init(model.params)) for threads in (1, 2)]
    for size, lr_scale in ((400, 1.0), (399, 0.5), (400, 0.75)):
        batch = images[:size], labels[:size]
        loss, expected = definition(model, *batch)
        for other, own_velocity in engines:
            own_loss, gradients = engine(other, *batch)
            other.train_step(*batch, sgd, own_velocity, lr_scale)
            kept += [(own_loss, loss), *((gradients[name], expected[name]) for name in expected)]
        sgd.step(model.params, expected, velocity, groups, lr_scale)
    for other, _ in engines:
        kept += [(other.params[name], model.params[name]) for name in model.params]
    for found, right in kept:
        assert np.abs(found - right).max() <= 1e-10 * np.abs(right).max()


# Of single layers of the definition.

LAYERS = {
    network.Conv2d("conv1", 2, 3): (2, 2, 4, 4),
    network.Linear("fc5", 4, 4): (3, 4),
    network.AvgPool2d("pool2"): (2, 2, 4, 4),
    network.Flatten("flatten"): (2, 2, 4, 4),
    network.Activation("act1", "relu"): (3, 4),
    network.Activation("act5", "tanh"): (3, 4),
    network.Activation("logits", "arctan"): (3, 4),
}


def backward_by_differences(upstream):
    """Each layer's gradients, given an upstream gradient, are the derivative of its forward pass."""
    rng = np.random.default_rng(1)
    for layer, shape in LAYERS.items():
        x = rng.standard_normal(shape)
        params = {key: rng.standard_normal(size) for key, size in layer.shapes().items()}
        out = layer.forward(params, x)
        d_out = upstream(rng, out.shape)
        d_x, gradients = layer.backward(params, x, out, d_out.copy())
        for key, array in {"x": x, **params}.items():
            expected = slopes(
                lambda layer=layer, params=params, x=x, d=d_out: (d * layer.forward(params, x)).sum(), array
            )
            assert np.allclose(d_x if key == "x" else gradients[key], expected, atol=1e-6), (layer, key)


def test_layers_with_an_upstream_gradient_of_ones():
    """Layer by layer, every element by differences; the upstream gradient is 1 everywhere."""
    backward_by_differences(lambda rng, shape: np.ones(shape))


def test_layers_with_a_random_upstream_gradient():
    """The same with a random upstream gradient."""
    backward_by_differences(lambda rng, shape: rng.standard_normal(shape))


def test_layers_with_check_layer():
    """`check_layer`, for each kind of layer and for the loss, with `like` and without."""
    rng = np.random.default_rng(2)
    likes = ("conv2d", "linear", "avg_pool2d", None, "relu", "tanh", "arctan")
    for (layer, shape), like in zip(LAYERS.items(), likes, strict=True):
        params = {key: rng.standard_normal(size) for key, size in layer.shapes().items()}

        def forward(x, *values, layer=layer):
            out = layer.forward(dict(zip(layer.shapes(), values, strict=True)), x)
            return out, (x, values, out)

        def backward(d_out, cache, layer=layer):
            x, values, out = cache
            named = dict(zip(layer.shapes(), values, strict=True))
            d_x, gradients = layer.backward(named, x, out, d_out)
            return (d_x, *(gradients[key] for key in named))

        for compared_with in dict.fromkeys((like, None)):
            x = rng.standard_normal(shape)
            check_layer(forward, backward, x, params, compared_with).assert_ok()

    def loss(logits, labels):
        return F.cross_entropy(logits, labels), F.softmax(logits)

    logits, labels = rng.standard_normal((4, 5)), {"labels": rng.integers(0, 5, 4)}
    for compared_with in ("softmax_cross_entropy", None):
        check_layer(loss, F.cross_entropy_backward, logits, labels, compared_with).assert_ok()
