"""The peer of bench/busy's eval: transformers' forward pass and the loss of every token, in a plain torch loop.

bench/eval_transformers.py MODEL BATCH SEQ STEPS     prints one JSON object
"""
import json
import sys
import time

import torch
from transformers import AutoModelForCausalLM

folder, batch, seq, steps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
torch.manual_seed(0)
model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="sdpa", dtype=torch.float32).eval()
seconds = []
with torch.inference_mode():
    for step in range(steps):
        ids = torch.randint(model.config.vocab_size, (batch, seq + 1))
        start = time.perf_counter()
        logits = model(ids[:, :-1], use_cache=False).logits
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()).item()
        seconds.append(time.perf_counter() - start)
print(json.dumps({"step_s": seconds}))
