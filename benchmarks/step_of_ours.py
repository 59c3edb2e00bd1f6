"""Our side of train_step.py: one process that trains and reports, as the peers' adapters do.

Shape letters: none; products are replayed by the sizes and strides they were seen with.
"""

import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import m4nmt
from m4nmt import optim
from m4nmt.data.loader import Loader, LoaderState, fixed_batches
from m4nmt.data.prepare import prepare
from m4nmt.data.settings import (
    BlockConfig,
    DataConfig,
    DirectionsConfig,
    FilterConfig,
    TokenizerConfig,
)
from m4nmt.data.store import Store
from m4nmt.data.types import Batch
from m4nmt.model.settings import classic
from m4nmt.optim import schedule
from m4nmt.optim.settings import AdamW, Constant
from m4nmt.parallel.apply import parallelize
from m4nmt.parallel.settings import ParallelConfig
from m4nmt.train import clip
from m4nmt.train.guard import Guard
from m4nmt.train.loss import CrossEntropy
from m4nmt.train.settings import GuardConfig, NoClip
from m4nmt.train.trainer import Trainer
from m4nmt.train.validate import validate

MODEL = classic(layers=6, dim=256, hidden=1024, heads=4, dropout=0.1)
OPTIMISER = AdamW(lr=3e-4, betas=(0.9, 0.98), eps=1e-9)
DEV_LINES, DEV_SEED = 500, 21
SEEN_STEPS = 3  # whose matrix products are replayed


class Setup:
    """A trainer over the benchmark's corpus, made as `m4nmt train` makes it."""

    def __init__(self, corpus: Path, precision: str, threads: int, batch_tokens: int) -> None:
        self.data = DataConfig(
            manifest=str(_manifest(corpus)),
            directions=DirectionsConfig(only=("eng_Latn-deu_Latn",)),
            filters=FilterConfig(max_ratio=0, identical=False, duplicates=False, overlap=False),
            tokenizer=TokenizerConfig(path=str(_words(corpus))),
            blocks=BlockConfig(tokens=batch_tokens, max_length=72),
        )
        self.store: Store = prepare(self.data, corpus / f"store{batch_tokens}")
        model = replace(MODEL, vocab=self.store.tokenizer.size)
        where = ParallelConfig(precision=precision, device="cpu", threads=threads)
        self.engine = parallelize(model, where, CrossEntropy(0.1), seed=1)
        optimizer = optim.build(OPTIMISER, self.engine.named_parameters())
        rate = schedule.build(Constant(), OPTIMISER.lr, model.dim, 1)
        guard = Guard(GuardConfig())
        self.trainer = Trainer(self.engine, optimizer, rate, clip.build(NoClip()), guard)
        self.batches: Iterator[tuple[LoaderState, Batch]] = Loader(self.store, self.data).batches()

    def step(self) -> Batch:
        """One step, data included."""
        _, batch = next(self.batches)
        self.trainer.step(batch)
        return batch


def one(corpus: Path, precision: str, given: dict[str, Any]) -> dict[str, Any]:
    """Speed, in the form of the peers' adapters, and the share of the matrix products."""
    setup = Setup(corpus, precision, given["threads"], given["batch_tokens"])
    for _ in range(given["warmup"]):
        setup.step()
    started = time.perf_counter()
    seen = [setup.step() for _ in range(given["updates"])]
    seconds = time.perf_counter() - started
    if given["profile"]:
        _profile(setup, given["profile"].with_suffix(f".{precision}.txt"))
    tokens = sum(batch.tokens for batch in seen)
    return {
        "system": f"m4nmt {precision}",
        "version": m4nmt.__version__,
        "target_tokens": tokens,
        "seconds": round(seconds, 4),
        "tokens_per_second": round(tokens / seconds, 2),
        "updates": given["updates"],
        "warmup": given["warmup"],
        "threads": torch.get_num_threads(),
        "batch_tokens": given["batch_tokens"],
        "padded_target_tokens": sum(batch.out_BT.numel() for batch in seen),
        "parameters": sum(p.numel() for _, p in setup.engine.named_parameters()),
        "matrix_share": round(_matrix_share(setup), 3),
        "torch": torch.__version__,
    }


def equal_loss(corpus: Path, precision: str, given: dict[str, Any]) -> dict[str, Any]:
    """Loss on held-out lines after `updates` steps."""
    setup = Setup(corpus, precision, given["threads"], given["batch_tokens"])
    for _ in range(given["updates"]):
        setup.step()
    dev = fixed_batches(setup.store, setup.data, "dev", DEV_LINES)
    return {"loss": validate(setup.engine, dev, 1)[0].loss, "updates": given["updates"]}


class _Products(TorchDispatchMode):
    """Notes every matrix product that runs: operation, and each matrix's size, stride and type."""

    OPERATIONS = ("mm", "addmm", "bmm", "baddbmm", "_scaled_dot_product_flash_attention_for_cpu")

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[tuple[Any, ...]] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket._qualified_op_name.removeprefix("aten::")
        matrices = [a for a in args if isinstance(a, Tensor) and a.dim() >= 2]
        if name in ("mm", "addmm", "bmm", "baddbmm"):
            key = tuple((tuple(m.shape), m.stride(), m.dtype) for m in matrices[-2:])
            self.seen["bmm" if "bmm" in name else "mm", key] += 1
        elif "scaled_dot_product" in name:
            self._attention(name, matrices)
        return func(*args, **(kwargs or {}))

    def _attention(self, name: str, matrices: list[Tensor]) -> None:
        """Two products forward, five backward (the scores are computed again)."""
        q, k = matrices[1:3] if "backward" in name else matrices[:2]
        heads, length, keys, width = q.shape[0] * q.shape[1], q.shape[2], k.shape[2], q.shape[3]
        one = ((heads, length, width), (length * width, width, 1), q.dtype)
        other = ((heads, width, keys), (keys * width, 1, width), q.dtype)
        self.seen["bmm", (one, other)] += 5 if "backward" in name else 2


def _matrix_share(setup: Setup) -> float:
    """Seconds of the products of some steps, run alone, over seconds of these steps."""
    steps = [next(setup.batches)[1] for _ in range(SEEN_STEPS)]
    with _Products() as products:
        for batch in steps:
            setup.trainer.step(batch)
    whole = min(_timed(lambda: [setup.trainer.step(batch) for batch in steps]) for _ in range(3))
    alone = sum(count * _replay(kind, key) for (kind, key), count in products.seen.items())
    return alone / whole


def _replay(kind: str, key: tuple[Any, ...]) -> float:
    """Seconds of one product."""
    one, other = (_like(*matrix) for matrix in key)
    product = torch.mm if kind == "mm" else torch.bmm
    out = product(one, other)
    return min(_timed(lambda: product(one, other, out=out)) for _ in range(5))


def _like(size: tuple[int, ...], stride: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    return torch.empty_strided(size, stride, dtype=dtype).normal_()


def _timed(work: Any) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _profile(setup: Setup, path: Path) -> None:
    """Where the time of five steps goes."""
    with torch.profiler.profile(record_shapes=True) as profile:
        for _ in range(5):
            setup.step()
    table = profile.key_averages().table(sort_by="self_cpu_time_total", row_limit=45)
    shapes = profile.key_averages(group_by_input_shape=True)
    more = shapes.table(sort_by="self_cpu_time_total", row_limit=60)
    path.write_text(f"{table}\n{more}\n", encoding="utf-8")


def _manifest(corpus: Path) -> Path:
    """The corpus as files named by language, held-out lines, and a manifest, beside it."""
    sys.path.insert(0, str(Path(__file__).resolve().parent / "peers"))
    from corpus import SOURCE_FILE, TARGET_FILE, sentence_pairs, write_lines

    pairs = sentence_pairs(DEV_LINES, seed=DEV_SEED)
    sides = (("eng_Latn", SOURCE_FILE), ("deu_Latn", TARGET_FILE))
    for number, (language, train) in enumerate(sides):
        write_lines(corpus / f"dev.{language}.txt", [" ".join(pair[number]) for pair in pairs])
        (corpus / f"train.{language}.txt").write_bytes((corpus / train).read_bytes())
    lines = ['name = "zipf"', 'license = "CC0-1.0"']
    for split in ("train", "dev"):
        lines += [
            "[[corpus]]",
            'name = "zipf"',
            f'split = "{split}"',
            'format = "multiway"',
            f'path = "{split}.{{lang}}.txt"',
            'languages = ["eng_Latn", "deu_Latn"]',
        ]
    path = corpus / "manifest.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _words(corpus: Path) -> Path:
    """A SentencePiece model with one piece a word of the corpus's vocabulary."""
    import sentencepiece

    path = corpus / "words.model"
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=corpus) as folder:
            sentencepiece.SentencePieceTrainer.train(
                input=str(corpus / "vocab.txt"),
                model_prefix=str(Path(folder) / "words"),
                model_type="word",
                vocab_size=sum(1 for _ in (corpus / "vocab.txt").open()) + 3,
                normalization_rule_name="identity",
                minloglevel=2,
            )
            Path(folder, "words.model").rename(path)
    return path
