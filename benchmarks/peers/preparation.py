"""How each peer prepares a parallel corpus: the commands, one after another, with one worker.

Where a peer wants pieces, SentencePiece writes them first (`spm_text`), as its users do, from the
same model as ours and in large batches. Dictionaries are given wherever a peer takes one. Nothing
of a peer is re-implemented. Not its job: running or timing them (prepare_peers.py).
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Command = list[str]
_SPM_TEXT = """
import sys
from itertools import islice
from sentencepiece import SentencePieceProcessor
model = SentencePieceProcessor(model_file=sys.argv[1])
for given, made in (sys.argv[2:4], sys.argv[4:6]):
    with open(given, encoding="utf-8") as lines, open(made, "w", encoding="utf-8") as out:
        while chunk := [line.rstrip("\\n") for line in islice(lines, 4096)]:
            pieces = model.encode(chunk, out_type=str, num_threads=1)
            out.writelines(" ".join(row) + "\\n" for row in pieces)
"""


@dataclass(frozen=True)
class Task:
    """What to prepare.

    Attributes:
        src, tgt: plain text, one sentence a line, aligned.
        model: of SentencePiece.
        pieces: of that model, in the order of their ids.
        python: an interpreter that has SentencePiece.
        environments: folder of the peers' environments (setup.sh).
        out: empty folder for whatever is made.
    """

    src: Path
    tgt: Path
    model: Path
    pieces: list[str]
    python: str
    environments: Path
    out: Path

    def program(self, peer: str, name: str) -> str:
        """A program of a peer's environment."""
        return str(self.environments / peer / "bin" / name)


def spm_text(task: Task) -> Command:
    """Text to pieces, in files train.src and train.tgt."""
    source = [str(task.src), str(task.out / "train.src")]
    target = [str(task.tgt), str(task.out / "train.tgt")]
    return [task.python, "-c", _SPM_TEXT, str(task.model), *source, *target]


def fairseq(task: Task) -> list[Command]:
    """fairseq-preprocess with the dictionary given: ids of both sides into memory-mapped files."""
    words = task.out / "words.txt"
    words.write_text("".join(f"{piece} 1\n" for piece in task.pieces[4:]), encoding="utf-8")
    command = [task.program("fairseq", "fairseq-preprocess"), "--joined-dictionary"]
    command += ["--source-lang", "src", "--target-lang", "tgt", "--srcdict", str(words)]
    command += ["--trainpref", str(task.out / "train"), "--destdir", str(task.out / "data")]
    return [spm_text(task), [*command, "--workers", "1"]]


def sockeye(task: Task) -> list[Command]:
    """sockeye.prepare_data with the vocabulary given: bucketed tensors in shards."""
    vocabulary = task.out / "vocab.json"
    words = ["<pad>", "<unk>", "<s>", "</s>", *task.pieces[4:]]
    vocabulary.write_text(json.dumps({word: i for i, word in enumerate(words)}), encoding="utf-8")
    command = [task.program("sockeye", "python"), "-m", "sockeye.prepare_data", "--shared-vocab"]
    command += ["--source", str(task.out / "train.src"), "--target", str(task.out / "train.tgt")]
    command += ["--source-vocab", str(vocabulary), "--target-vocab", str(vocabulary)]
    command += ["--max-seq-len", "255", "--max-processes", "1", "--no-logfile"]
    return [spm_text(task), [*command, "--output", str(task.out / "data")]]


def _described(task: Task, **about: object) -> str:
    """A description of the corpus for Eole and OpenNMT-py (JSON is YAML)."""
    sides = {"path_src": str(task.src), "path_tgt": str(task.tgt), "weight": 1}
    config = {
        "data": {"train": {**sides, "transforms": about.pop("transforms")}},
        "save_data": str(task.out / "data"),
        "src_vocab": str(task.out / "vocab.src"),
        "tgt_vocab": str(task.out / "vocab.tgt"),
        "share_vocab": True,
        "n_sample": -1,
        "num_threads": 1,
        "overwrite": True,
        **about,
    }
    path = task.out / "config.yaml"
    path.write_text(json.dumps(config), encoding="utf-8")
    return str(path)


def opennmt(task: Task) -> list[Command]:
    """onmt_build_vocab over the whole corpus: splits every line and counts the pieces."""
    path = _described(
        task,
        transforms=["onmt_tokenize"],
        src_subword_type="sentencepiece",
        tgt_subword_type="sentencepiece",
        src_subword_model=str(task.model),
        tgt_subword_model=str(task.model),
        src_onmttok_kwargs="{'mode': 'none'}",
        tgt_onmttok_kwargs="{'mode': 'none'}",
    )
    return [[task.program("opennmt", "onmt_build_vocab"), "-config", path]]


def eole(task: Task) -> list[Command]:
    """`eole build_vocab` over the whole corpus: splits every line and counts the pieces."""
    models = {"src_subword_model": str(task.model), "tgt_subword_model": str(task.model)}
    path = _described(
        task, transforms=["sentencepiece"], transforms_configs={"sentencepiece": models}
    )
    return [[task.program("eole", "eole"), "build_vocab", "--config", path]]


PEERS: dict[str, Callable[[Task], list[Command]]] = {
    "fairseq": fairseq,
    "sockeye": sockeye,
    "opennmt": opennmt,
    "eole": eole,
}


def emptied(folder: Path) -> Path:
    """This folder, with nothing in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
