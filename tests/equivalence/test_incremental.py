"""Decoding token by token with a store gives what the decoder gives at once."""

from collections.abc import Callable

import pytest
import torch
from model_made import config, ids, layer, real, variants
from torch import Tensor

from m4nmt.model.flow import Seen, Tokens
from m4nmt.model.settings import Rotary
from m4nmt.model.translation import TranslationModel

VARIANTS = variants()


class PlainStore:
    """The simplest store: concatenates."""

    def __init__(self) -> None:
        self.offset = 0
        self.own: dict[str, tuple[Tensor, Tensor]] = {}
        self.cross: dict[str, tuple[Tensor, Tensor]] = {}

    def self_attention(self, layer: str, k: Tensor, v: Tensor) -> Seen:
        if layer in self.own:
            k, v = (torch.cat((a, b), 2) for a, b in zip(self.own[layer], (k, v), strict=True))
        self.own[layer] = (k, v)
        return Seen(k, v)

    def cross_attention(
        self, layer: str, project: Callable[[], tuple[Tensor, Tensor]]
    ) -> tuple[Tensor, Tensor]:
        if layer not in self.cross:
            self.cross[layer] = project()
        return self.cross[layer]


@torch.inference_mode()
def stepwise(
    model: TranslationModel, src_BS: Tensor, tgt_RT: Tensor, lengths: list[int], skip: int = 0
) -> Tensor:
    """Logits [R,T,V] from calls of these lengths; `skip` shifts the positions (to break it)."""
    middle = model.names.index("target")
    beams = tgt_RT.shape[0] // src_BS.shape[0]
    memory = model.part(model.names[:middle])(Tokens(src_BS, tgt_RT[:, :1]))
    decoder, store, out, at = model.part(model.names[middle:]), PlainStore(), [], 0
    for n in lengths:
        store.offset = at + skip * (at > 0)
        piece = Tokens(src_BS, tgt_RT[:, at : at + n], beams=beams, store=store)
        out.append(decoder(piece, memory).x)
        at += n
    return torch.cat(out, 1)


@torch.inference_mode()
def at_once(model: TranslationModel, src_BS: Tensor, tgt_RT: Tensor) -> Tensor:
    beams = tgt_RT.shape[0] // src_BS.shape[0]
    logits: Tensor = model(Tokens(src_BS.repeat_interleave(beams, 0), tgt_RT)).x
    return logits


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("lengths", [[1] * 6, [3, 1, 2], [6]], ids=["steps", "prefix", "once"])
@pytest.mark.parametrize("beams", [1, 3])
def test_steps_equal_the_whole(name: str, lengths: list[int], beams: int) -> None:
    model = real(VARIANTS[name]).eval()
    src_BS, tgt_RT = ids(3, 7, 1), ids(3 * beams, 6, 2, padded=False)
    expected = at_once(model, src_BS, tgt_RT)
    got = stepwise(model, src_BS, tgt_RT, lengths)
    assert torch.allclose(got, expected, atol=2e-5), float((got - expected).abs().max())


@pytest.mark.parametrize("name", ["Sinusoidal", "Learned", "Rotary"])
def test_control_a_wrong_offset_is_seen(name: str) -> None:
    model = real(VARIANTS[name]).eval()
    src_BS, tgt_RT = ids(3, 7, 1), ids(3, 6, 2, padded=False)
    got = stepwise(model, src_BS, tgt_RT, [1] * 6, skip=1)
    assert not torch.allclose(got, at_once(model, src_BS, tgt_RT), atol=1e-3)


def test_bf16_steps_equal_the_whole_nearly() -> None:
    """Through the other kernel."""
    c = config(layer(kv_heads=2), position=Rotary())
    model = real(c).eval()
    src_BS, tgt_RT = ids(3, 7, 1), ids(9, 6, 2, padded=False)
    with torch.autocast("cpu", torch.bfloat16):
        expected = at_once(model, src_BS, tgt_RT).float()
        got = stepwise(model, src_BS, tgt_RT, [2, 1, 3]).float()
    assert torch.allclose(got, expected, atol=0.05 * float(expected.abs().max()))


def test_beams_share_the_keys_of_their_source() -> None:
    model = real(config()).eval()
    middle = model.names.index("target")
    src_BS, tgt_RT = ids(2, 7), ids(8, 1, padded=False)
    with torch.inference_mode():
        memory = model.part(model.names[:middle])(Tokens(src_BS, tgt_RT))
        store = PlainStore()
        model.part(model.names[middle:])(Tokens(src_BS, tgt_RT, beams=4, store=store), memory)
    assert {k.shape[0] for k, _ in store.cross.values()} == {2}
    assert {k.shape[0] for k, _ in store.own.values()} == {8}
