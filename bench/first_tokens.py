"""Whether a text is lost with its first token: KL at a first token alone, and over the text behind it.

    .deps/oracles/bin/python bench/first_tokens.py PARENT CONVERTED TOKENS.bin [--count 600]

Draws tokens of the vocabulary and puts 32 tokens of TOKENS (an llm.c file of uint16) behind each. Computes in float32 with transformers.
"""
import argparse
import array
import statistics

import torch
from transformers import AutoModelForCausalLM

BODY, AT_ONCE = 32, 20

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("parent")
parser.add_argument("converted")
parser.add_argument("tokens")
parser.add_argument("--count", type=int, default=600)
args = parser.parse_args()
ids = torch.tensor(array.array("H", open(args.tokens, "rb").read()[1024:])[:20000], dtype=torch.long)
parent, converted = (AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval() for path in (args.parent, args.converted))
torch.manual_seed(0)
first = torch.randperm(parent.config.vocab_size)[: args.count]
found = []  # KL of the first token, mean KL behind it, its id
for begin in range(0, args.count, AT_ONCE):
    part = first[begin : begin + AT_ONCE]
    bodies = torch.stack([ids[at : at + BODY] for at in ((begin + i) % 300 * 50 for i in range(len(part)))])
    windows = torch.cat([part[:, None], bodies], 1)
    with torch.no_grad():
        p, q = (torch.log_softmax(model(windows, use_cache=False).logits, -1) for model in (parent, converted))
    kl = (p.exp() * (p - q)).sum(-1)
    found += [(kl[i, 0].item(), kl[i, 1:BODY].mean().item(), part[i].item()) for i in range(len(part))]
print(f"median: first token {statistics.median(f[0] for f in found):.3f}, behind it {statistics.median(f[1] for f in found):.2f}")
for title, by in (("worst first tokens", 0), ("worst texts", 1)):
    print(title)
    for row in sorted(found, key=lambda f: -f[by])[:10]:
        print(f"  token {row[2]:6}: KL {row[0]:.2f}, behind it {row[1]:.2f}")
