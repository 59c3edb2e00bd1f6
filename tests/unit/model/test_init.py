"""First values depend on (seed, canonical name) alone and have the scales they should."""

from collections.abc import Callable

import pytest
import torch
from model_made import config, layer, moe, real, variants
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef

from m4nmt.model.init import Each, Part, Rule, Ruled, all_here, initialise, materialise
from m4nmt.model.residual import Place, deepnorm_constants
from m4nmt.model.settings import DeepNorm, ModelConfig, classic
from m4nmt.model.translation import build, segment_names

VARIANTS = variants()


def values(
    c: ModelConfig, names: tuple[str, ...] | None = None, seed: int = 1
) -> dict[str, object]:
    model = real(c, seed, names, noise=0.0)
    return {n: p.detach().numpy().tobytes() for n, p in model.canonical_parameters().items()}


def on_a_device(c: ModelConfig, device: str) -> dict[str, Tensor]:
    model = build(c)
    materialise(model, device, 1)
    assert {p.device.type for p in model.parameters()} == {device}
    return {n: p.detach().cpu() for n, p in model.canonical_parameters().items()}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")
@pytest.mark.parametrize("name", ["moe-top2", "gqa"])
def test_a_gpu_has_the_values_of_the_cpu(name: str) -> None:
    found, expected = (on_a_device(VARIANTS[name], device) for device in ("cuda", "cpu"))
    assert all(torch.equal(found[n], expected[n]) for n in expected)


def test_a_default_device_changes_no_value() -> None:
    """Meta stands for any device; numbers are drawn on the CPU all the same."""
    model = build(config(), device="cpu")
    with torch.device("meta"):
        initialise(model, 1)
    found = {n: p.detach().numpy().tobytes() for n, p in model.canonical_parameters().items()}
    assert found == values(config())


@pytest.mark.parametrize("name", VARIANTS)
def test_no_cut_changes_a_first_value(name: str) -> None:
    c = VARIANTS[name]
    whole, found = values(c), {}
    for segment in segment_names(c):
        found |= values(c, (segment,))
    assert found == whole
    assert found.keys() == whole.keys()


def test_the_seed_and_the_name_change_the_values() -> None:
    first, second = values(config()), values(config(), seed=2)
    drawn = [n for n in first if n.endswith((".table", "q.weight", "up.weight"))]
    assert drawn
    assert all(first[n] != second[n] for n in drawn)
    assert first["enc000.attention.q.weight"] != first["enc001.attention.q.weight"]


def test_initialise_gives_what_materialise_gives() -> None:
    model = build(config(), device="cpu")
    initialise(model, 1)
    found = {n: p.detach().numpy().tobytes() for n, p in model.canonical_parameters().items()}
    assert found == values(config())


def test_materialise_leaves_nothing_on_meta_and_keeps_ties() -> None:
    for ties, same in (("all", True), ("none", False)):
        model = build(config(ties=ties))
        assert all(p.is_meta for p in model.parameters())
        materialise(model, "cpu", 1)
        assert not any(p.is_meta for p in model.parameters())
        assert (model.head.table is model.source.table) == same
    assert not list(model.buffers())


def test_scales() -> None:
    c = classic(layers=2, dim=64, hidden=256, heads=4, vocab=2000)
    model = real(c, noise=0.0).requires_grad_(False)
    assert float(model.source.table.std()) == pytest.approx(64**-0.5, rel=0.02)
    q, up = model.enc000.attention.q.weight, model.dec001.ffn.up.weight
    assert float(q.std()) == pytest.approx((2 / 128) ** 0.5, rel=0.05)
    assert float(q.abs().max()) <= (6 / 128) ** 0.5
    assert float(up.std()) == pytest.approx((2 / 320) ** 0.5, rel=0.05)
    assert float(model.enc000.ffn.up.bias.abs().max()) == 0.0
    assert torch.equal(model.enc000.residual.ffn.weight, torch.ones(64))


def test_deepnorm_makes_feed_forwards_values_and_outputs_smaller() -> None:
    plain = real(config(), noise=0.0)
    deep = real(config(layer(residual=DeepNorm())), noise=0.0)
    for stack, segment in (("encoder", "enc000"), ("decoder", "dec000")):
        beta = deepnorm_constants(Place(stack, 2, 3))[1]
        a, b = plain.get_submodule(segment), deep.get_submodule(segment)
        expected = {"v": beta, "out": beta, "up": beta, "down": beta, "q": 1.0, "k": 1.0}
        for name, module in a.named_modules():
            key = name.rpartition(".")[2]
            if key in expected:
                other = b.get_submodule(name).weight
                assert torch.allclose(other, module.weight * expected[key], rtol=1e-5), name


def test_a_part_gets_what_the_whole_has_there() -> None:
    """Every matrix has rows of NaN around the part that is said to lie here."""
    c = config(layer(ffn=moe()))
    expected = real(c, noise=0.0).canonical_parameters()
    model = build(c, device="cpu")

    def part(parameter: Tensor) -> Part:
        place = (slice(1, 3), *all_here(parameter).place[1:])
        if parameter.dim() > 1:
            place = (*place[:-1], slice(2, 7))
        return Part(parameter.detach()[place], place)

    for parameter in model.parameters():
        nn.init.constant_(parameter, float("nan"))
    initialise(model, 1, part)
    for name, parameter in model.canonical_parameters().items():
        place = part(parameter).place
        assert torch.equal(parameter[place], expected[name][place]), name
        assert not parameter[place].isnan().any()
        assert int((~parameter.isnan()).sum()) == parameter[place].numel()


def drawn_with(look: Callable[[Tensor], None], rule: Rule | Each) -> Rule | Each:
    """The same rule, with a look at all that it fills."""
    if isinstance(rule, Each):
        return Each(drawn_with(look, rule.rule))  # type: ignore[arg-type]

    def filled(value: Tensor, generator: torch.Generator) -> None:
        look(value)
        rule(value, generator)

    return filled


def look_on(model: nn.Module, look: Callable[[Tensor], None]) -> None:
    for module in model.modules():
        if isinstance(module, Ruled):
            module.rules = {k: drawn_with(look, rule) for k, rule in module.rules.items()}


def test_nothing_is_drawn_of_what_is_elsewhere() -> None:
    model = build(config(layer(ffn=moe())), device="cpu")
    look_on(model, lambda value: pytest.fail(f"drew {tuple(value.shape)}"))
    initialise(model, 1, lambda p: Part(p.detach()[:0], (slice(0, 0), *all_here(p).place[1:])))


def test_one_value_is_alive_at_a_time_and_none_is_a_whole_stack() -> None:
    model = build(config(layer(ffn=moe())), device="cpu")
    seen: list[tuple[torch.Size, StorageWeakRef]] = []

    def look(value: Tensor) -> None:
        assert all(storage.expired() for _, storage in seen)
        seen.append((value.shape, StorageWeakRef(value.untyped_storage())))

    look_on(model, look)
    initialise(model, 1)
    shapes = [shape for shape, _ in seen]
    assert shapes.count(torch.Size((24, 16))) == 5 * 4  # an expert of five layers each
    assert all(len(shape) < 3 for shape in shapes)


def test_a_module_without_rules_is_refused() -> None:
    model = real(config())
    model.add_module("extra", nn.Linear(2, 2))
    with pytest.raises(TypeError, match=r"extra\.weight: Linear has no rules"):
        initialise(model, 1)
