"""A case and what an implementation makes of it, for the tests of `check`."""

from numpy_vgg7 import VGG7Config
from numpy_vgg7.parity.case import definition_trace, random_case, random_model
from numpy_vgg7.parity.case_file import CaseFile
from numpy_vgg7.parity.second import second_case, telling_batch_size
from torch_ref.trace import trace as torch_trace

CONFIG = VGG7Config(image_size=12, classes=7, channels=(3, 5, 6, 8), hidden=(11, 13))


def case_file(config=CONFIG, seed=0):
    case = random_case(
        random_model(config, seed), telling_batch_size(config.classes, config.image_size), seed
    )
    second = second_case(case, seed)
    return CaseFile(case, torch_trace(case), CaseFile(second, torch_trace(second)), seed)


def candidate(file, trace=definition_trace, dtype="float64"):
    """Both batches of a case by an implementation."""
    second = trace(file.second.case.astype(dtype))
    return trace(file.case.astype(dtype)) | {f"second/{name}": array for name, array in second.items()}
