"""Do experts pay at equal operations? `bible100` in short, dense, and with experts half as wide in
every other layer, of which each token uses two (GShard, arXiv:2006.16668).

    m4nmt train recipes/studies/experts.py:dense
    m4nmt train recipes/studies/experts.py:mixed
"""

from dataclasses import replace

from m4nmt.core.names import recipe
from m4nmt.model.settings import GatedConfig, LayerConfig, MoEConfig, Top2
from m4nmt.train.settings import RunConfig

EXPERTS = 16


def dense() -> RunConfig:
    """bible100 with small batches, some hundred steps."""
    base: RunConfig = recipe("bible100")()
    return replace(
        base,
        name="experts_dense",
        data=replace(base.data, blocks=replace(base.data.blocks, tokens=2048)),
        schedule=replace(base.schedule, warmup=100),
        train=replace(
            base.train,
            steps=600,
            validate_every=150,
            validate_rows=4,
            save_every=300,
            average=0,
            monitor_every=150,
        ),
    )


def mixed() -> RunConfig:
    """The same with 16 experts in layers 2 and 4 of both stacks; 28 M parameters, 12 M of them used
    by a token."""
    base = dense()
    plain = base.model.encoder[0].ffn
    assert isinstance(plain, GatedConfig)
    half = MoEConfig(
        experts=EXPERTS, expert=replace(plain, hidden=plain.hidden // 2), router=Top2()
    )

    def every_other(layers: tuple[LayerConfig, ...]) -> tuple[LayerConfig, ...]:
        return tuple(replace(one, ffn=half) if i % 2 else one for i, one in enumerate(layers))

    model = base.model
    model = replace(model, encoder=every_other(model.encoder), decoder=every_other(model.decoder))
    return replace(base, name="experts_mixed", model=model)
