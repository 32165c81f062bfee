"""What transformers' config classes take for keys that a config.json lacks: a list of folders -> a list of values."""

from exchange import answer, request
from transformers import AutoConfig


def first(config, *names, otherwise=None):
    """The first of the attributes that is there and not None."""
    return next((v for v in (getattr(config, n, None) for n in names) if v is not None), otherwise)


def experts_of(c):
    """How many, of a token, their widths, whether their weights sum to 1, and the layers that have them."""
    count = first(c, "num_local_experts", "num_experts")
    if count is None:
        return None
    width = getattr(c, "moe_intermediate_size", c.intermediate_size)
    step = getattr(c, "decoder_sparse_step", 1)
    dense = getattr(c, "mlp_only_layers", [])
    layers = [i not in dense and (i + 1) % step == 0 for i in range(c.num_hidden_layers)]
    shared = getattr(c, "shared_expert_intermediate_size", 0)
    return [count, c.num_experts_per_tok, width, shared, getattr(c, "norm_topk_prob", True), layers]


found = []
for folder in request():
    c = AutoConfig.from_pretrained(folder)
    kind = c.model_type
    rope = c.rope_parameters
    full = rope.get("full_attention", rope)
    sliding = rope.get("sliding_attention", rope)
    window = getattr(c, "sliding_window", None) or None
    layers = getattr(c, "layer_types", None) or ["full_attention"] * c.num_hidden_layers
    slides = [window is not None if kind in ("mistral", "mixtral", "starcoder2") else t == "sliding_attention" for t in layers]
    biased = kind == "phi"
    multi_query = kind == "falcon" and c.multi_query and not c.new_decoder_architecture
    scalar = getattr(c, "query_pre_attn_scalar", None)
    found.append(
        {
            "n_kv_heads": 1 if multi_query else first(c, "num_key_value_heads", "num_kv_heads"),
            "intermediate_size": first(c, "intermediate_size", "ffn_hidden_size"),
            "head_dim": getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads,
            "max_positions": c.max_position_embeddings,
            "norm_eps": first(c, "layer_norm_eps", "layer_norm_epsilon", "norm_epsilon", "rms_norm_eps", otherwise=1e-5),
            "rope_theta": full["rope_theta"],
            "rope_type": "default" if full["rope_type"] == "default" else "scaled",
            "sliding_theta": sliding["rope_theta"],
            "partial_rotary_factor": full.get("partial_rotary_factor", 1.0),
            "initializer_range": c.initializer_range,
            "hidden_act": first(c, "hidden_activation", "hidden_act", "activation") if kind != "gemma" else c.hidden_act,
            "tie_word_embeddings": c.tie_word_embeddings,
            "qkv_bias": first(c, "attention_bias", "qkv_bias", "use_qkv_bias", "use_bias", "bias", otherwise=biased or kind == "qwen2"),
            "mlp_bias": first(c, "mlp_bias", "use_bias", "bias", otherwise=biased),
            "experts": experts_of(c),
            "sliding_window": window,
            "sliding_layers": slides,
            "turned_layers": slides if kind == "cohere2" else [x == 1 for x in getattr(c, "no_rope_layers", [])],
            "parallel": kind in ("phi", "cohere", "cohere2", "falcon") or getattr(c, "use_parallel_residual", False),
            "clip": getattr(c, "clip_qkv", None),
            "scores_cap": c.attn_logit_softcapping if kind == "gemma2" else 0,
            "logits_cap": first(c, "final_logit_softcapping", otherwise=0),
            "embedding": c.hidden_size**0.5 if kind.startswith("gemma") else getattr(c, "embedding_multiplier", 1),
            "residual": getattr(c, "residual_multiplier", 1),
            "scores": scalar**-0.5 if scalar else getattr(c, "attention_multiplier", 0),
            "logits": first(c, "logit_scale", otherwise=1 / getattr(c, "logits_scaling", 1)),
            "bos_token_id": c.bos_token_id,
            "eos_token_id": c.eos_token_id,
        }
    )
answer(found)
