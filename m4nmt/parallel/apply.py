"""From a model on meta to an Engine: where it lives, in which precision, in how many pieces.

Not its job: what is computed (the model), what is minimised (the injected loss).
"""

import torch

from m4nmt.model.init import materialise
from m4nmt.model.translation import TranslationModel
from m4nmt.parallel.engine import Engine, Loss
from m4nmt.parallel.settings import ParallelConfig
from m4nmt.parallel.single import Single


def parallelize(model: TranslationModel, config: ParallelConfig, loss: Loss, seed: int) -> Engine:
    """Lay a model on `meta` over the devices that `config` names, with its first values.

    Args:
        seed: of the run; first values and dropout follow from it.

    Raises:
        ValueError: a device is asked for that is not there.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    device = choose_device(config.device)
    materialise(model, device, seed)
    if config.compile:
        for name in model.names:
            model.get_submodule(name).compile()  # in place; equal layers share one graph
    return Single(model, config, loss, seed, device)


def choose_device(wish: str) -> torch.device:
    """The device behind "auto", "cpu" or "cuda".

    Raises:
        ValueError: "cuda" where torch sees no CUDA device.
    """
    if wish == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            "parallel.device is 'cuda' but torch sees no CUDA device; set parallel.device=auto or "
            "cpu, or install a CUDA build of torch and a driver"
        )
    if wish == "auto":
        wish = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(wish)
