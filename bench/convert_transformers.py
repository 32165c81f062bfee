"""What a user writes today: load with transformers, mean-pool the key and value heads, save.

bench/convert_transformers.py MODEL OUT KV_HEADS
"""
import sys

import torch
from transformers import AutoConfig, AutoModelForCausalLM

model_path, out, kv_heads = sys.argv[1], sys.argv[2], int(sys.argv[3])
config = AutoConfig.from_pretrained(model_path)
model = AutoModelForCausalLM.from_pretrained(model_path, dtype=torch.bfloat16)
head_dim = config.hidden_size // config.num_attention_heads
with torch.no_grad():
    for layer in model.model.layers:
        for projection in (layer.self_attn.k_proj, layer.self_attn.v_proj):
            heads = projection.weight.view(kv_heads, -1, head_dim, config.hidden_size)
            projection.weight = torch.nn.Parameter(heads.float().mean(1).to(torch.bfloat16).flatten(0, 1))
            projection.out_features = kv_heads * head_dim
model.config.num_key_value_heads = kv_heads
model.save_pretrained(out)
