"""Families that transformers has no class for: their weights, laid out anew, in LlamaForCausalLM.

Their published code computes what Llama computes. What differs is how tensors are named and how rows lie, and that is said here
a second time, by reshaping.
"""

import json
import pathlib

import torch
from safetensors.torch import load_file

PLAIN = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size", "hidden_act",
         "max_position_embeddings", "rms_norm_eps", "tie_word_embeddings", "bos_token_id", "eos_token_id")


def grouped(fused, heads, kv_heads):
    """[kv_heads * (m + 2) * d, ...] -> q, k, v: the m query heads of a KV head, its keys, its values, KV head by KV head."""
    m = heads // kv_heads
    parts = fused.reshape(kv_heads, m + 2, fused.shape[0] // (kv_heads * (m + 2)), *fused.shape[1:])
    return [p.flatten(0, 2).contiguous() for p in (parts[:, :m], parts[:, m : m + 1], parts[:, m + 1 :])]


def internlm2(weights, config):
    heads, kv_heads = config["num_attention_heads"], config.get("num_key_value_heads") or config["num_attention_heads"]
    names = {
        "tok_embeddings": "embed_tokens", "attention_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
        "attention.wo": "self_attn.o_proj", "feed_forward.w1": "mlp.gate_proj", "feed_forward.w3": "mlp.up_proj",
        "feed_forward.w2": "mlp.down_proj",
    }  # fmt: skip
    for name, tensor in weights.items():
        if ".attention.wqkv." in name:
            for letter, part in zip("qkv", grouped(tensor, heads, kv_heads)):
                yield name.replace("attention.wqkv", f"self_attn.{letter}_proj"), part
            continue
        for theirs, llamas in names.items():
            name = name.replace(f".{theirs}.", f".{llamas}.")
        yield name.replace("output.weight", "lm_head.weight"), tensor


def baichuan(weights, config):
    for name, tensor in weights.items():
        if ".self_attn.W_pack." not in name:
            yield name, tensor
            continue
        for letter, part in zip("qkv", tensor.chunk(3)):
            yield name.replace("W_pack", f"{letter}_proj"), part


def internlm(weights, config):
    yield from weights.items()


def deepseek(weights, config):
    """Experts one below the other, as DeepSeek-V2's block, which computes the same, has them."""
    experts = {}
    for name, tensor in weights.items():
        if ".mlp.experts." not in name:
            yield name, tensor
            continue
        before, after = name.split(".experts.")
        number, kind = after.split(".")[:2]
        experts.setdefault((before, kind), {})[int(number)] = tensor
    stacked = {key: torch.stack([of[i] for i in range(len(of))]) for key, of in experts.items()}
    for before in {before for before, _ in stacked}:
        yield f"{before}.experts.gate_up_proj", torch.cat([stacked[before, "gate_proj"], stacked[before, "up_proj"]], 1)
        yield f"{before}.experts.down_proj", stacked[before, "down_proj"]


def with_experts(llama, config):
    """Puts DeepSeek-V2's block in place of the MLP of the layers that have experts."""
    from transformers.models.deepseek_v2.modeling_deepseek_v2 import DeepseekV2Config, DeepseekV2Moe

    keys = ("hidden_size", "num_attention_heads", "hidden_act", "moe_intermediate_size", "n_routed_experts", "n_shared_experts",
            "num_experts_per_tok")  # fmt: skip
    block = DeepseekV2Config(**{key: config[key] for key in keys}, topk_method="greedy", routed_scaling_factor=1.0)
    block._experts_implementation = "eager"
    for number, layer in enumerate(llama.model.layers):
        if number >= config.get("first_k_dense_replace", 0) and number % config.get("moe_layer_freq", 1) == 0:
            layer.mlp = DeepseekV2Moe(block).to(llama.dtype)


KINDS = {"deepseek": deepseek, "internlm": internlm, "internlm2": internlm2, "baichuan": baichuan}


def load_as_llama(folder, kind, dtype):
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = pathlib.Path(folder)
    config = json.loads((folder / "config.json").read_text())
    files = sorted(folder.glob("*.safetensors"))
    weights = {name: tensor for file in files for name, tensor in load_file(file).items()}
    rope = dict(config.get("rope_scaling") or {}, rope_theta=config.get("rope_theta", 10000.0))
    if rotary := config.get("rotary"):
        rope = {"rope_theta": float(rotary["base"])} | ({"rope_type": "dynamic", "factor": 1.0} if rotary["type"] == "dynamic" else {})
    rope.setdefault("rope_type", rope.pop("type", "default"))
    llama = LlamaForCausalLM._from_config(
        LlamaConfig(
            **{key: config[key] for key in PLAIN if key in config}, attention_bias=config.get("bias", config.get("attention_bias", False)),
            num_key_value_heads=config.get("num_key_value_heads"), rope_parameters=rope),
        dtype=dtype, attn_implementation="eager")  # fmt: skip
    if config.get("n_routed_experts"):
        with_experts(llama, config)
    llama.load_state_dict(dict(KINDS[kind](weights, config)), strict=True)
    return llama.eval()
