"""What transformers' config classes take for keys that a config.json lacks: a list of folders -> a list of values."""

from exchange import answer, request
from transformers import AutoConfig

found = []
for folder in request():
    c = AutoConfig.from_pretrained(folder)
    rope = c.rope_parameters
    layer_norm = getattr(c, "layer_norm_eps", None)
    window = getattr(c, "sliding_window", None)
    found.append(
        {
            "n_kv_heads": c.num_key_value_heads,
            "head_dim": getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads,
            "max_positions": c.max_position_embeddings,
            "norm_eps": layer_norm if layer_norm is not None else c.rms_norm_eps,
            "rope_theta": rope["rope_theta"],
            "rope_type": rope["rope_type"],
            "partial_rotary_factor": rope.get("partial_rotary_factor", 1.0),
            "initializer_range": c.initializer_range,
            "hidden_act": c.hidden_act,
            "tie_word_embeddings": c.tie_word_embeddings,
            "qkv_bias": getattr(c, "attention_bias", getattr(c, "use_qkv_bias", c.model_type == "qwen2")),
            "mlp_bias": getattr(c, "mlp_bias", False),
            "sliding_window": window,
            "sliding_layers": [
                window is not None if c.model_type == "mistral" else kind == "sliding_attention"
                for kind in getattr(c, "layer_types", None) or ["full_attention"] * c.num_hidden_layers
            ],
            "bos_token_id": c.bos_token_id,
            "eos_token_id": c.eos_token_id,
        }
    )
answer(found)
