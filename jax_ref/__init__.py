"""The same network in JAX, compiled by XLA: a peer of the benchmark.

It uses the names and configurations of numpy_vgg7, but none of its arithmetic.
"""
