"""A small Llama with the weights of a seed and somebody's tokenizer: FOLDER TOKENIZER, or the folder of a request."""

import pathlib
import shutil
import sys

import torch
from transformers import AutoTokenizer, GPT2Tokenizer, LlamaConfig, LlamaForCausalLM


def make_model(folder, tokenizer):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("vocab.json", "merges.txt", "tokenizer.json", "tokenizer.model"):
        if (pathlib.Path(tokenizer) / name).exists():
            shutil.copy(pathlib.Path(tokenizer) / name, folder / name)
    (folder / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "GPT2Tokenizer", "bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>",'
        ' "unk_token": "<|endoftext|>"}'
    )
    torch.manual_seed(7)
    config = LlamaConfig(
        vocab_size=50257, hidden_size=48, intermediate_size=96, num_hidden_layers=2, num_attention_heads=6,
        num_key_value_heads=3, max_position_embeddings=256, initializer_range=0.25, bos_token_id=50256,
        eos_token_id=50256, tie_word_embeddings=True)
    LlamaForCausalLM(config).save_pretrained(folder)


if __name__ == "__main__":
    make_model(sys.argv[1], sys.argv[2])
