"""Writes a random Llama checkpoint: bench/make_model.py FOLDER [--shards N] [--layers N] [--hidden N] ..."""
import argparse
import json
import pathlib

import torch
from safetensors.torch import save_file

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("folder", type=pathlib.Path)
parser.add_argument("--shards", type=int, default=4)
parser.add_argument("--layers", type=int, default=24)
parser.add_argument("--hidden", type=int, default=2048)
parser.add_argument("--heads", type=int, default=16)
parser.add_argument("--intermediate", type=int, default=5504)
parser.add_argument("--vocab", type=int, default=32256)
args = parser.parse_args()

args.folder.mkdir(parents=True)
config = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": args.hidden,
    "intermediate_size": args.intermediate, "num_hidden_layers": args.layers, "num_attention_heads": args.heads,
    "num_key_value_heads": args.heads, "vocab_size": args.vocab, "max_position_embeddings": 4096,
    "rms_norm_eps": 1e-5, "hidden_act": "silu", "tie_word_embeddings": False, "rope_theta": 10000.0,
    "torch_dtype": "bfloat16", "bos_token_id": 1, "eos_token_id": 2,
}
(args.folder / "config.json").write_text(json.dumps(config, indent=2))

h, f = args.hidden, args.intermediate
shapes = {"model.embed_tokens.weight": (args.vocab, h)}
for i in range(args.layers):
    p = f"model.layers.{i}."
    shapes |= {p + "input_layernorm.weight": (h,), p + "post_attention_layernorm.weight": (h,)}
    shapes |= {p + f"self_attn.{n}_proj.weight": (h, h) for n in "qkvo"}
    shapes |= {p + "mlp.gate_proj.weight": (f, h), p + "mlp.up_proj.weight": (f, h), p + "mlp.down_proj.weight": (h, f)}
shapes |= {"model.norm.weight": (h,), "lm_head.weight": (args.vocab, h)}

names = list(shapes)
per_shard = -(-len(names) // args.shards)
weight_map, total = {}, 0
generator = torch.Generator().manual_seed(0)
for s in range(args.shards):
    part = {n: (torch.randn(shapes[n], generator=generator) * 0.02).to(torch.bfloat16) for n in names[s * per_shard:(s + 1) * per_shard]}
    file = "model.safetensors" if args.shards == 1 else f"model-{s + 1:05}-of-{args.shards:05}.safetensors"
    save_file(part, args.folder / file, metadata={"format": "pt"})
    weight_map |= {n: file for n in part}
    total += sum(t.numel() * 2 for t in part.values())
if args.shards > 1:
    (args.folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {"total_size": total}, "weight_map": weight_map}, indent=2))
print(f"{args.folder}: {total} bytes in {args.shards} shards")
