"""The Llama of 4.28 M parameters that benchmarks of training start from, and ids to train it on."""
import json

CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 256, "intermediate_size": 704,
    "num_hidden_layers": 5, "num_attention_heads": 8, "num_key_value_heads": 8, "head_dim": 32, "vocab_size": 512,
    "max_position_embeddings": 256, "rms_norm_eps": 1e-5, "hidden_act": "silu", "tie_word_embeddings": False,
    "rope_theta": 10000.0, "torch_dtype": "float32", "bos_token_id": 1, "eos_token_id": 2,
}


def write(folder):
    """FOLDER/config/config.json and FOLDER/data.bin: 600,000 ids, raw uint16 (`--token-format nanogpt`)."""
    (folder / "config").mkdir(parents=True)
    (folder / "config/config.json").write_text(json.dumps(CONFIG, indent=2))
    (folder / "data.bin").write_bytes(bytes(b for i in range(600_000) for b in ((i * 7919 >> 3) % 256, i % 2)))
