// Traces as people have them: two published forms, logs, and what is wrong with them.
#include "regroup/serving/trace.h"

#include <gtest/gtest.h>

#include <cmath>

#include "support/expect_error.h"
#include "support/temporary_folder.h"
#include "trace_time.h"

namespace regroup::testing {
namespace {

class TraceFile : public ::testing::Test {
 protected:
  Trace csv(const std::string& text, const TraceColumns& columns = {}) {
    return read_trace(folder_.write("t.csv", text), columns);
  }
  Trace jsonl(const std::string& text, const TraceColumns& columns = {}) {
    return read_trace(folder_.write("t.jsonl", text), columns);
  }
  TemporaryFolder folder_;
};

TEST_F(TraceFile, AzureHasDatesAndCounts) {
  const Trace trace =
      csv("TIMESTAMP,ContextTokens,GeneratedTokens\r\n"
          "2023-11-16 18:17:03.9799600,4808,10\r\n"
          "2023-11-16 18:17:04.0319600,3180,8\r\n"
          "2023-11-17 00:00:00.0000000,110,27\r\n");
  ASSERT_EQ(trace.requests.size(), 3U);
  EXPECT_EQ(trace.requests[0].arrival_s, 0);
  EXPECT_NEAR(trace.requests[1].arrival_s, 0.052, 1e-6);
  EXPECT_NEAR(trace.requests[2].arrival_s, 20'576.02004, 1e-6);  // 5 h 42 min 56.02 s later
  EXPECT_EQ(trace.requests[1].prompt_tokens, 3180);
  EXPECT_EQ(trace.requests[2].output_tokens, 27);
  EXPECT_EQ(trace.unordered, 0);
}

TEST_F(TraceFile, MooncakeHasMillisecondsAndHashes) {
  const Trace trace = jsonl(
      R"({"timestamp": 1000, "input_length": 1100, "output_length": 500, "hash_ids": [7, 8, 9]})"
      "\n"
      R"({"timestamp": 4000, "input_length": 600, "output_length": 1, "hash_ids": [7, 10]})"
      "\n");
  ASSERT_EQ(trace.requests.size(), 2U);
  EXPECT_DOUBLE_EQ(trace.requests[1].arrival_s, 3);
  ASSERT_EQ(trace.blocks_of(trace.requests[1]).size(), 2U);
  EXPECT_EQ(trace.blocks_of(trace.requests[1])[1], 10U);
}

TEST_F(TraceFile, ALogHasColumnsOfItsOwn) {
  const Trace trace =
      csv("user,when,in,out\n"
          "\"Smith, \"\"J\"\"\nSon\",1500,10,2\n\n"
          "x,2500,20,0\n",
          {.time = "when", .prompt = "in", .output = "out", .time_unit = "ms"});
  ASSERT_EQ(trace.requests.size(), 2U);
  EXPECT_DOUBLE_EQ(trace.requests[1].arrival_s, 1);
  EXPECT_EQ(trace.requests[1].output_tokens, 0);
}

TEST_F(TraceFile, RequestsInNoOrderAreSorted) {
  const Trace trace = csv("time_s,prompt_tokens,output_tokens\n5,1,1\n3,2,1\n4,3,1\n6,4,1\n");
  EXPECT_EQ(trace.unordered, 2);
  std::vector<int32_t> prompts;
  for (const TraceRequest& request : trace.requests) prompts.push_back(request.prompt_tokens);
  EXPECT_EQ(prompts, (std::vector<int32_t>{2, 3, 1, 4}));
  EXPECT_EQ(trace.requests[0].arrival_s, 0);
}

TEST_F(TraceFile, SaysWhatIsWrongAndWhere) {
  const std::string head = "time_s,prompt_tokens,output_tokens\n";
  struct Case {
    std::string text;
    const char* code;
    const char* part;
  };
  const Case cases[] = {
      {"", "TRACE_EMPTY", "at least one request"},
      {head, "TRACE_EMPTY", "at least one request"},
      {"a,b\n1,2\n", "TRACE_COLUMN", "time of arrival"},
      {"time_s,b\n1,2\n", "TRACE_COLUMN", "tokens of the prompt"},
      {head + "1,2,3\n,2,3\n", "TRACE_VALUE", "the time of line 3"},
      {head + "soon,2,3\n", "TRACE_VALUE", "found soon"},
      {head + "nan,2,3\n", "TRACE_VALUE", "found nan"},
      {head + "1e999,2,3\n", "TRACE_VALUE", "the time of line 2"},
      {head + "1,-2,3\n", "TRACE_VALUE", "prompt of line 2 must be a number of tokens from 1"},
      {head + "1,0,3\n", "TRACE_VALUE", "prompt of line 2"},
      {head + "1,2,-1\n", "TRACE_VALUE", "output of line 2"},
      {head + "1,2.5,1\n", "TRACE_VALUE", "found 2.5"},
      {head + "1,2,9999999999\n", "TRACE_VALUE", "2^30"},
      {head + "1,2\n", "TRACE_VALUE",
       "output of line 2 must be a number of tokens from 0 to 2^30, found nothing"},
      {head + "2023-02-30 00:00:00,2,1\n", "TRACE_VALUE", "2023-02-30"},
      {head + "1,2,3\n2023-02-03 00:00:00,2,1\n", "TRACE_VALUE", "a number as above it"},
      {head + "\"1,2,3\n", "TRACE_VALUE", "one that is not closed"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.text);
    const ErrorInfo error = expect_error<CheckpointError>(c.code, [&] { csv(c.text); });
    EXPECT_NE(error.message.find(c.part), std::string::npos) << error.message;
  }
  const ErrorInfo json = expect_error<CheckpointError>("TRACE_VALUE", [&] {
    jsonl("{\"timestamp\": 1, \"input_length\": 5, \"output_length\": 1}\n[1]\n");
  });
  EXPECT_NE(json.message.find("line 2"), std::string::npos) << json.message;
  expect_error<CheckpointError>("TRACE_VALUE", [&] {
    jsonl("{\"timestamp\": 1, \"input_length\": 5, \"output_length\": 1, \"hash_ids\": [\"a\"]}\n");
  });
  expect_error<UnsupportedError>("TEXT_KIND", [&] { read_trace(folder_.write("t.arrow", "x")); });
  const ErrorInfo column =
      expect_error<ConfigError>("TRACE_COLUMN", [&] { csv(head + "1,2,3\n", {.time = "tiem"}); });
  EXPECT_NE(column.message.find("must have the column tiem"), std::string::npos) << column.message;
  const ErrorInfo span =
      expect_error<CheckpointError>("TRACE_VALUE", [&] { csv(head + "-1e300,2,3\n1e300,2,3\n"); });
  EXPECT_NE(span.message.find("times must lie within"), std::string::npos) << span.message;
}

// Longer than the blocks of 1 MiB that a file is read in, and than the 4,096 rows after which their number is estimated: every
// row is there, and an error still names its line.
TEST_F(TraceFile, MayBeLong) {
  std::string text = "time_s,prompt_tokens,output_tokens,user\n";
  constexpr int kRows = 120'000;
  for (int i = 0; i < kRows; ++i) {
    const bool quoted = i % 1000 == 7;
    text += std::to_string(i) + "," + std::to_string(i % 500 + 1) + ",2," +
            (quoted ? "\"a, \"\"b\"\"\n\"" : "somebody") + "\n";
  }
  ASSERT_GT(text.size(), size_t{2} << 20);
  const Trace trace = csv(text);
  ASSERT_EQ(trace.requests.size(), static_cast<size_t>(kRows));
  for (const int i : {0, 4095, 4096, 4097, 60'007, kRows - 1}) {
    EXPECT_EQ(trace.requests[static_cast<size_t>(i)].arrival_s, i);
    EXPECT_EQ(trace.requests[static_cast<size_t>(i)].prompt_tokens, i % 500 + 1);
  }
  // 120 rows have a line break in their quotation marks; the heading is line 1.
  const ErrorInfo error =
      expect_error<CheckpointError>("TRACE_VALUE", [&] { csv(text + "x,1,1\n"); });
  EXPECT_NE(error.message.find("line 120122 "), std::string::npos) << error.message;
}

TEST_F(TraceFile, EqualTracesHaveEqualDigests) {
  const std::string head = "time_s,prompt_tokens,output_tokens\n";
  const std::string one = trace_digest(csv(head + "5,1,1\n7,2,3\n"));
  EXPECT_EQ(trace_digest(csv(head + "15,1,1\n17,2,3\n")), one) << "times count from the first";
  EXPECT_NE(trace_digest(csv(head + "5,1,1\n7,2,4\n")), one);
  EXPECT_NE(trace_digest(csv(head + "5,1,1\n")), one);
}

TEST(TraceTime, ReadsDatesWithZones) {
  EXPECT_EQ(parse_date_time("1970-01-01 00:00:00"), 0.0);
  EXPECT_EQ(parse_date_time("1970-01-02T00:00:01Z"), 86'401.0);
  EXPECT_EQ(parse_date_time("1970-01-01T02:00:00.5+02:00"), 0.5);
  EXPECT_EQ(parse_date_time("2000-02-29 00:00:00-0100"), 951'782'400.0 + 3600);
  for (const char* bad :
       {"", "1970-01-01", "1970-13-01 00:00:00", "1970-01-01 24:00:00", "1970-01-01 00:00:00.",
        "1970-01-01 00:00:00+15:00", "1970-01-01 00:00:00 Mars", "1900-02-29 00:00:00"}) {
    EXPECT_FALSE(parse_date_time(bad)) << bad;
  }
}

// Means within four standard errors of 100,000 numbers.
TEST(MadeTrace, HasTheMeansAskedFor) {
  for (const double burstiness : {0.25, 1.0, 4.0}) {
    const Trace trace = make_trace({.requests = 100'000,
                                    .rate = 20,
                                    .burstiness = burstiness,
                                    .prompt_mean = 500,
                                    .output_mean = 100,
                                    .spread = 0.5});
    double gaps = 0;
    double squares = 0;
    double prompts = 0;
    for (size_t i = 1; i < trace.requests.size(); ++i) {
      const double gap = trace.requests[i].arrival_s - trace.requests[i - 1].arrival_s;
      gaps += gap;
      squares += gap * gap;
      prompts += trace.requests[i].prompt_tokens;
    }
    const double n = 99'999;
    const double mean = gaps / n;
    // Gamma: variance mean^2 / shape.
    const double deviation = 0.05 / std::sqrt(burstiness);
    EXPECT_NEAR(mean, 0.05, 4 * deviation / std::sqrt(n));
    EXPECT_NEAR(std::sqrt(squares / n - mean * mean), deviation, 0.05 * deviation);
    EXPECT_NEAR(prompts / n, 500, 4 * 500 * 0.533 / std::sqrt(n));  // sqrt(e^0.25 - 1) = 0.533
  }
}

TEST(MadeTrace, ReadsBackAndRepeats) {
  TemporaryFolder folder;
  const MadeTrace settings{.requests = 200, .max_tokens = 700, .seed = 5};
  const Trace made = make_trace(settings);
  EXPECT_EQ(trace_csv(made), trace_csv(make_trace(settings)));
  EXPECT_GT(made.shortened, 0);
  const Trace read = read_trace(folder.write("made.csv", trace_csv(made)));
  ASSERT_EQ(read.requests.size(), 200U);
  for (size_t i = 0; i < 200; ++i) {
    EXPECT_NEAR(read.requests[i].arrival_s, made.requests[i].arrival_s, 1e-6);
    EXPECT_EQ(read.requests[i].prompt_tokens, made.requests[i].prompt_tokens);
    EXPECT_LE(read.requests[i].prompt_tokens + read.requests[i].output_tokens, 700);
  }
}

}  // namespace
}  // namespace regroup::testing
