"""Decoding with llama.cpp: GGUF TOKENS THREADS f16|f32 PROMPT_IDS; prints {"tokens_per_s", "ids"?}."""
import json
import sys

import xllamacpp

gguf, tokens, threads, kv, prompt = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], json.loads(sys.argv[5])
params = xllamacpp.CommonParams()
params.model.path = gguf
params.n_ctx = tokens + len(prompt) + 8
params.n_parallel = 1
params.warmup = True
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
params.cache_type_k = params.cache_type_v = getattr(xllamacpp.ggml_type, f"GGML_TYPE_{kv.upper()}")
answer = xllamacpp.Server(params).handle_completions(
    {"prompt": prompt, "n_predict": tokens, "temperature": 0.0, "top_k": 1, "ignore_eos": True, "cache_prompt": False}
)
timings = answer["timings"]
assert timings["predicted_n"] == tokens, timings
print(json.dumps({"tokens_per_s": timings["predicted_per_second"], "text": answer["choices"][0]["text"][:200]}))
