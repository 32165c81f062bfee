#pragma once

#include "regroup/text/document_settings.h"
#include "regroup/uptrain/options.h"

namespace regroup {

namespace detail {

template <typename Visit>
void visit_data_settings(UptrainOptions& o, Visit&& visit) {
  using Kind = Setting::Kind;
  visit({.name = "data",
         .help = "Training data: .txt, .jsonl, .json (also .gz, .zst), .parquet or token files",
         .kind = Kind::kFilePath,
         .required = true},
        o.data);
  visit({.name = "valid", .help = "Held-out text or token file", .kind = Kind::kFilePath}, o.valid);
  visit({.name = "valid-tokens",
         .help = "Validate on its first N tokens; left out: all",
         .kind = Kind::kCount},
        o.valid_tokens);
  visit({.name = "token-format", .help = "Format of token files"}, o.token_format);
  visit_settings(o.documents, visit);
}

template <typename Visit>
void visit_budget_settings(UptrainOptions& o, Visit&& visit) {
  using Kind = Setting::Kind;
  visit({.name = "steps", .help = "Budget in optimizer steps", .kind = Kind::kCount},
        o.budget.steps);
  visit({.name = "tokens", .help = "Budget in tokens, such as 5M", .kind = Kind::kCount},
        o.budget.tokens);
  visit({.name = "fraction",
         .help = "Budget as a share of `pretraining-tokens`",
         .min = 1e-9,
         .max = 100},
        o.budget.fraction);
  visit({.name = "pretraining-tokens",
         .help = "Tokens the parent was trained on",
         .kind = Kind::kCount},
        o.budget.pretraining_tokens);
  visit({.name = "seq-len",
         .help = "Tokens a window predicts; left out: the model's context, at most 2048",
         .kind = Kind::kContext,
         .decides = true},
        o.seq_len);
  visit({.name = "batch-size",
         .help = "Sequences per optimizer step",
         .min = 1,
         .max = 1 << 24,
         .decides = true},
        o.batch_size);
  visit({.name = "micro-batch-size",
         .help = "Sequences at once; 0: the whole batch",
         .min = 0,
         .max = 1 << 24,
         .decides = true},
        o.micro_batch_size);
}

/// Whether these must agree on resume depends on there being a teacher: further_settings() in uptrain/run_setup.cpp adds them.
template <typename Visit>
void visit_teacher_settings(UptrainOptions& o, Visit&& visit) {
  using Kind = Setting::Kind;
  visit({.name = "teacher",
         .help = "Model to agree with, usually the unconverted parent; in a recipe of run also "
                 "\"parent\"",
         .kind = Kind::kFolderPath},
        o.teacher);
  visit({.name = "kl-weight",
         .help = "A of (1 - A) cross-entropy + A T^2 KL(teacher || model); left out: 1"},
        o.kl_weight);
  visit({.name = "temperature", .help = "T of both distributions in the KL; left out: 1"},
        o.temperature);
  visit({.name = "teacher-cache",
         .help = "Folder of the teacher's likeliest tokens: filled once, then read by every run "
                 "of the same data, seed and length",
         .kind = Kind::kFolderPath},
        o.teacher_cache);
  visit({.name = "teacher-top-k",
         .help = "How many of them a cache keeps at each position; left out: 64",
         .min = 1,
         .max = 1 << 20},
        o.teacher_top_k);
}

template <typename Visit>
void visit_optimizer_settings(UptrainOptions& o, Visit&& visit) {
  visit({.name = "lr",
         .help = "Peak learning rate; left out: chosen from what the model has to recover and its "
                 "width",
         .min = 1e-12,
         .max = 1e3},
        o.learning_rate);
  visit(
      {.name = "min-lr", .help = "Learning rate at the end", .min = 0, .max = 1e3, .decides = true},
      o.min_learning_rate);
  visit({.name = "warmup",
         .help = "Steps of linear warm-up; left out: 0 with `lr`, else a twentieth of the steps, "
                 "at least 5",
         .min = 0,
         .max = int64_t{1} << 40},
        o.warmup_steps);
  visit({.name = "schedule", .help = "Learning rate over the steps", .decides = true}, o.schedule);
  visit({.name = "weight-decay",
         .help = "Of matrices; norms and biases never decay",
         .min = 0,
         .max = 100,
         .decides = true},
        o.adamw.weight_decay);
  visit({.name = "clip-grad-norm", .help = "0: no clipping", .min = 0, .max = 1e9, .decides = true},
        o.adamw.clip_grad_norm);
  visit({.name = "precision",
         .help = "fp32, or bf16 with float32 master weights; multiplied in fp32 by a processor "
                 "without bf16 instructions (AVX512_BF16)",
         .decides = true},
        o.precision);
  visit({.name = "activation-checkpointing",
         .help = "Recompute activations in the backward pass: less memory, same bits"},
        o.activation_checkpointing);
  visit({.name = "train",
         .help = "What is trained: all, attention (q, k, v, o) or kv (k and v), with the gains of "
                 "QK-norm",
         .decides = true},
        o.train);
  visit({.name = "kv-lr-scale",
         .help = "Learning rate of k and v, as a multiple of the others'",
         .min = 1e-6,
         .max = 1e6},
        o.kv_lr_scale);
}

template <typename Visit>
void visit_run_settings(UptrainOptions& o, Visit&& visit) {
  constexpr double kMaxSteps = int64_t{1} << 40;
  visit({.name = "checkpoint-every",
         .help = "Steps; 0: only when stopped",
         .min = 0,
         .max = kMaxSteps},
        o.checkpoint_every);
  visit({.name = "keep-checkpoints",
         .help = "How many of the newest to keep",
         .min = 1,
         .max = 1 << 20},
        o.keep_checkpoints);
  visit({.name = "eval-every",
         .help = "Steps between validations; 0: at the start and the end",
         .min = 0,
         .max = kMaxSteps},
        o.eval_every);
  visit({.name = "max-minutes",
         .help = "Stop safely (exit 75) after so long",
         .min = 0,
         .max = 1e9,
         .shows_default = false},
        o.max_minutes);
  visit({.name = "processes",
         .help = "Start so many processes on this machine, which share each batch; torchrun, srun "
                 "and mpirun say it themselves",
         .min = 1,
         .max = 4096},
        o.processes);
  visit({.name = "process-timeout",
         .help = "Seconds after which a process that does not come or answer is given up",
         .min = 1,
         .max = 1 << 24},
        o.process_timeout);
  visit({.name = "init-from-scratch",
         .help = "Fresh weights: MODEL gives config and tokenizer only",
         .decides = true},
        o.init_from_scratch);
  visit({.name = "resume", .help = "An interrupted run in OUT"}, o.resume);
  visit({.name = "overwrite", .help = "Drop a run in OUT that is finished or has other settings"},
        o.overwrite);
}

}  // namespace detail

/// All of them but MODEL, OUT and the flags that every command has.
template <typename Visit>
void visit_settings(UptrainOptions& options, Visit&& visit) {
  detail::visit_data_settings(options, visit);
  detail::visit_budget_settings(options, visit);
  detail::visit_teacher_settings(options, visit);
  detail::visit_optimizer_settings(options, visit);
  detail::visit_run_settings(options, visit);
}

}  // namespace regroup
