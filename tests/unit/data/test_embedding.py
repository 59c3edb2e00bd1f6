"""Sentences as vectors: against the formula, folders of both kinds, what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from embedding_made import DIM, PLACES, bag_of_words, deep
from filters_made import sentence
from safetensors.torch import load_file, save_file
from transformers import BartConfig, BartModel, NllbTokenizer
from transformers.models.m2m_100.modeling_m2m_100 import M2M100Config, M2M100Encoder

from m4nmt.core.config import ConfigError
from m4nmt.data.filters import embedding, embedding_model, scores
from m4nmt.data.filters.embedding import Embedder
from m4nmt.data.filters.settings import EmbeddingScore

ASKED = EmbeddingScore(model="made", least=0.5)
LINES = [sentence(n, "one") for n in range(40)]


def modules(folder: Path, pooling: str, *, dense: bool = False, kind: str = "Pooling") -> None:
    """Write what sentence-transformers writes beside a model."""
    parts = [("", "Transformer"), ("1_Pooling", kind), ("2_Dense", "Dense"), ("3", "Normalize")]
    told = [{"path": path, "type": f"a.{name}"} for path, name in parts if dense or name != "Dense"]
    (folder / "modules.json").write_text(json.dumps(told))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(pooling)
    (folder / "2_Dense").mkdir(exist_ok=True)
    activation = "torch.nn.modules.activation.Tanh"
    about = {"in_features": DIM, "out_features": 5, "bias": True, "activation_function": activation}
    (folder / "2_Dense" / "config.json").write_text(json.dumps(about))
    draw = torch.Generator().manual_seed(1)
    weights = {"linear.weight": torch.randn(5, DIM, generator=draw), "linear.bias": torch.ones(5)}
    save_file(weights, folder / "2_Dense" / "model.safetensors")


def test_pairs_stand_out_from_lines_thrown_together(tmp_path: Path) -> None:
    embedder = Embedder(bag_of_words(tmp_path), ASKED)
    ones, others = (
        embedder.embed([sentence(n, name) for n in range(300)], f"{name}_Latn")
        for name in ("one", "two")
    )
    cosine = ones @ others.T
    assert np.mean(np.diag(cosine) >= 0.5) > 0.99
    assert np.mean(cosine[~np.eye(300, dtype=bool)] < 0.5) > 0.99


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("old", [False, True])
def test_a_folder_of_sentence_transformers(pooling: str, old: bool, tmp_path: Path) -> None:
    model = deep(tmp_path)
    name = {"cls": "pooling_mode_cls_token", "mean": "pooling_mode_mean_tokens"}[pooling]
    told = {name: True, "pooling_mode_max_tokens": False} if old else {"pooling_mode": pooling}
    modules(tmp_path, json.dumps(told), dense=True)
    embedder = Embedder(tmp_path, ASKED)
    weights = load_file(tmp_path / "2_Dense" / "model.safetensors")
    for text, found in zip(LINES, embedder.embed(LINES, "eng_Latn"), strict=True):
        ids = torch.tensor([embedder._tokenizer(text)["input_ids"]])
        with torch.no_grad():
            states = model(input_ids=ids).last_hidden_state[0]
        pooled = states[0] if pooling == "cls" else states.mean(0)
        wanted = torch.tanh(weights["linear.weight"] @ pooled + weights["linear.bias"])
        assert np.allclose(found, (wanted / wanted.norm()).numpy(), atol=1e-5)


def test_batches_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep(tmp_path)
    embedder = Embedder(tmp_path, ASKED)
    whole = embedder.embed([*LINES, LINES[3]], "eng_Latn")
    assert np.array_equal(whole[3], whole[-1])
    asked: list[int] = []
    real = embedder._batch
    monkeypatch.setattr(embedder, "_batch", lambda ids: (asked.append(len(ids)), real(ids))[1])
    monkeypatch.setattr(embedding, "_TOKENS", 40)
    assert np.allclose(embedder.embed([*LINES, LINES[3]], "eng_Latn"), whole, atol=1e-5)
    assert sum(asked) == len(LINES)  # equal lines go through the model once
    assert len(asked) > 10


def test_long_lines_are_cut_and_prefixes_put(tmp_path: Path) -> None:
    deep(tmp_path)
    long = " ".join(LINES)
    found = Embedder(tmp_path, ASKED).embed([long, long + " " + LINES[0]], "eng_Latn")
    assert np.array_equal(found[0], found[1])
    short = Embedder(tmp_path, EmbeddingScore(tokens=6)).embed([long, LINES[0]], "eng_Latn")
    assert np.allclose(short[0], short[1], atol=1e-6)
    assert Embedder(tmp_path, EmbeddingScore(tokens=10**6))._most == PLACES - 2
    prefixed = Embedder(tmp_path, EmbeddingScore(prefix=LINES[1] + " "))
    plain = Embedder(tmp_path, ASKED)
    one, other = prefixed.embed(LINES[:1], ""), plain.embed([f"{LINES[1]} {LINES[0]}"], "")
    assert np.allclose(one, other, atol=1e-6)
    assert not np.allclose(one, plain.embed(LINES[:1], ""), atol=1e-3)


def test_an_encoder_of_a_translation_model(tmp_path: Path) -> None:
    """SONAR's is published as the encoder of M2M100; a model with its decoder is refused."""
    deep(tmp_path)  # its tokenizer
    sizes = {"d_model": 8, "encoder_layers": 1, "encoder_attention_heads": 2}
    config = M2M100Config(vocab_size=400, encoder_ffn_dim=8, **sizes)
    M2M100Encoder(config).save_pretrained(tmp_path)
    assert Embedder(tmp_path, ASKED).embed(LINES, "eng_Latn").shape == (40, 8)
    heads = {"decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 8}
    whole = BartConfig(vocab_size=400, encoder_ffn_dim=8, **sizes, **heads)
    BartModel(whole).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="holds BartModel, which translates"):
        Embedder(tmp_path, ASKED)


def test_tokenizers_are_told_the_language(tmp_path: Path) -> None:
    pieces = {name: i for i, name in enumerate(["<s>", "<pad>", "</s>", "<unk>", "▁", "a"])}
    NllbTokenizer(vocab=pieces, merges=[]).save_pretrained(tmp_path)
    sizes = {"d_model": 8, "encoder_layers": 1, "encoder_attention_heads": 2}
    config = M2M100Config(vocab_size=250, encoder_ffn_dim=8, **sizes)
    M2M100Encoder(config).save_pretrained(tmp_path)
    embedder = Embedder(tmp_path, ASKED)
    seen = {}
    for code in ("deu_Latn", "fra_Latn", "deu_Latn", "xxx_Xxxx"):
        seen[code] = embedder.embed(["a a"], code)
    assert not np.allclose(seen["deu_Latn"], seen["fra_Latn"], atol=1e-4)
    assert embedder._tokenizer.src_lang == "deu_Latn"  # a language that it does not know


def test_damage_is_told(tmp_path: Path) -> None:
    deep(tmp_path)
    path = tmp_path / "model.safetensors"
    weights = load_file(path)
    broken = {k: torch.full_like(v, torch.nan) for k, v in weights.items()}
    save_file(broken, path, {"format": "pt"})
    with pytest.raises(ConfigError, match="makes no numbers of a line of eng_Latn"):
        Embedder(tmp_path, ASKED).embed(LINES, "eng_Latn")
    fewer = {k: v for k, v in weights.items() if "layer.1" not in k}
    save_file(fewer, path, {"format": "pt"})
    with pytest.raises(ConfigError, match=r"lacks weights of its encoder \(encoder.layer.1"):
        Embedder(tmp_path, ASKED)
    path.write_bytes(b"none")
    with pytest.raises(ConfigError, match=r"cannot be loaded|lacks weights"):
        Embedder(tmp_path, ASKED)


def test_what_is_no_model_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"there is no folder '\./none'"):
        embedding_model.find("./none")
    assert embedding_model.find("./none", reach=False) is None
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ConfigError, match="weights in safetensors"):
        embedding_model.find(str(tmp_path))
    deep(tmp_path)
    assert embedding_model.find(str(tmp_path)) == tmp_path
    modules(tmp_path, '{"pooling_mode": "max"}')
    with pytest.raises(ConfigError, match="asks for pooling max; cls and mean are known"):
        embedding_model.find(str(tmp_path))
    modules(tmp_path, '{"pooling_mode": "cls"}', kind="WeightedLayerPooling")
    with pytest.raises(ConfigError, match=r"asks for a\.WeightedLayerPooling"):
        embedding_model.find(str(tmp_path))
    monkeypatch.setattr(embedding_model, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"needs transformers; pip install 'm4nmt\[embeddings\]'"):
        embedding_model.find(str(tmp_path))


def test_a_model_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache first; where it has nothing whole, the network; where there is none, what to do."""
    asked: list[bool] = []
    whole, part = tmp_path / "whole", tmp_path / "part"
    deep(whole)
    part.mkdir()
    cached: Path | None = None
    online: Path | None = None

    def snapshot(name: str, *, allow_patterns: list[str], local_files_only: bool) -> str:
        assert (name, "*.bin" in allow_patterns) == ("owner/name", False)
        asked.append(local_files_only)
        found = cached if local_files_only else online
        if found is None:
            raise FileNotFoundError("no network\nmore of it")
        return str(found)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    with pytest.raises(ConfigError, match=r"does not give it: no network\. Where no network is"):
        embedding_model.find("owner/name")
    assert embedding_model.find("owner/name", reach=False) is None
    assert asked == [True, False, True]
    cached = whole
    assert embedding_model.find("owner/name") == whole
    assert asked[3:] == [True]
    cached, online = part, whole
    assert embedding_model.find("owner/name", reach=False) is None
    assert embedding_model.find("owner/name") == whole


def test_a_changed_file_is_another_model(tmp_path: Path) -> None:
    bag_of_words(tmp_path)
    state, digest = embedding_model.state(tmp_path), embedding_model.digest(tmp_path)
    (tmp_path / "README.md").write_text("of no matter")
    assert (embedding_model.state(tmp_path), embedding_model.digest(tmp_path)) == (state, digest)
    path = tmp_path / "tokenizer.json"
    path.write_bytes(path.read_bytes() + b" ")
    assert embedding_model.state(tmp_path) != state
    assert embedding_model.digest(tmp_path) != digest


def test_scores_on_disk(tmp_path: Path) -> None:
    cosine = np.array([-1, -0.3, 0, 0.59999, 0.6, 1, 1.0000001], np.float32)
    steps = scores.pack(cosine)
    assert steps.min() == 1
    assert np.abs(scores.unpack(steps) - np.clip(cosine, -1, 1)).max() < 2e-5
    assert np.isnan(scores.unpack(np.zeros(1, np.uint16)))[0]
    draw = np.random.default_rng(0)
    one, other = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in draw.normal(size=(2, 9, 4)))
    present = np.arange(9) != 4
    draft = scores.Draft(tmp_path / "draft", 9)
    assert not draft.has(0, present)
    assert draft.has(0, np.zeros(9, bool))
    draft.put(0, scores.compare(one[:5], other[:5], present[:5]))
    assert draft.has(0, present[:5])
    again = scores.Draft(tmp_path / "draft", 9)  # a killed run's
    assert again.has(0, present[:5])
    assert not again.has(5, present[5:])
    again.put(5, scores.compare(one[5:], other[5:], present[5:]))
    again.finish(tmp_path / "scores", {})
    found, thrown = scores.Scores(tmp_path / "scores").of(np.arange(9))
    assert np.allclose(found[present], (one * other).sum(1)[present], atol=2e-5)
    assert np.isnan([found[4], thrown[4]]).all()
    assert np.allclose(thrown[[0, 1, 2, 3]], (one[:4] * other[[2, 3, 0, 1]]).sum(1), atol=2e-5)
