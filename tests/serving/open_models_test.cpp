// Bytes of the KV cache of published models with attention, each worked out by hand from its config.json.
#include <string>
#include <vector>

#include "serving/published_models.h"

namespace regroup::testing {
namespace {

/// The keys that the families of regroup itself need too.
std::string family_config(const std::string& type, const std::string& rest) {
  return R"({"model_type": ")" + type + R"(", "intermediate_size": 11008, "vocab_size": 32000, )" +
         rest + "}";
}

// 2 for keys and values; 2 B at the end is bf16.
TEST(OpenModels, FamiliesOfRegroupHaveTheBytesOfTheirFiles) {
  const std::vector<PublishedModel> models{
      // 2 * 32 layers * 32 heads * 128 * 2 B = 524,288; * 4,096 tokens
      {"Llama-2-7B", family_config("llama", R"("hidden_size": 4096, "num_hidden_layers": 32,
                         "num_attention_heads": 32, "num_key_value_heads": 32)"),
       524'288, 4096, 2'147'483'648},
      // 2 * 40 layers * 40 heads * 128 * 2 B = 819,200; * 4,096 tokens
      {"Llama-2-13B", family_config("llama", R"("hidden_size": 5120, "num_hidden_layers": 40,
                         "num_attention_heads": 40, "num_key_value_heads": 40)"),
       819'200, 4096, 3'355'443'200},
      // 2 * 80 layers * 8 heads * 128 * 2 B = 327,680; * 4,096 tokens
      {"Llama-2-70B", family_config("llama", R"("hidden_size": 8192, "num_hidden_layers": 80,
                         "num_attention_heads": 64, "num_key_value_heads": 8)"),
       327'680, 4096, 1'342'177'280},
      // 2 * 32 layers * 8 heads * 128 * 2 B = 131,072; * 8,192 tokens
      {"Llama-3-8B", family_config("llama", R"("hidden_size": 4096, "num_hidden_layers": 32,
                         "num_attention_heads": 32, "num_key_value_heads": 8)"),
       131'072, 8192, 1'073'741'824},
      // 2 * 80 layers * 8 heads * 128 * 2 B = 327,680; * 8,192 tokens
      {"Llama-3-70B", family_config("llama", R"("hidden_size": 8192, "num_hidden_layers": 80,
                         "num_attention_heads": 64, "num_key_value_heads": 8)"),
       327'680, 8192, 2'684'354'560},
      // 2 * 16 layers * 8 heads * 64 * 2 B = 32,768; * 131,072 tokens
      {"Llama-3.2-1B",
       family_config("llama", R"("hidden_size": 2048, "num_hidden_layers": 16, "head_dim": 64,
                         "num_attention_heads": 32, "num_key_value_heads": 8)"),
       32'768, 131'072, 4'294'967'296},
      // 2 * 32 layers * 8 heads * 128 * 2 B = 131,072; * min(8,192, 4,096) tokens
      {"Mistral-7B-v0.1",
       family_config("mistral",
                     R"("hidden_size": 4096, "num_hidden_layers": 32, "sliding_window": 4096,
                           "num_attention_heads": 32, "num_key_value_heads": 8)"),
       131'072, 8192, 536'870'912},
      // 2 * 80 layers * 8 heads * 128 * 2 B = 327,680; * 32,768 tokens
      {"Qwen2.5-72B",
       family_config("qwen2",
                     R"("hidden_size": 8192, "num_hidden_layers": 80, "sliding_window": 131072,
                         "use_sliding_window": false, "max_window_layers": 80,
                         "num_attention_heads": 64, "num_key_value_heads": 8)"),
       327'680, 32'768, 10'737'418'240},
      // 2 * 28 layers * 8 heads * 128 * 2 B = 114,688; * 40,960 tokens
      {"Qwen3-0.6B",
       family_config("qwen3", R"("hidden_size": 1024, "num_hidden_layers": 28, "head_dim": 128,
                         "num_attention_heads": 16, "num_key_value_heads": 8)"),
       114'688, 40'960, 4'697'620'480},
      // 2 * 42 layers * 8 heads * 256 * 2 B = 344,064; (21 * 8,192 + 21 * 4,096) * 8,192 B a layer
      {"Gemma-2-9B",
       family_config("gemma2", R"("hidden_size": 3584, "num_hidden_layers": 42, "head_dim": 256,
                          "sliding_window": 4096,
                          "num_attention_heads": 16, "num_key_value_heads": 8)"),
       344'064, 8192, 2'113'929'216},
      // 2 * 32 layers * 32 heads * 80 * 2 B = 327,680; * 2,048 tokens
      {"Phi-2",
       family_config("phi",
                     R"("hidden_size": 2560, "num_hidden_layers": 32, "partial_rotary_factor": 0.4,
                       "num_attention_heads": 32, "num_key_value_heads": 32)"),
       327'680, 2048, 671'088'640},
      // 2 * 32 layers * 32 heads * 96 * 2 B = 393,216; * min(4,096, 2,047) tokens
      {"Phi-3-mini-4k",
       family_config("phi3",
                     R"("hidden_size": 3072, "num_hidden_layers": 32, "sliding_window": 2047,
                        "num_attention_heads": 32, "num_key_value_heads": 32)"),
       393'216, 4096, 804'913'152},
      // 2 * 24 layers * 32 heads * 64 * 2 B = 196,608; * 4,096 tokens
      {"StableLM-2-1.6B",
       family_config("stablelm",
                     R"("hidden_size": 2048, "num_hidden_layers": 24, "use_qkv_bias": true,
                            "num_attention_heads": 32, "num_key_value_heads": 32)"),
       196'608, 4096, 805'306'368},
      // 2 * 32 layers * 32 heads * 128 * 2 B = 524,288; * 4,096 tokens
      {"LLaVA-1.5 with the keys of its text model",
       R"({"model_type": "llava", "text_config": )" +
           family_config("llama", R"("hidden_size": 4096, "num_hidden_layers": 32,
                             "num_attention_heads": 32, "num_key_value_heads": 32)") +
           "}",
       524'288, 4096, 2'147'483'648},
  };
  expect_bytes(models);
}

TEST(OpenModels, EveryQueryHeadHasItsOwnKeysAndValues) {
  const std::vector<PublishedModel> models{
      // 2 * 48 layers * 25 heads * 64 * 2 B = 307,200; * 1,024 tokens
      {"GPT-2-XL",
       R"({"model_type": "gpt2", "n_layer": 48, "n_head": 25, "n_embd": 1600, "n_ctx": 1024})",
       307'200, 1024, 314'572'800},
      // 2 * 28 layers * 16 heads * 256 * 2 B = 458,752; * 2,048 tokens
      {"GPT-J-6B", R"({"model_type": "gptj", "n_layer": 28, "n_head": 16, "n_embd": 4096})",
       458'752, 2048, 939'524'096},
      // 2 * 32 layers * 20 heads * 128 * 2 B = 327,680; (16 * 2,048 + 16 * 256) * 10,240 B a layer
      {"GPT-Neo-2.7B",
       R"({"model_type": "gpt_neo", "num_layers": 32, "num_heads": 20, "hidden_size": 2560,
           "window_size": 256, "attention_types": [[["global", "local"], 16]]})",
       327'680, 2048, 377'487'360},
      // 2 * 44 layers * 64 heads * 96 * 2 B = 1,081,344; * 2,048 tokens
      {"GPT-NeoX-20B",
       R"({"model_type": "gpt_neox", "num_hidden_layers": 44, "num_attention_heads": 64,
           "hidden_size": 6144, "vocab_size": 50432})",
       1'081'344, 2048, 2'214'592'512},
      // 2 * 16 layers * 8 heads * 256 * 2 B = 131,072; * 2,048 tokens
      {"Pythia-1B",
       R"({"model_type": "gpt_neox", "num_hidden_layers": 16, "num_attention_heads": 8,
           "hidden_size": 2048, "vocab_size": 50304})",
       131'072, 2048, 268'435'456},
      // 2 * 32 layers * 32 heads * 128 * 2 B = 524,288; * 2,048 tokens
      {"OPT-6.7B",
       R"({"model_type": "opt", "num_hidden_layers": 32, "num_attention_heads": 32,
           "hidden_size": 4096, "word_embed_proj_dim": 4096})",
       524'288, 2048, 1'073'741'824},
      // 2 * 70 layers * 112 heads * 128 * 2 B = 4,014,080; * 2,048 tokens
      {"BLOOM-176B",
       R"({"model_type": "bloom", "n_layer": 70, "num_attention_heads": 112, "n_embed": 14336})",
       4'014'080, 2048, 8'220'835'840},
      // 2 * 32 layers * 32 heads * 128 * 2 B = 524,288; * 2,048 tokens
      {"MPT-7B",
       R"({"model_type": "mpt", "n_layers": 32, "n_heads": 32, "d_model": 4096,
           "max_seq_len": 2048, "attn_config": {"attn_type": "multihead_attention"}})",
       524'288, 2048, 1'073'741'824},
      // 2 * 48 layers * 64 heads * 112 * 2 B = 1,376,256; * 8,192 tokens
      {"MPT-30B",
       R"({"model_type": "mpt", "n_layers": 48, "n_heads": 64, "d_model": 7168,
           "max_seq_len": 8192, "attn_config": {"attn_type": "multihead_attention"}})",
       1'376'256, 8192, 11'274'289'152},
      // 2 * 32 layers * 32 heads * 128 * 2 B = 524,288; * 8,192 tokens
      {"Qwen-7B",
       R"({"model_type": "qwen", "num_hidden_layers": 32, "num_attention_heads": 32,
           "hidden_size": 4096, "kv_channels": 128})",
       524'288, 8192, 4'294'967'296},
      // 2 * 16 layers * 16 heads * 128 * 2 B = 131,072; * 4,096 tokens
      {"OLMoE-1B-7B",
       R"({"model_type": "olmoe", "num_hidden_layers": 16, "num_attention_heads": 16,
           "num_key_value_heads": 16, "hidden_size": 2048})",
       131'072, 4096, 536'870'912},
  };
  expect_bytes(models);
}

TEST(OpenModels, GroupsOfQueryHeadsShareKeysAndValues) {
  const std::vector<PublishedModel> models{
      // 2 * 32 layers * 1 head * 64 * 2 B = 8,192; * 2,048 tokens
      {"Falcon-7B",
       family_config("falcon",
                     R"("num_hidden_layers": 32, "num_attention_heads": 71, "num_kv_heads": 71,
           "hidden_size": 4544, "multi_query": true, "new_decoder_architecture": false)"),
       8'192, 2048, 16'777'216},
      // 2 * 60 layers * 8 heads * 64 * 2 B = 122,880; * 2,048 tokens
      {"Falcon-40B",
       family_config("falcon",
                     R"("num_hidden_layers": 60, "num_attention_heads": 128, "num_kv_heads": 8,
           "hidden_size": 8192, "multi_query": true, "new_decoder_architecture": true)"),
       122'880, 2048, 251'658'240},
      // The same under its older name and spellings.
      {"Falcon-40B as first published",
       R"({"model_type": "RefinedWeb", "n_layer": 60, "n_head": 128, "n_head_kv": 8,
           "hidden_size": 8192})",
       122'880, 2048, 251'658'240},
      // 2 * 80 layers * 8 heads * 64 * 2 B = 163,840; * 2,048 tokens
      {"Falcon-180B",
       family_config("falcon",
                     R"("num_hidden_layers": 80, "num_attention_heads": 232, "num_kv_heads": 8,
           "hidden_size": 14848, "multi_query": true, "new_decoder_architecture": true)"),
       163'840, 2048, 335'544'320},
      // 2 * 40 layers * 40 heads * 128 * 2 B = 819,200; * 4,096 tokens. convert refuses it.
      {"Baichuan-13B",
       R"({"model_type": "baichuan", "architectures": ["BaichuanForCausalLM"],
           "num_hidden_layers": 40, "num_attention_heads": 40, "hidden_size": 5120,
           "model_max_length": 4096})",
       819'200, 4096, 3'355'443'200},
      // 2 * 24 layers * 32 heads * 64 * 2 B = 196,608; * 2,048 tokens. convert refuses it.
      {"Falcon-RW-1B",
       R"({"model_type": "falcon", "num_hidden_layers": 24, "num_attention_heads": 32, "alibi": true,
           "hidden_size": 2048, "multi_query": false, "new_decoder_architecture": false})",
       196'608, 2048, 402'653'184},
      // 2 * 40 layers * 1 head * 128 * 2 B = 20,480; * 8,192 tokens
      {"StarCoder",
       R"({"model_type": "gpt_bigcode", "n_layer": 40, "n_head": 48, "n_embd": 6144,
           "n_positions": 8192, "multi_query": true})",
       20'480, 8192, 167'772'160},
      // 2 * 28 layers * 2 heads * 128 * 2 B = 28,672; * 8,192 tokens
      {"ChatGLM3-6B",
       R"({"model_type": "chatglm", "num_layers": 28, "num_attention_heads": 32,
           "hidden_size": 4096, "kv_channels": 128, "multi_query_attention": true,
           "multi_query_group_num": 2, "padded_vocab_size": 65024, "seq_length": 8192})",
       28'672, 8192, 234'881'024},
      // 2 * 40 layers * 2 heads * 128 * 2 B = 40,960; * 8,192 tokens
      {"GLM-4-9B",
       R"({"model_type": "glm", "num_hidden_layers": 40, "num_attention_heads": 32,
           "num_key_value_heads": 2, "head_dim": 128, "hidden_size": 4096})",
       40'960, 8192, 335'544'320},
      // 2 * 46 layers * 8 heads * 128 * 2 B = 188,416; * 131,072 tokens
      {"GLM-4.5-Air",
       R"({"model_type": "glm4_moe", "num_hidden_layers": 46, "num_attention_heads": 96,
           "num_key_value_heads": 8, "head_dim": 128, "hidden_size": 4096})",
       188'416, 131'072, 24'696'061'952},
      // 2 * 32 layers * 8 heads * 128 * 2 B = 131,072; * 32,768 tokens
      {"InternLM2-7B",
       family_config("internlm2", R"("num_hidden_layers": 32, "num_attention_heads": 32,
           "num_key_value_heads": 8, "hidden_size": 4096, "max_position_embeddings": 32768)"),
       131'072, 32'768, 4'294'967'296},
      // 2 * 40 layers * 8 heads * 128 * 2 B = 163,840; * 32,768 tokens
      {"DBRX",
       R"({"model_type": "dbrx", "n_layers": 40, "n_heads": 48, "d_model": 6144,
           "max_seq_len": 32768, "attn_config": {"clip_qkv": 8, "kv_n_heads": 8}})",
       163'840, 32'768, 5'368'709'120},
      // 2 * 18 layers * 2 heads * 128 * 2 B = 18,432; * 131,072 tokens
      {"ERNIE-4.5-0.3B",
       R"({"model_type": "ernie4_5", "num_hidden_layers": 18, "num_attention_heads": 16,
           "num_key_value_heads": 2, "head_dim": 128, "hidden_size": 1024})",
       18'432, 131'072, 2'415'919'104},
      // 2 * 64 layers * 8 heads * 128 * 2 B = 262,144; * 524,288 tokens
      {"Seed-OSS-36B",
       R"({"model_type": "seed_oss", "num_hidden_layers": 64, "num_attention_heads": 80,
           "num_key_value_heads": 8, "head_dim": 128, "hidden_size": 5120})",
       262'144, 524'288, 137'438'953'472},
      // 2 * 32 layers * 8 heads * 128 * 2 B = 131,072; * 32,768 tokens
      {"Mixtral-8x7B",
       R"({"model_type": "mixtral", "num_hidden_layers": 32, "num_attention_heads": 32,
           "num_key_value_heads": 8, "hidden_size": 4096, "sliding_window": null})",
       131'072, 32'768, 4'294'967'296},
      // 2 * 24 layers * 16 heads * 128 * 2 B = 196,608; * 8,192 tokens
      {"Qwen1.5-MoE-A2.7B",
       R"({"model_type": "qwen2_moe", "num_hidden_layers": 24, "num_attention_heads": 16,
           "num_key_value_heads": 16, "hidden_size": 2048, "sliding_window": 32768,
           "use_sliding_window": false, "max_window_layers": 21})",
       196'608, 8192, 1'610'612'736},
      // 2 * 48 layers * 4 heads * 128 * 2 B = 98,304; * 40,960 tokens
      {"Qwen3-30B-A3B",
       R"({"model_type": "qwen3_moe", "num_hidden_layers": 48, "num_attention_heads": 32,
           "num_key_value_heads": 4, "head_dim": 128, "hidden_size": 2048,
           "sliding_window": null, "use_sliding_window": false, "max_window_layers": 48})",
       98'304, 40'960, 4'026'531'840},
      // 2 * 28 layers * 4 heads * 128 * 2 B = 57,344; * 32,768 tokens
      {"Qwen2-VL-7B",
       R"({"model_type": "qwen2_vl", "num_hidden_layers": 28, "num_attention_heads": 28,
           "num_key_value_heads": 4, "hidden_size": 3584, "sliding_window": 32768,
           "use_sliding_window": false, "max_window_layers": 28})",
       57'344, 32'768, 1'879'048'192},
  };
  expect_bytes(models);
}

}  // namespace
}  // namespace regroup::testing
