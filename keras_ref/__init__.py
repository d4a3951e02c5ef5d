"""The same network in Keras, on PyTorch: Keras itself writes its files.

It uses the names and configurations of numpy_vgg7, but none of its arithmetic.
"""

from keras_ref.model import to_keras, write_keras

__all__ = ["to_keras", "write_keras"]
