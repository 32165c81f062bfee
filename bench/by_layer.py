"""Damage by layer: the KL of a converted model where one layer, or the layers that gain most, keep the parent's attention.

    .deps/oracles/bin/python bench/by_layer.py PARENT CONVERTED TOKENS.bin [--tokens 8192] [--seq-len 512] [--most 6]

TOKENS is an llm.c file of uint16. Prints the KL of CONVERTED, the KL with each layer's attention taken from PARENT alone, and of the
first --most layers of that order together: what keeping all their KV heads would buy. Computes in float32 with transformers.
"""
import argparse
import array

import torch
from transformers import AutoModelForCausalLM

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("parent")
parser.add_argument("converted")
parser.add_argument("tokens")
parser.add_argument("--tokens-used", type=int, default=8192)
parser.add_argument("--seq-len", type=int, default=512)
parser.add_argument("--most", type=int, default=6)
args = parser.parse_args()
ids = array.array("H", open(args.tokens, "rb").read()[1024:])[: args.tokens_used]
windows = torch.tensor(ids, dtype=torch.long).reshape(-1, args.seq_len)
parent, converted = (AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval() for path in (args.parent, args.converted))


def log_probs(model, part):
    return torch.log_softmax(model(part, use_cache=False).logits, dim=-1)


@torch.no_grad()
def kl(keep=()):
    """KL(parent || converted) in nats a token, layers of `keep` with the parent's attention."""
    own = {layer: converted.model.layers[layer].self_attn for layer in keep}
    for layer in keep:
        converted.model.layers[layer].self_attn = parent.model.layers[layer].self_attn
    total = 0.0
    for part, wanted in zip(windows.split(2), parents):
        total += (wanted.exp() * (wanted - log_probs(converted, part))).sum().item()
    for layer, attention in own.items():
        converted.model.layers[layer].self_attn = attention
    return total / windows.numel()


with torch.no_grad():
    parents = [log_probs(parent, part) for part in windows.split(2)]
all_converted = kl()
print(f"all layers converted: KL {all_converted:.4f}", flush=True)
found = {}
for layer in range(len(parent.model.layers)):
    found[layer] = kl([layer])
    print(f"layer {layer:2} kept: KL {found[layer]:.4f} ({found[layer] - all_converted:+.4f})", flush=True)
order = sorted(found, key=found.get)
for count in range(1, args.most + 1):
    print(f"layers {', '.join(map(str, sorted(order[:count])))} kept: KL {kl(order[:count]):.4f}", flush=True)
