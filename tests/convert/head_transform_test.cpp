// What a method may ask of a layer, and the methods' names.
#include <gtest/gtest.h>

#include <functional>

#include "regroup/convert/legality.h"
#include "regroup/convert/method.h"
#include "support/expect_error.h"
#include "support/tiny_model.h"

namespace regroup::testing {
namespace {

// 8 query heads read 4 KV heads of size 2.
ModelConfig grouped_config() {
  return parse_model_config(
      tiny_config({.n_layers = 3, .n_heads = 8, .n_kv_heads = 4, .head_dim = 2}), "config.json");
}

TEST(HeadTransform, IdentityChangesNothing) {
  const ModelConfig config = grouped_config();
  const LayerTransform transform = identity_transform(config);
  EXPECT_EQ(transform.permutation, (std::vector<int64_t>{0, 1, 2, 3}));
  EXPECT_EQ(transform.logit_gain, std::vector<double>(8, 1.0));
  EXPECT_EQ(transform.output_gain, std::vector<double>(8, 1.0));
  EXPECT_FALSE(transform.changes_queries());
  EXPECT_FALSE(transform.changes_outputs());
  EXPECT_NO_THROW(check_transform(transform, config, 0));
}

TEST(HeadTransform, WhatTouchesQueriesAndOutputs) {
  struct Case {
    const char* why;
    std::function<void(LayerTransform&)> change;
    bool queries;
    bool outputs;
  };
  const std::vector<double> dense_identity = {1, 0, 0, 1};
  const Case cases[] = {
      {"a permutation", [](auto& t) { std::swap(t.permutation[0], t.permutation[3]); }, true, true},
      {"a decoded key", [](auto& t) { t.decode_key[1].scale = 2; }, true, false},
      {"a decoded value", [](auto& t) { t.decode_value[1].scale = 2; }, false, true},
      {"a logit gain", [](auto& t) { t.logit_gain[7] = 0.5; }, true, false},
      {"an output gain", [](auto& t) { t.output_gain[7] = 0.5; }, false, true},
      {"encoded heads alone", [](auto& t) { t.encode_key[0].scale = 2; }, false, false},
      {"a dense matrix", [&](auto& t) { t.decode_key[0].dense = dense_identity; }, true, false},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.why);
    LayerTransform transform = identity_transform(grouped_config());
    c.change(transform);
    EXPECT_EQ(transform.changes_queries(), c.queries);
    EXPECT_EQ(transform.changes_outputs(), c.outputs);
    EXPECT_NO_THROW(check_transform(transform, grouped_config(), 0));
  }
}

TEST(HeadTransform, RefusesWhatDoesNotFit) {
  struct Case {
    std::function<void(LayerTransform&)> change;
    const char* message;
  };
  const Case cases[] = {
      {[](auto& t) {
         t.permutation = {0, 1, 2};
       },
       "a permutation of 4 heads must name each once"},
      {[](auto& t) {
         t.permutation = {0, 1, 1, 3};
       },
       "a permutation of 4 heads must name each once"},
      {[](auto& t) {
         t.permutation = {1, 2, 3, 4};
       },
       "a permutation of 4 heads must name each once"},
      {[](auto& t) { t.logit_gain.resize(4); }, "gains must be given for 8 query heads"},
      {[](auto& t) { t.output_gain.clear(); }, "gains must be given for 8 query heads"},
      {[](auto& t) { t.divisor = 0; }, "the divisor of a group must not be 0"},
      {[](auto& t) { t.encode_key.resize(8); }, "matrices must be given for 4 heads"},
      {[](auto& t) { t.encode_value.resize(3); }, "matrices must be given for 4 heads"},
      {[](auto& t) { t.decode_key.clear(); }, "matrices must be given for 4 heads"},
      {[](auto& t) {
         t.decode_value[2].dense = {1, 2, 3};
       },
       "a dense head matrix must have 4 entries, found 3"},
  };
  for (const Case& c : cases) {
    LayerTransform transform = identity_transform(grouped_config());
    c.change(transform);
    const ErrorInfo error = expect_error<ConfigError>(
        "TRANSFORM", [&] { check_transform(transform, grouped_config(), 0); });
    EXPECT_EQ(error.message, c.message);
  }
}

TEST(Method, NamesReadBack) {
  EXPECT_EQ(method_names(), (std::vector<std::string>{"mean", "first", "random", "medoid", "prune",
                                                      "weighted", "align", "align-norm", "pca"}));
  for (const std::string& name : method_names()) EXPECT_EQ(method_name(parse_method(name)), name);
}

TEST(Method, AnUnknownNameGetsTheNearest) {
  const auto refuse = [](const std::string& name) {
    return expect_error<ConfigError>("METHOD_UNKNOWN", [&] { parse_method(name); });
  };
  const ErrorInfo near = refuse("maen");
  EXPECT_EQ(
      near.message,
      "`method` must be one of mean, first, random, medoid, prune, weighted, align, align-norm, "
      "pca, found maen");
  EXPECT_EQ(near.hint, "did you mean mean?");
  EXPECT_EQ(refuse("frist").hint, "did you mean first?");
  EXPECT_EQ(refuse("clustering-by-cosine").hint, "");
  EXPECT_TRUE(refuse("").message.ends_with(", found "));
}

// 4 KV heads to 2: two members a group. One transform for each of 3 layers.
TEST(Method, MakesItsTransform) {
  const ModelConfig config = grouped_config();
  const auto mean = make_transforms(Method::kMean, config, 2);
  ASSERT_EQ(mean.size(), 3u);
  EXPECT_EQ(mean[2].divisor, 2.0);
  const auto first = make_transforms(Method::kFirst, config, 2);
  EXPECT_EQ(first[0].divisor, 1.0);
  for (const auto* encode : {&first[0].encode_key, &first[0].encode_value}) {
    EXPECT_EQ((*encode)[0].scale, 1.0);
    EXPECT_TRUE((*encode)[1].is_zero());
    EXPECT_EQ((*encode)[2].scale, 1.0);
    EXPECT_TRUE((*encode)[3].is_zero());
  }
  EXPECT_TRUE(make_transforms(Method::kRandom, config, 2)[1].redraw);
  for (const Method method : {Method::kMean, Method::kFirst, Method::kRandom}) {
    for (const LayerTransform& t : make_transforms(method, config, 2)) {
      EXPECT_FALSE(t.changes_queries() || t.changes_outputs());
    }
  }
}

// One member a group: every method keeps every head, the control included.
TEST(Method, OneMemberAGroupIsTheIdentity) {
  for (const std::string& name : method_names()) {
    const LayerTransform t = make_transforms(parse_method(name), grouped_config(), 4)[0];
    EXPECT_FALSE(t.redraw) << name;
    EXPECT_EQ(t.divisor, 1.0) << name;
    for (const HeadMatrix& m : t.encode_key) EXPECT_TRUE(m.is_identity()) << name;
  }
}

}  // namespace
}  // namespace regroup::testing
