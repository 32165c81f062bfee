// Runs with a teacher: what is shared in memory, what is refused, and that stopping changes nothing.
#include "teacher.h"

#include <ATen/ops/equal.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "regroup/base/path.h"
#include "support/expect_error.h"
#include "trainable.h"
#include "uptrain/train_tools.h"

namespace regroup::testing {
namespace {

/// A student whose parent differs in K and V alone: values follow from seed, name and index.
struct Family {
  explicit Family(const std::string& precision = "fp32") : f(precision) {
    spec.dtype = precision == "bf16" ? Dtype::kBF16 : Dtype::kF32;
    write_tiny_model(f.folder / "teacher", spec);
  }
  UptrainOptions into(const std::string& name) const {
    UptrainOptions o = f.into(name);
    o.teacher = f.folder / "teacher";
    return o;
  }
  std::unique_ptr<Teacher> teacher() const {
    const ModelConfig student = load_folder(f.options.model).config();
    auto loaded = std::make_unique<Teacher>(into("x"), student, at::kCPU);
    loaded->load();
    return loaded;
  }

  Fixture f;
  TinyModelSpec spec = {.n_layers = 1, .n_kv_heads = 4};
};

bool alias(const at::Tensor& a, const at::Tensor& b) { return a.data_ptr() == b.data_ptr(); }

TEST(Sharing, FrozenEqualTensorsAreHeldOnce) {
  const Family family;
  for (const TrainScope scope : {TrainScope::kAttention, TrainScope::kKv}) {
    Decoder student = load_folder(family.f.options.model);
    const auto held = family.teacher();
    Teacher& teacher = *held;
    const at::Tensor ids = random_ids(1, 9, 64, 1);
    const at::Tensor before = all_logits(teacher.decoder(), ids);
    choose_trainable(student, scope, 1.0);
    student.layer(0).down.select(0, 3).select(0, 5).add_(1);  // frozen, but no longer equal
    const int64_t shared = teacher.share_frozen(student);

    Decoder theirs = teacher.decoder();  // another handle on the same tensors
    const LayerWeights& a = theirs.layer(0);
    const LayerWeights& b = student.layer(0);
    EXPECT_TRUE(alias(theirs.embedding(), student.embedding()));
    EXPECT_TRUE(alias(theirs.untied_lm_head(), student.untied_lm_head()));
    EXPECT_TRUE(alias(theirs.final_norm().weight, student.final_norm().weight));
    EXPECT_TRUE(alias(a.input_norm.weight, b.input_norm.weight) &&
                alias(a.mlp_norm.weight, b.mlp_norm.weight));
    EXPECT_TRUE(alias(a.gate_up, b.gate_up));
    EXPECT_FALSE(alias(a.down, b.down));
    EXPECT_FALSE(alias(a.qkv, b.qkv));
    // O has the parent's bytes; it may be shared while it is not trained.
    EXPECT_EQ(alias(a.output, b.output), scope == TrainScope::kKv);
    // Embedding and head 64 x 32, three norms of 32, gate and up 96 x 32, O 32 x 32.
    const int64_t elements = 2 * 64 * 32 + 3 * 32 + 96 * 32;
    EXPECT_EQ(shared, 4 * (elements + (scope == TrainScope::kKv ? 32 * 32 : 0)));
    // Left: Q, K and V of four heads of 8, down 32 x 48, and O.
    EXPECT_EQ(teacher.own_bytes() + shared, 4 * (elements + 96 * 32 + 32 * 48 + 32 * 32));
    EXPECT_TRUE(at::equal(all_logits(teacher.decoder(), ids), before));
  }
}

TEST(Sharing, NothingThatIsTrained) {
  const Family family;
  Decoder student = load_folder(family.f.options.model);
  const auto teacher = family.teacher();
  choose_trainable(student, TrainScope::kAll, 1.0);
  EXPECT_EQ(teacher->share_frozen(student), 0);
}

std::vector<Json> steps_of(const std::string& out) {
  std::vector<Json> steps;
  for (const std::string& line : step_lines(out)) steps.push_back(Json::parse(line));
  return steps;
}

// No divergence, no gradient, hence no change of a single bit.
TEST(TrainedOnItself, NothingMoves) {
  for (const std::string precision : {"fp32", "bf16"}) {
    const Family family(precision);
    UptrainOptions options = family.into("run");
    options.model = options.teacher;
    options.adamw.weight_decay = 0;
    uptrain(options, {});
    const std::vector<Json> steps = steps_of(options.out);
    ASSERT_EQ(steps.size(), 8u);
    for (const Json& step : steps) {
      EXPECT_EQ(step.at("kl"), 0.0) << precision;
      EXPECT_EQ(step.at("loss"), 0.0) << precision;
      EXPECT_EQ(step.at("grad_norm"), 0.0) << precision;
      EXPECT_GT(step.at("ce"), 1.0) << precision;
    }
    EXPECT_TRUE(tensors_of(options.out + "/model") == tensors_of(options.teacher)) << precision;
  }
}

TEST(Training, ApproachesTheTeacher) {
  const Family family;
  UptrainOptions options = family.into("run");
  options.budget.steps = 30;
  uptrain(options, {});
  const std::vector<Json> steps = steps_of(options.out);
  EXPECT_LT(steps.back().at("kl"), 0.5 * steps.front().at("kl").get<double>());
  // The text's own loss need not fall: the teacher, of random weights, knows nothing of it.
  EXPECT_NEAR(steps.back().at("loss"), steps.back().at("kl").get<double>(), 1e-6);
}

TEST(Training, ReportsThePartsOfTheLoss) {
  const Family family;
  UptrainOptions options = family.into("run");
  options.kl_weight = 0.75;
  options.temperature = 2;
  RunFacts facts;
  TrainObserver observer;
  observer.started = [&](const RunFacts& f) { facts = f; };
  const TrainResult result = uptrain(options, observer);
  EXPECT_EQ(facts.teacher, options.teacher);
  EXPECT_EQ(facts.shared_bytes, 0);
  const std::vector<Json> steps = steps_of(options.out);
  for (const Json& step : steps) {
    const double ce = step.at("ce");
    const double kl = step.at("kl");
    EXPECT_NEAR(step.at("loss"), 0.25 * ce + 0.75 * 4 * kl, 1e-5);
  }
  EXPECT_EQ(result.kl, steps.back().at("kl").get<double>());
  EXPECT_EQ(result.ce, steps.back().at("ce").get<double>());
}

TEST(Training, CountsTheTeachersForwardPass) {
  const Family family;
  const ModelConfig parent = load_folder(family.f.folder / "teacher").config();
  // q, o 32 x 32; k, v 32 x 32; gate, up, down 32 x 48; head 32 x 64: 10,752 weights. Attention at 16
  // tokens: 2 * 32 * 16 forward.
  EXPECT_EQ(forward_flops_per_token(parent, 16), 2 * 10752 + 1024);
  EXPECT_EQ(training_flops_per_token(parent, 16, TrainScope::kAll), 6 * 10752 + 3 * 1024);
  // Frozen: only 4,096 (or 2,048) weights get a gradient, and the first layer's input (q, k, v) none.
  EXPECT_EQ(training_flops_per_token(parent, 16, TrainScope::kAttention),
            4 * 10752 - 2 * 3072 + 2 * 4096 + 3 * 1024);
  EXPECT_EQ(training_flops_per_token(parent, 16, TrainScope::kKv),
            4 * 10752 - 2 * 3072 + 2 * 2048 + 3 * 1024);
  double with_teacher = 0;
  TrainObserver observer;
  observer.started = [&](const RunFacts& f) { with_teacher = f.flops_per_token; };
  uptrain(family.into("run"), observer);
  const ModelConfig student = load_folder(family.f.options.model).config();
  EXPECT_EQ(with_teacher,
            training_flops_per_token(student, 16, TrainScope::kAll) + 2 * 10752 + 1024);
}

class ResumeWithTeacher : public ::testing::TestWithParam<std::string> {};

TEST_P(ResumeWithTeacher, EndsInTheSameBytes) {
  const Family family(GetParam());
  for (const TrainScope scope : {TrainScope::kAll, TrainScope::kAttention, TrainScope::kKv}) {
    const auto options = [&](const std::string& name) {
      UptrainOptions o = family.into(fmt::format("{}-{}", name, name_of(scope)));
      o.kl_weight = 0.5;
      o.train = scope;
      o.kv_lr_scale = 3;
      return o;
    };
    const TrainResult whole = uptrain(options("whole"), {});
    stop_after(options("stopped"), 2);
    stop_after(options("stopped"), 5);
    const TrainResult resumed = uptrain(options("stopped"), {});
    EXPECT_EQ(resumed.kl, whole.kl);
    EXPECT_EQ(step_lines(options("stopped").out), step_lines(options("whole").out));
    EXPECT_TRUE(read_tree(options("stopped").out + "/model") ==
                read_tree(options("whole").out + "/model"))
        << name_of(scope);
  }
}

INSTANTIATE_TEST_SUITE_P(Precision, ResumeWithTeacher, ::testing::Values("fp32", "bf16"),
                         [](const auto& parameter) { return parameter.param; });

TEST(OtherTeacher, IsRefusedOnResume) {
  Family family;
  UptrainOptions options = family.into("run");
  stop_after(options, 2);
  family.spec.seed = 2;
  write_tiny_model(family.f.folder / "stranger", family.spec);
  options.teacher = family.f.folder / "stranger";
  const ErrorInfo other = expect_error<ConfigError>("CKPT_MISMATCH", [&] { uptrain(options, {}); });
  EXPECT_TRUE(contains(other.message, "other settings: teacher_sha256 (was \""));
  options.teacher = "";
  const ErrorInfo none = expect_error<ConfigError>("CKPT_MISMATCH", [&] { uptrain(options, {}); });
  EXPECT_TRUE(contains(none.message, "kl_weight (was 1.0, now absent)"));
  options = family.into("run");
  options.kl_weight = 0.5;
  const ErrorInfo mix = expect_error<ConfigError>("CKPT_MISMATCH", [&] { uptrain(options, {}); });
  EXPECT_TRUE(contains(mix.message, "other settings: kl_weight (was 1.0, now 0.5)"));
}

TEST(WrongTeacher, IsRefusedAndLeavesNothing) {
  Family family;
  UptrainOptions options = family.into("run");
  family.spec.vocab_size = 65;
  write_tiny_model(family.f.folder / "larger", family.spec);
  options.teacher = family.f.folder / "larger";
  const ErrorInfo vocab =
      expect_error<ConfigError>("TEACHER_MISMATCH", [&] { uptrain(options, {}); });
  EXPECT_EQ(vocab.message,
            options.teacher + ": the teacher must have the model's vocab_size 64, found 65");
  EXPECT_TRUE(contains(vocab.hint, options.model));

  options = family.into("run");
  write_file(options.teacher + "/tokenizer.model", "one");
  uptrain(family.into("one-tokenizer"), {});  // nothing to compare with
  write_file(options.model + "/tokenizer.model", "two");
  const ErrorInfo tokenizer =
      expect_error<ConfigError>("TEACHER_MISMATCH", [&] { uptrain(options, {}); });
  EXPECT_TRUE(contains(tokenizer.message, "must have the model's tokenizer.model (SHA-256 "));

  options.teacher = family.f.folder / "nosuch";
  EXPECT_THROW(uptrain(options, {}), CheckpointError);
  EXPECT_FALSE(path_exists(options.out));
}

TEST(TeacherFlags, NeedATeacherAndARange) {
  const Family family;
  UptrainOptions options = family.f.into("run");
  options.kl_weight = 0.5;
  const ErrorInfo weight = expect_error<ConfigError>("FLAG_MISSING", [&] { uptrain(options, {}); });
  EXPECT_EQ(weight.message, "`kl-weight` needs `teacher`, the model to learn from");
  options.kl_weight.reset();
  options.temperature = 1;
  const ErrorInfo t = expect_error<ConfigError>("FLAG_MISSING", [&] { uptrain(options, {}); });
  EXPECT_EQ(t.message, "`temperature` needs `teacher`, the model to learn from");
  options = family.into("run");
  options.kl_weight = 1.5;
  const ErrorInfo range = expect_error<ConfigError>("FLAG_VALUE", [&] { uptrain(options, {}); });
  EXPECT_EQ(range.message, "`kl-weight` must be in [0, 1], found 1.5");
  options.kl_weight = 1;
  options.temperature = 0;
  const ErrorInfo cold = expect_error<ConfigError>("FLAG_VALUE", [&] { uptrain(options, {}); });
  EXPECT_EQ(cold.message, "`temperature` must be in [0.01, 100], found 0");
  EXPECT_FALSE(path_exists(options.out));
}

}  // namespace
}  // namespace regroup::testing
